/* Paths against patterns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "services/router/route.h"

static void a_pattern_takes_what_it_leaves_open(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *path, *first, *second; /* first NULL: does not fit */
	} cases[] = {
	    {"/v1/session", "/v1/session", "", ""},
	    {"/v1/session", "/v1/sessions", NULL, NULL},
	    {"/v1/session", "/v1/sessio", NULL, NULL},
	    {"/v1/session", "/v1/session/", NULL, NULL},
	    {"/v1/session", "", NULL, NULL},
	    {"/v1/sessions/*", "/v1/sessions/a", "a", ""},
	    {"/v1/sessions/*", "/v1/sessions/", NULL, NULL},
	    {"/v1/sessions/*", "/v1/sessions", NULL, NULL},
	    {"/v1/sessions/*", "/v1/sessions/a/", NULL, NULL},
	    {"/v1/sessions/*", "/v1/sessions/a/b", NULL, NULL},
	    {"/v1/x/*/restore", "/v1/x/7/restore", "7", ""},
	    {"/v1/x/*/restore", "/v1/x//restore", NULL, NULL},
	    {"/v1/x/*/restore", "/v1/x/restore", NULL, NULL},
	    {"/v1/x/*/restore", "/v1/x/7/restored", NULL, NULL},
	    {"/v1/x/*/restore", "/v1/x/7%2frestore", NULL, NULL},
	    {"/v1/secrets/+/+", "/v1/secrets/llm/openai", "llm", "openai"},
	    {"/v1/secrets/+/+", "/v1/secrets/llm", NULL, NULL},
	    {"/v1/secrets/+/+", "/v1/secrets/llm/", NULL, NULL},
	    {"/v1/secrets/+/+", "/v1/secrets//openai", NULL, NULL},
	    {"/v1/secrets/+/+", "/v1/secrets///", NULL, NULL},
	    {"/v1/secrets/+/+", "/v1/secrets/llm/openai/x", NULL, NULL},
	    {"/v1/secrets/+/+", "/v1/secrets/llm/openai/", NULL, NULL},
	    {"/v1/secrets/+/+", "/v1/secrets/+/+", "+", "+"},
	    {"/v1/secrets/+/+", "/v1/secrets/../x", "..", "x"}, /* text: nobody opens it */
	    {"/v1/secrets/+/+", "/v1/secrets/%6clm/a%2fb", "%6clm", "a%2fb"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct route_arguments arguments;
		bool fits = route_matches(cases[i].pattern, cases[i].path, &arguments);
		assert_int_equal(fits, cases[i].first != NULL);
		if (fits) {
			assert_string_equal(arguments.text[0], cases[i].first);
			assert_string_equal(arguments.text[1], cases[i].second);
		}
	}
}

static void a_segment_that_is_too_long_is_none(void **state)
{
	(void)state;
	static const struct {
		const char *pattern;
		size_t max;
	} cases[] = {{"/v1/x/*", ROUTE_NAME_MAX}, {"/v1/x/+", ROUTE_ARGUMENT_MAX}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char path[16 + ROUTE_ARGUMENT_MAX + 2] = "/v1/x/";
		size_t skip = strlen(path);
		struct route_arguments arguments;
		memset(path + skip, 'a', cases[i].max);
		assert_true(route_matches(cases[i].pattern, path, &arguments));
		assert_int_equal(strlen(arguments.text[0]), cases[i].max);
		path[skip + cases[i].max] = 'a';
		assert_false(route_matches(cases[i].pattern, path, &arguments));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_pattern_takes_what_it_leaves_open),
	    cmocka_unit_test(a_segment_that_is_too_long_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
