/* Which fields pass, and which one holds the token. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "services/llm-gateway/fields.h"
#include "services/llm-gateway/problem.h"

static const char *const up[] = {"Accept", "Content-Type", "User-Agent", "anthropic-version",
    "anthropic-beta", "OpenAI-Organization", "X-Stainless-Lang", "Content-Encoding"};
static const char *const not_up[] = {"Host", "connection", "Keep-Alive", "TE", "Trailer",
    "Transfer-Encoding", "Upgrade", "Proxy-Authorization", "Proxy-Connection", "Content-Length",
    "Expect", "Accept-Encoding", "Range", "If-Range", "AUTHORIZATION", "X-Api-Key",
    "x-goog-api-key", "api-key", "Cookie", "Forwarded", "X-Forwarded-For", "X-Real-IP", "Via",
    "X-Multiclaw-Any", "X-HTTP-Method-Override", "x-http-method", "X-Method-Override",
    "X-Original-URL", "X-Rewrite-URL", "x-mine", "x-own-auth", "HTTP2-Settings"};
static const char *const down[] = {"Content-Type", "Date", "Server", "request-id", "Retry-After",
    "x-ratelimit-remaining-tokens", "Location", "WWW-Authenticate"};
static const char *const not_down[] = {"Connection", "Keep-Alive", "Transfer-Encoding",
    "Content-Length", "Set-Cookie", "Alt-Svc", "X-Multiclaw-Error", "Trailer", "x-mine",
    "Proxy-Authenticate"};

static void lets_through_what_is_the_requests_own(void **state)
{
	(void)state;
	const struct provider provider = {.header = "x-own-auth"};

	for (size_t i = 0; i < ARRAY_LEN(up); i++)
		if (!fields_go_up(up[i], "close, X-Mine", &provider))
			fail_msg("%s", up[i]);
	for (size_t i = 0; i < ARRAY_LEN(not_up); i++)
		if (fields_go_up(not_up[i], "close, X-Mine", &provider))
			fail_msg("%s", not_up[i]);
	for (size_t i = 0; i < ARRAY_LEN(down); i++)
		if (!fields_go_down(down[i], "x-mine"))
			fail_msg("%s", down[i]);
	for (size_t i = 0; i < ARRAY_LEN(not_down); i++)
		if (fields_go_down(not_down[i], "x-mine"))
			fail_msg("%s", not_down[i]);
}

static void reads_lists(void **state)
{
	(void)state;
	assert_true(fields_lists("close", "close"));
	assert_true(fields_lists("a,  Upgrade ,b", "upgrade"));
	assert_false(fields_lists("", "upgrade"));
	assert_false(fields_lists("upgrades, xupgrade", "upgrade"));
	assert_false(fields_lists(",,", "upgrade"));
}

static void knows_names_and_values(void **state)
{
	(void)state;
	assert_true(fields_is_name("X-a_1", 5));
	assert_false(fields_is_name("", 0));
	assert_false(fields_is_name("a b", 3));
	assert_false(fields_is_name("a:", 2));
	assert_false(fields_is_name("a\0b", 3));
	assert_true(fields_is_value("a\tb \xc3\xa4", 6));
	assert_true(fields_is_value("", 0));
	assert_false(fields_is_value("a\rb", 3));
	assert_false(fields_is_value("a\nb", 3));
	assert_false(fields_is_value("a\0b", 3));
	assert_false(fields_is_value("\x7f", 1));
}

static void finds_the_token(void **state)
{
	const char *token;

	(void)state;
	assert_true(fields_hold_token("Authorization", "Bearer t", &token));
	assert_string_equal(token, "t");
	assert_true(fields_hold_token("authorization", "bearer t", &token));
	assert_string_equal(token, "t");
	assert_true(fields_hold_token("Authorization", "Basic t", &token));
	assert_string_equal(token, "");
	assert_true(fields_hold_token("X-Api-Key", "t", &token));
	assert_string_equal(token, "t");
	assert_true(fields_hold_token("x-goog-api-key", "Bearer t", &token));
	assert_string_equal(token, "Bearer t");
	assert_false(fields_hold_token("Cookie", "t", &token));
}

static void writes_errors_as_clients_read_them(void **state)
{
	(void)state;
	struct provider provider = {.shape = PROVIDER_OPENAI};
	char *text = problem_text(NULL, 403, "key_not_available", "no \"key\"");
	assert_string_equal(text,
	    "{\"error\":{\"message\":\"no \\\"key\\\"\",\"type\":\"permission_error\","
	    "\"param\":null,\"code\":\"key_not_available\"}}");
	free(text);
	provider.shape = PROVIDER_ANTHROPIC;
	text = problem_text(&provider, 429, "too_many_requests", "t");
	assert_string_equal(text, "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\","
				  "\"message\":\"t\",\"code\":\"too_many_requests\"}}");
	free(text);
	provider.shape = PROVIDER_GEMINI;
	text = problem_text(&provider, 504, "provider_timeout", "t");
	assert_string_equal(text, "{\"error\":{\"code\":504,\"message\":\"t\",\"status\":"
				  "\"DEADLINE_EXCEEDED\",\"details\":[{"
				  "\"@type\":\"type.googleapis.com/"
				  "google.rpc.ErrorInfo\",\"reason\":\"provider_timeout\","
				  "\"domain\":\"multiclaw\"}]}}");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lets_through_what_is_the_requests_own),
	    cmocka_unit_test(reads_lists),
	    cmocka_unit_test(knows_names_and_values),
	    cmocka_unit_test(finds_the_token),
	    cmocka_unit_test(writes_errors_as_clients_read_them),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
