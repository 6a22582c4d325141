/* What may be stored under which name, and how little of it is shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "services/secret-vault/value.h"

#define LONG64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define CANARY "sk-canary"

static const struct {
	const char *kind, *name;
	bool good;
} names[] = {
    {"llm", "anthropic", true},
    {"bot", "telegram", true},
    {"custom", "a", true},
    {"custom", "_-0", true},
    {"custom", LONG64, true},
    {"custom", LONG64 "x", false},
    {"custom", "", false},
    {"custom", "A", false},
    {"custom", "a b", false},
    {"custom", "a.b", false},
    {"custom", "../x", false},
    {"custom", "a/b", false},
    {"custom", "ä", false},
    {"custom", "a\n", false},
    {"wallet", "hot", false},
    {"", "a", false},
    {"LLM", "a", false},
    {"custom ", "a", false},
};

static void takes_names_of_the_grammar_only(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct error err = {0};
		bool good = value_check_name(names[i].kind, names[i].name, &err) == 0;
		if (good != names[i].good)
			fail_msg("%s/%s", names[i].kind, names[i].name);
		if (!good)
			assert_string_equal(err.reason, "secret_name_invalid");
	}
}

#define VALUE(text) text, sizeof(text) - 1
static const struct {
	const char *kind, *bytes;
	size_t len;
	bool good;
} values[] = {
    {"llm", VALUE(CANARY), true},
    {"llm", VALUE("x"), true},
    {"llm", VALUE("a b"), true},
    {"bot", VALUE("123:abc_ÄÖ"), true},
    {"custom", VALUE(""), false},
    {"llm", VALUE(""), false},
    {"llm", VALUE(CANARY "\n"), false},
    {"llm", VALUE(CANARY "\r\n"), false},
    {"llm", VALUE(" " CANARY), false},
    {"llm", VALUE(CANARY " "), false},
    {"bot", VALUE("\t" CANARY), false},
    {"bot", VALUE(CANARY "\x7f" CANARY), false},
    {"bot", VALUE(CANARY "\xc2\x85" CANARY), false},
    {"bot", VALUE(CANARY "\xc2\xa0"), false},
    {"bot", VALUE("\xef\xbb\xbf" CANARY), false},
    {"bot", VALUE(CANARY "\xe2\x80\xa8" CANARY), false},
    {"bot", VALUE(CANARY "\xe3\x80\x80"), false},
    {"custom", VALUE(" -----BEGIN\n\tx\r\n \x01 \xe2\x80\xae\n"), true},
    {"custom", VALUE(CANARY "\0" CANARY), false},
    {"custom", VALUE("\0"), false},
    {"llm", VALUE(CANARY "\0"), false},
    {"custom", VALUE(CANARY "\xff"), false},
    {"custom", VALUE(CANARY "\xc3"), false},
    {"custom", VALUE(CANARY "\xc0\x80"), false},
    {"custom", VALUE(CANARY "\xed\xa0\x80"), false},
    {"custom", VALUE(CANARY "\xf4\x90\x80\x80"), false},
};

static void takes_values_that_can_be_used_and_says_nothing_of_others(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		struct error err = {0};
		bool good = value_check(values[i].kind, values[i].bytes, values[i].len, &err) == 0;
		if (good != values[i].good)
			fail_msg("value %zu: %s", i, err.text);
		if (good)
			continue;
		assert_int_equal(err.code, ERR_INVALID);
		assert_string_equal(err.reason, "secret_value_invalid");
		assert_null(strstr(err.text, "canary"));
	}
}

static void takes_values_up_to_64_kib(void **state)
{
	(void)state;
	static char big[65536 + 1];
	struct error err;
	memset(big, 'x', sizeof(big));
	assert_int_equal(value_check("custom", big, 65536, &err), 0);
	assert_int_equal(value_check("llm", big, 65536, &err), 0);
	assert_int_equal(value_check("custom", big, 65537, &err), -1);
	assert_int_equal(value_check("llm", big, 65537, &err), -1);
}

static const struct {
	const char *value, *preview;
} previews[] = {
    {"", ""},
    {"short", ""},
    {"0123456789012345678", ""},
    {"01234567890123456789", "01234"},
    {"012345678901234567890123", "012345"},
    {"0123456789012345678901234567", "0123456"},
    {"0123456789012345678901234567890", "0123456"},
    {"01234567890123456789012345678901", "01234567"},
    {"sk-ant-api03-0123456789012345678901234567890123456789", "sk-ant-a"},
    /* characters, not bytes: 19 of two bytes, then 20; then of four */
    {"äääääääääääääääääää", ""},
    {"ääääääääääääääääääää", "äääää"},
    {"🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑", "🔑🔑🔑🔑🔑🔑🔑🔑"},
    {"a€b🔑ä78901234567890123456789012", "a€b🔑ä78"},
};

static void shows_a_quarter_and_eight_characters_at_most(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(previews); i++) {
		char shown[PREVIEW_MAX + 1];
		size_t len = value_preview(previews[i].value, strlen(previews[i].value), shown);
		if (strcmp(shown, previews[i].preview) != 0 || len != strlen(shown))
			fail_msg("%s: %s", previews[i].value, shown);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(takes_names_of_the_grammar_only),
	    cmocka_unit_test(takes_values_that_can_be_used_and_says_nothing_of_others),
	    cmocka_unit_test(takes_values_up_to_64_kib),
	    cmocka_unit_test(shows_a_quarter_and_eight_characters_at_most),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
