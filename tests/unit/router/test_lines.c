#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "services/router/lines.h"

#define FFFD "\xef\xbf\xbd"

struct collected {
	size_t n;
	char text[8][64];
};

static void feed(struct lines *lines, struct collected *to, const char *bytes, size_t len)
{
	static char text[LINES_TEXT_MAX];
	size_t at = 0, used, text_len;
	while (at < len) {
		if (lines_add(lines, (const uint8_t *)bytes + at, len - at, &used, text, &text_len))
			snprintf(
			    to->text[to->n++], sizeof(to->text[0]), "%.*s", (int)text_len, text);
		at += used;
	}
}

static void cuts_what_comes_in_pieces_into_lines(void **state)
{
	(void)state;
	struct lines *lines = calloc(1, sizeof(*lines));
	struct collected got = {0};
	char text[LINES_TEXT_MAX];
	size_t len;
	feed(lines, &got, "one\ntw", 6);
	feed(lines, &got, "o\r\n\nrest", 8);
	assert_int_equal(got.n, 3);
	assert_string_equal(got.text[0], "one");
	assert_string_equal(got.text[1], "two");
	assert_string_equal(got.text[2], "");
	assert_true(lines_flush(lines, text, &len));
	assert_int_equal(len, 4);
	assert_memory_equal(text, "rest", 4);
	assert_false(lines_flush(lines, text, &len));
	free(lines);
}

static void makes_text_of_any_bytes(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t len;
		const char *text;
	} cases[] = {
	    {"\x1b[31m\n", 6, "\x1b[31m"},
	    {"\xc3\xa4\n", 3, "\xc3\xa4"},
	    {"\xc3\n", 2, FFFD},
	    {"\xff\xfe\n", 3, FFFD FFFD},
	    {"\xed\xa0\x80\n", 4, FFFD FFFD FFFD},
	    {"\xc0\xaf\n", 3, FFFD FFFD},
	    {"\xf0\x9f\x98\x80\n", 5, "\xf0\x9f\x98\x80"},
	    {"\xf0\x9f\x98\n", 4, FFFD FFFD FFFD},
	    {"a\0b\n", 4, "a" FFFD "b"},
	};
	struct lines *lines = calloc(1, sizeof(*lines));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct collected got = {0};
		feed(lines, &got, cases[i].bytes, cases[i].len);
		assert_int_equal(got.n, 1);
		assert_string_equal(got.text[0], cases[i].text);
	}
	free(lines);
}

static void a_line_without_end_is_cut(void **state)
{
	(void)state;
	struct lines *lines = calloc(1, sizeof(*lines));
	static uint8_t bytes[3 * LINES_MAX];
	static char text[LINES_TEXT_MAX];
	size_t used, len;
	memset(bytes, 0xff, sizeof(bytes));
	for (size_t at = 0; at < sizeof(bytes); at += used) {
		assert_true(lines_add(lines, bytes + at, sizeof(bytes) - at, &used, text, &len));
		assert_int_equal(used, LINES_MAX);
		assert_int_equal(len, LINES_TEXT_MAX);
	}
	free(lines);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(cuts_what_comes_in_pieces_into_lines),
	    cmocka_unit_test(makes_text_of_any_bytes),
	    cmocka_unit_test(a_line_without_end_is_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
