#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "services/router/cookie.h"

struct expected {
	const char *header, *console, *agent, *forward;
	bool repeated;
};

static bool same(struct cookie_value value, const char *text)
{
	if (!text)
		return !value.text;
	return value.text && value.len == strlen(text) && memcmp(value.text, text, value.len) == 0;
}

static void separates_our_cookies_from_the_others(void **state)
{
	(void)state;
	static const struct expected cases[] = {
	    {"", NULL, NULL, "", false},
	    {"a=b", NULL, NULL, "a=b", false},
	    {"__Host-multiclaw=t", "t", NULL, "", false},
	    {"__Host-multiclaw-agent=t", NULL, "t", "", false},
	    {"a=1; __Host-multiclaw=t; b=2", "t", NULL, "a=1; b=2", false},
	    {"__Host-multiclaw=x; a=1; __Host-multiclaw-agent=y", "x", "y", "a=1", false},
	    {"a=1;b=2 ;\tc=3", NULL, NULL, "a=1; b=2; c=3", false},
	    {"a=1;;; ;b=2;", NULL, NULL, "a=1; b=2", false},
	    {"a=b=c; d", NULL, NULL, "a=b=c; d", false},
	    {"__Host-multiclaw = t ", "t", NULL, "", false},
	    {" \t__Host-multiclaw\t=t", "t", NULL, "", false},
	    {"__Host-multiclaw=", "", NULL, "", false},
	    {"__Host-multiclaw", "", NULL, "", false},
	    {"__Host-multiclaw=a=b", "a=b", NULL, "", false},
	    {"__Host-multiclaw=\"t\"", "\"t\"", NULL, "", false},
	    /* a parser that knows quotes would see one cookie here: cut at every ';' ours cannot hide in it */
	    {"a=\"x; __Host-multiclaw=t\"", "t\"", NULL, "a=\"x", false},
	    /* twice, in each way that some parser reads as twice */
	    {"__Host-multiclaw=a; __Host-multiclaw=b", "b", NULL, "", true},
	    {"__Host-multiclaw=a; __Host-multiclaw=a", "a", NULL, "", true},
	    {"__Host-multiclaw=a; __Host-multiclaw", "", NULL, "", true},
	    {"__Host-multiclaw=a; __Host-multiclaw =b; c=d", "b", NULL, "c=d", true},
	    {"__Host-multiclaw-agent=a;__Host-multiclaw-agent=b", NULL, "b", "", true},
	    /* another letter case is not a session, and not for the agent either */
	    {"__host-multiclaw=t; a=1", NULL, NULL, "a=1", false},
	    {"__HOST-MULTICLAW-AGENT=t; a=1", NULL, NULL, "a=1", false},
	    {"__Host-multiclaw-other=t; a=1", NULL, NULL, "a=1", false},
	    {"__Host-multiclawx=t", NULL, NULL, "", false},
	    {"x__Host-multiclaw=t", NULL, NULL, "x__Host-multiclaw=t", false},
	    {"=__Host-multiclaw=t", NULL, NULL, "=__Host-multiclaw=t", false},
	    {"a=__Host-multiclaw=t", NULL, NULL, "a=__Host-multiclaw=t", false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct cookies cookies;
		cookies_init(&cookies);
		cookies_add(&cookies, cases[i].header);
		if (!same(cookies.console, cases[i].console) ||
		    !same(cookies.agent, cases[i].agent) ||
		    strcmp(cookies.forward, cases[i].forward) != 0 ||
		    cookies.repeated != cases[i].repeated || cookies.too_long)
			fail_msg("%s -> forwards '%s'", cases[i].header, cookies.forward);
	}
}

static void sees_a_name_twice_over_several_headers(void **state)
{
	(void)state;
	struct cookies cookies;
	cookies_init(&cookies);
	cookies_add(&cookies, "a=1; __Host-multiclaw=x");
	assert_false(cookies.repeated);
	cookies_add(&cookies, "__Host-multiclaw=y; b=2");
	assert_true(cookies.repeated);
	assert_string_equal(cookies.forward, "a=1; b=2");
}

static void does_not_forward_more_than_it_holds(void **state)
{
	(void)state;
	struct cookies cookies;
	char *big = malloc(COOKIE_FORWARD_MAX + 2);
	memset(big, 'a', COOKIE_FORWARD_MAX + 1);
	big[COOKIE_FORWARD_MAX + 1] = '\0';
	cookies_init(&cookies);
	cookies_add(&cookies, big + 1);
	assert_false(cookies.too_long);
	cookies_add(&cookies, "b");
	assert_true(cookies.too_long);
	cookies_init(&cookies);
	cookies_add(&cookies, big);
	assert_true(cookies.too_long);
	assert_string_equal(cookies.forward, "");
	free(big);
}

static void knows_what_a_token_may_look_like(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool ok;
	} cases[] = {{"eyJ.a-b_9.Z", true}, {"", false}, {"a b", false}, {"a\"", false},
	    {"a%41", false}, {"a,b", false}, {"a=b", false}, {"a/b", false}, {"\xc3\xa4", false}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct cookie_value value = {cases[i].text, strlen(cases[i].text)};
		assert_int_equal(cookie_is_token(value), cases[i].ok);
	}
	char big[COOKIE_TOKEN_MAX + 1];
	memset(big, 'a', sizeof(big));
	assert_true(cookie_is_token((struct cookie_value){big, COOKIE_TOKEN_MAX}));
	assert_false(cookie_is_token((struct cookie_value){big, COOKIE_TOKEN_MAX + 1}));
}

static void writes_set_cookie_byte_for_byte(void **state)
{
	(void)state;
	char buf[COOKIE_SET_SIZE];
	assert_string_equal(cookie_set(COOKIE_CONSOLE, "a.b.c", 604800, buf),
	    "__Host-multiclaw=a.b.c; Path=/; Max-Age=604800; HttpOnly; Secure; SameSite=Strict");
	assert_string_equal(cookie_clear(COOKIE_AGENT, buf),
	    "__Host-multiclaw-agent=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Strict");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(separates_our_cookies_from_the_others),
	    cmocka_unit_test(sees_a_name_twice_over_several_headers),
	    cmocka_unit_test(does_not_forward_more_than_it_holds),
	    cmocka_unit_test(knows_what_a_token_may_look_like),
	    cmocka_unit_test(writes_set_cookie_byte_for_byte),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
