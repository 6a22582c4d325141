/* What may be asked for, and what is sent upstream of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/scoped.h"
#include "services/llm-gateway/target.h"

#define FILE_TEXT \
	"{\"providers\":[" \
	"{\"name\":\"openai\",\"env\":[\"A\"],\"base_url\":\"https://api.example/base\"," \
	"\"auth\":{\"header\":\"authorization\",\"prefix\":\"Bearer \"}," \
	"\"paths\":[\"/v1/chat\",\"/v1/files/\"],\"shape\":\"openai\"}," \
	"{\"name\":\"query\",\"env\":[\"B\"],\"base_url\":\"https://q.example\"," \
	"\"auth\":{\"query\":\"key\"},\"paths\":[\"/m\"],\"shape\":\"gemini\"}," \
	"{\"name\":\"bare\",\"env\":[\"C\"]}]}"

static int setup(void **state)
{
	struct error err;

	*state = providers_parse(FILE_TEXT, strlen(FILE_TEXT), &err);
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	struct providers *providers = *state;

	providers_destroy(&providers);
	return 0;
}

static const struct {
	const char *text, *reason; /* NULL: taken */
} cases[] = {
    {"/openai/v1/chat", NULL},
    {"/openai/v1/chat/completions", NULL},
    {"/openai/v1/chat:x", NULL},
    {"/openai/v1/chat?", NULL},
    {"/openai/v1/chat?a=b&c=%20d", NULL},
    {"/openai/v1/chat/a%20b@c,d;e=f", NULL},
    {"/openai/v1/files/", NULL},
    {"/openai/v1/files/x", NULL},
    {"/openai/v1/chat/...", NULL},
    {"/query/m", NULL},
    {"/openai/v1/files", "path_not_offered"},
    {"/openai/v1/chatx", "path_not_offered"},
    {"/openai/v1", "path_not_offered"},
    {"/openai", "path_not_offered"},
    {"/openai?x", "path_not_offered"},
    {"/bare/v1/chat", "provider_not_offered"},
    {"/opena/v1/chat", "provider_not_offered"},
    {"/openaii/v1/chat", "provider_not_offered"},
    {"/", "provider_not_offered"},
    {"", "target_malformed"},
    {"*", "target_malformed"},
    {"openai/v1/chat", "target_malformed"},
    {"http://openai/v1/chat", "target_malformed"},
    {"//openai/v1/chat", "target_malformed"},
    {"/openai//v1/chat", "target_malformed"},
    {"/openai/v1/chat/../x", "target_malformed"},
    {"/openai/v1/chat/..", "target_malformed"},
    {"/openai/v1/chat/.", "target_malformed"},
    {"/openai/./v1/chat", "target_malformed"},
    {"/openai/v1/chat/..;/x", "target_malformed"},
    {"/openai/v1/chat/..;a=b", "target_malformed"},
    {"/openai/v1/chat/.;/x", "target_malformed"},
    {"/openai/v1/chat/;a/x", "target_malformed"},
    {"/openai/v1/chat/%2e%2E/x", "target_malformed"},
    {"/openai/v1/chat/%2fx", "target_malformed"},
    {"/openai/v1/chat/%5c", "target_malformed"},
    {"/openai/v1/chat/%00", "target_malformed"},
    {"/openai/v1/chat/%0a", "target_malformed"},
    {"/openai/v1/chat/%7f", "target_malformed"},
    {"/openai/v1/chat/%25", "target_malformed"},
    {"/openai/v1/chat/%", "target_malformed"},
    {"/openai/v1/chat/%2", "target_malformed"},
    {"/openai/v1/chat/%2?0", "target_malformed"},
    {"/openai/v1/chat/%g0", "target_malformed"},
    {"/openai/v1/chat\\x", "target_malformed"},
    {"/openai/v1/chat#x", "target_malformed"},
    {"/openai/v1/chat?a#x", "target_malformed"},
    {"/openai/v1/chat?a=\"", "target_malformed"},
    {"/openai/v1/chat?a=%0d", "target_malformed"},
    {"/openai/v1/chat?a=%", "target_malformed"},
    {"/openai/v1/ch\xc3\xa4t", "target_malformed"},
    {"/openai/v1/ch at", "target_malformed"},
};

static void takes_what_is_offered_and_refuses_the_rest(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct target target;
		struct error err = {0};
		int status = target_read(cases[i].text, *state, &target, &err);

		if (status != (cases[i].reason ? -1 : 0) ||
		    strcmp(err.reason, cases[i].reason ? cases[i].reason : "") != 0)
			fail_msg("%s: %d %s", cases[i].text, status, err.reason);
	}
}

static void refuses_one_that_is_too_long(void **state)
{
	scoped_free char *text = malloc(TARGET_MAX + 2);
	struct target target;
	struct error err;

	memset(text, 'x', TARGET_MAX + 1);
	memcpy(text, "/openai/v1/chat/", 16);
	text[TARGET_MAX] = '\0';
	assert_int_equal(target_read(text, *state, &target, &err), 0);
	text[TARGET_MAX] = 'x';
	text[TARGET_MAX + 1] = '\0';
	assert_int_equal(target_read(text, *state, &target, &err), -1);
}

static const struct {
	const char *text, *key, *url;
} urls[] = {
    {"/openai/v1/chat", NULL, "https://api.example/base/v1/chat"},
    {"/openai/v1/chat?", NULL, "https://api.example/base/v1/chat"},
    {"/openai/v1/chat?key=1&&b", NULL, "https://api.example/base/v1/chat?key=1&b"},
    {"/query/m", "a&b=c", "https://q.example/m?key=a%26b%3Dc"},
    {"/query/m?a=1", "k", "https://q.example/m?a=1&key=k"},
    {"/query/m?key=x&a=1&key&k%65y=y&keys=2&ke=3", "k",
	"https://q.example/m?a=1&keys=2&ke=3&key=k"},
};

static void sends_on_what_was_judged(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		struct target target;
		struct error err;

		assert_int_equal(target_read(urls[i].text, *state, &target, &err), 0);
		scoped_free char *url =
		    target_url(&target, urls[i].key, urls[i].key ? strlen(urls[i].key) : 0);
		assert_string_equal(url, urls[i].url);
	}
}

static const struct {
	const char *method, *text;
	bool is_for_all;
} shared[] = {
    {"POST", "/openai/v1/chat/completions", true},
    {"POST", "/openai/v1/chat/models", true},
    {"GET", "/openai/v1/chat/models", true},
    {"HEAD", "/openai/v1/chat/models/x", true},
    {"GET", "/openai/v1/chat/models:x", true},
    {"GET", "/openai/v1/chat/completions", false},
    {"GET", "/openai/v1/chat/xmodels", false},
    {"GET", "/openai/v1/chat/modelsx", false},
    {"GET", "/openai/v1/chat?/models", false},
    {"DELETE", "/openai/v1/chat/models/x", false},
    {"PATCH", "/openai/v1/chat/models/x", false},
    {"PUT", "/openai/v1/chat/models", false},
    {"POST", "/openai/v1/chat/batches", false},
    {"POST", "/openai/v1/chat/batches/x", false},
    {"POST", "/openai/v1/chat/b%61tches", false},
    {"POST", "/openai/v1/chat/batches;x", false},
    {"POST", "/openai/v1/chat?a=%20", true},
};

static void keeps_what_others_stored_from_who_shares_a_key(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(shared); i++) {
		struct target target;
		struct error err;

		assert_int_equal(target_read(shared[i].text, *state, &target, &err), 0);
		if (target_is_for_all(&target, shared[i].method) != shared[i].is_for_all)
			fail_msg("%s %s", shared[i].method, shared[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(takes_what_is_offered_and_refuses_the_rest),
	    cmocka_unit_test(refuses_one_that_is_too_long),
	    cmocka_unit_test(sends_on_what_was_judged),
	    cmocka_unit_test(keeps_what_others_stored_from_who_shares_a_key),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
