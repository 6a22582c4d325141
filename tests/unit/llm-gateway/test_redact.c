/* A key in what is streamed is covered, wherever the pieces end, and nothing else is changed or kept back for longer than needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <string.h>

#include "services/llm-gateway/redact.h"

struct sink {
	char text[512];
	size_t len;
};

static void put(void *arg, const void *bytes, size_t len)
{
	struct sink *sink = arg;

	assert_true(len > 0 && len < sizeof(sink->text) - sink->len);
	memcpy(sink->text + sink->len, bytes, len);
	sink->len += len;
	sink->text[sink->len] = '\0';
}

static const struct {
	const char *key, *in, *out;
	unsigned found;
} cases[] = {
    {"sk-abc", "", "", 0},
    {"sk-abc", "nothing of it", "nothing of it", 0},
    {"sk-abc", "sk-abc", "******", 1},
    {"sk-abc", "<sk-abc>", "<******>", 1},
    {"sk-abc", "sk-absk-abc", "sk-ab******", 1},
    {"sk-abc", "sk-sk-sk-abcsk-ab", "sk-sk-******sk-ab", 1},
    {"sk-abc", "sk-abcsk-abc", "************", 2},
    {"aaab", "aaaaaab", "aaa****", 1},
    {"abab", "ababab", "****ab", 1},
    {"abcabcabd", "abcabcabcabd", "abc*********", 1},
    {"k", "kkxk", "**x*", 3},
    {"0123456789abcdefghi", "x0123456789abcdefghi", "x*******************", 1},
};

/* The text in three pieces, every way to cut it. */
static void feed(size_t i, size_t first, size_t second)
{
	const char *in = cases[i].in;
	size_t len = strlen(in);
	struct secret *key = secret_new(cases[i].key, strlen(cases[i].key));
	struct sink sink = {.len = 0};
	struct redact_forms *forms = redact_forms_new(key);
	struct redact *redact = redact_new(forms, put, &sink);

	redact_feed(redact, in, first);
	redact_feed(redact, in + first, second - first);
	redact_feed(redact, in + second, len - second);
	redact_end(redact);
	assert_string_equal(sink.text, cases[i].out);
	assert_int_equal(redact_found(redact), cases[i].found);
	redact_destroy(&redact);
	assert_null(redact);
	redact_forms_destroy(&forms);
	secret_destroy(&key);
}

static void covers_it_however_it_is_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t len = strlen(cases[i].in);
		for (size_t first = 0; first <= len; first++)
			for (size_t second = first; second <= len; second++)
				feed(i, first, second);
	}
}

static void covers_it_byte_by_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct secret *key = secret_new(cases[i].key, strlen(cases[i].key));
		struct sink sink = {.len = 0};
		struct redact_forms *forms = redact_forms_new(key);
		struct redact *redact = redact_new(forms, put, &sink);
		for (const char *at = cases[i].in; *at; at++)
			redact_feed(redact, at, 1);
		redact_end(redact);
		assert_string_equal(sink.text, cases[i].out);
		redact_destroy(&redact);
		redact_forms_destroy(&forms);
		secret_destroy(&key);
	}
}

static void covers_it_in_other_forms(void **state)
{
	(void)state;
	struct secret *key = secret_new("sk-/+>?~ab\"c", 12);
	struct redact_forms *forms = redact_forms_new(key);
	/* in base64: the key alone; behind x; behind xx; with - and _ */
	static const char *const texts[][2] = {
	    {"c2stLys+P35hYiJj", "****************"},
	    {"eHNrLS8rPj9+YWIiYw==", "eH***************w=="},
	    {"eHhzay0vKz4/fmFiImM=", "eHh***************M="},
	    {"c2stLys-P35hYiJj", "****************"},
	    {"736b2d2f2b3e3f7e61622263", "************************"},
	    {"<736B2D2F2B3E3F7E61622263", "<************************"},
	    {"sk-%2F%2B%3E%3F~ab%22c.", "**********************."},
	    {"sk-%2f%2b%3e%3f~ab%22c.", "**********************."},
	    {"\"sk-/+>?~ab\\\"c\"", "\"*************\""},
	    {"\"sk-\\/+>?~ab\\\"c\"", "\"**************\""},
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		for (size_t cut = 0; cut <= strlen(texts[i][0]); cut++) {
			struct sink sink = {.len = 0};
			struct redact *redact = redact_new(forms, put, &sink);
			redact_feed(redact, texts[i][0], cut);
			redact_feed(redact, texts[i][0] + cut, strlen(texts[i][0]) - cut);
			redact_end(redact);
			assert_string_equal(sink.text, texts[i][1]);
			assert_int_equal(redact_found(redact), 1);
			redact_destroy(&redact);
		}
	}
	redact_forms_destroy(&forms);
	secret_destroy(&key);
}

static void looks_for_a_short_key_as_it_is_only(void **state)
{
	(void)state;
	struct secret *key = secret_new("1234567", 7);
	struct redact_forms *forms = redact_forms_new(key);
	char text[] = "31323334353637";

	assert_int_equal(redact_text(forms, text, strlen(text)), 0);
	redact_forms_destroy(&forms);
	secret_destroy(&key);
}

struct large {
	char *text;
	size_t len;
};

static void put_large(void *arg, const void *bytes, size_t len)
{
	struct large *large = arg;

	memcpy(large->text + large->len, bytes, len);
	large->len += len;
}

/* Larger than what is looked at at one time, and the key over its edges. */
static void covers_it_in_large_pieces(void **state)
{
	enum { SIZE = 40000 };
	static char text[SIZE], out[SIZE];
	struct secret *key = secret_new("sk-abcdefgh", 11);
	struct redact_forms *forms = redact_forms_new(key);

	(void)state;
	for (size_t at = 16384 - 11; at <= 16384; at++) {
		memset(text, 's', SIZE);
		memcpy(text + at, secret_bytes(key), secret_len(key));
		struct large large = {.text = out};
		struct redact *redact = redact_new(forms, put_large, &large);
		redact_feed(redact, text, SIZE);
		redact_end(redact);
		memset(text + at, '*', 11);
		assert_int_equal(large.len, SIZE);
		assert_memory_equal(text, out, SIZE);
		redact_destroy(&redact);
	}
	redact_forms_destroy(&forms);
	secret_destroy(&key);
}

static void holds_back_only_what_may_become_the_key(void **state)
{
	(void)state;
	struct secret *key = secret_new("sk-abc", 6);
	struct sink sink = {.len = 0};
	struct redact_forms *forms = redact_forms_new(key);
	struct redact *redact = redact_new(forms, put, &sink);

	redact_feed(redact, "data: 1\n\n", 9);
	assert_string_equal(sink.text, "data: 1\n\n");
	redact_feed(redact, "xsk-", 4);
	assert_string_equal(sink.text, "data: 1\n\nx");
	redact_feed(redact, "s", 1);
	assert_string_equal(sink.text, "data: 1\n\nxsk-");
	redact_end(redact);
	assert_string_equal(sink.text, "data: 1\n\nxsk-s");
	redact_destroy(&redact);
	redact_destroy(&redact);
	redact_forms_destroy(&forms);
	secret_destroy(&key);
}

static void covers_it_within_a_text(void **state)
{
	(void)state;
	struct secret *key = secret_new("abab", 4);
	struct redact_forms *forms = redact_forms_new(key);
	char text[] = "X-Echo: ababab, abab";

	assert_int_equal(redact_text(forms, text, strlen(text)), 2);
	assert_string_equal(text, "X-Echo: ****ab, ****");
	assert_int_equal(redact_text(forms, text, strlen(text)), 0);
	redact_forms_destroy(&forms);
	secret_destroy(&key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(covers_it_however_it_is_cut),
	    cmocka_unit_test(covers_it_byte_by_byte),
	    cmocka_unit_test(covers_it_in_other_forms),
	    cmocka_unit_test(looks_for_a_short_key_as_it_is_only),
	    cmocka_unit_test(covers_it_in_large_pieces),
	    cmocka_unit_test(holds_back_only_what_may_become_the_key),
	    cmocka_unit_test(covers_it_within_a_text),
	};
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
