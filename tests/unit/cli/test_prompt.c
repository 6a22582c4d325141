/* A secret that comes through standard input, and its limits. */
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "services/cli/prompt.h"

#define MAX 8

/* What a pipe that holds text gives; NULL and err. */
static struct secret *read_text(const char *text, size_t len, size_t max, struct error *err)
{
	const struct prompt prompt = {.question = "?", .what = "the value", .max = max};
	FILE *file = tmpfile();

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	assert_int_equal(fflush(file), 0);
	assert_int_equal(lseek(fileno(file), 0, SEEK_SET), 0);
	struct secret *secret = prompt_read(fileno(file), &prompt, err);
	fclose(file);
	return secret;
}

static void takes_what_fits_and_one_newline_off(void **state)
{
	static const struct {
		const char *text, *value;
	} cases[] = {
	    {"a", "a"},
	    {"a\n", "a"},
	    {"a\n\n", "a\n"},
	    {"\na", "\na"},
	    {" a \r\n", " a \r"},
	    {"12345678", "12345678"},
	    {"12345678\n", "12345678"},
	};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct secret *secret = read_text(cases[i].text, strlen(cases[i].text), MAX, &err);
		if (!secret)
			fail_msg("case %zu: %s", i, err.text);
		assert_true(secret_equal(secret, cases[i].value, strlen(cases[i].value)));
		secret_destroy(&secret);
	}
}

static void refuses_what_is_empty_or_too_long_and_never_says_what_it_was(void **state)
{
	static const char *const cases[] = {
	    "", "\n", "123456789", "123456789\n", "12345678\n\n", "hunter2hunter2hunter2"};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_null(read_text(cases[i], strlen(cases[i]), MAX, &err));
		assert_int_equal(err.code, ERR_INVALID);
		assert_null(strstr(err.text, "123456789"));
		assert_null(strstr(err.text, "hunter2"));
	}
}

static void keeps_every_byte_of_a_long_one(void **state)
{
	size_t len = 65536;
	char *text = malloc(len + 2);
	struct error err = {0};

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < len; i++)
		text[i] = (char)('a' + i % 26);
	text[len] = '\n';
	text[len + 1] = 'x';
	struct secret *secret = read_text(text, len + 1, len, &err);
	assert_non_null(secret);
	assert_true(secret_equal(secret, text, len));
	secret_destroy(&secret);
	assert_null(read_text(text, len + 2, len, &err));
	free(text);
}

static void refuses_a_nul_by_which_it_would_end_early(void **state)
{
	struct error err = {0};

	(void)state;
	assert_null(read_text("a\0b", 3, MAX, &err));
	assert_null(read_text("\0\n", 2, MAX, &err));
	assert_int_equal(err.code, ERR_INVALID);
}

static void says_that_it_cannot_read(void **state)
{
	const struct prompt prompt = {.question = "?", .what = "the value", .max = MAX};
	struct error err = {0};

	(void)state;
	assert_null(prompt_read(-1, &prompt, &err));
	assert_int_equal(err.code, ERR_UNAVAILABLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(takes_what_fits_and_one_newline_off),
	    cmocka_unit_test(refuses_what_is_empty_or_too_long_and_never_says_what_it_was),
	    cmocka_unit_test(keeps_every_byte_of_a_long_one),
	    cmocka_unit_test(refuses_a_nul_by_which_it_would_end_early),
	    cmocka_unit_test(says_that_it_cannot_read),
	};

	return sodium_init() < 0 || cmocka_run_group_tests(tests, NULL, NULL);
}
