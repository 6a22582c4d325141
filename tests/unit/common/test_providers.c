/* The data file of LLM providers: what is in the one that ships, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/scoped.h"
#include "common/providers.h"

#define X64 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define A63 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define ONE(members) "{\"providers\":[{" members "}]}"
#define TWO(members, others) "{\"providers\":[{" members "},{" others "}]}"

static struct providers *parse(const char *text, struct error *err)
{
	return providers_parse(text, strlen(text), err);
}

static void reads_the_file_that_ships(void **state)
{
	(void)state;
	struct error err;
	struct providers *providers = providers_read("deploy/providers.json", &err);
	if (!providers) {
		fail_msg("%s", err.text);
		return;
	}
	assert_true(providers->len >= 27);
	assert_string_equal(providers->provider[0].name, "anthropic");
	const struct provider *gemini = providers_find(providers, "gemini");
	assert_int_equal(gemini->nenv, 2);
	assert_string_equal(gemini->env[0], "GEMINI_API_KEY");
	assert_string_equal(gemini->env[1], "GOOGLE_API_KEY");
	assert_string_equal(providers_find(providers, "huggingface")->env[0], "HF_TOKEN");
	assert_string_equal(gemini->base_url, "https://generativelanguage.googleapis.com");
	assert_string_equal(gemini->query, "key");
	assert_int_equal(gemini->shape, PROVIDER_GEMINI);
	const struct provider *openai = providers_find(providers, "openai");
	assert_string_equal(openai->prefix, "Bearer ");
	assert_string_equal(openai->path[0], "/v1/chat/completions");
	assert_string_equal(providers_find(providers, "litellm")->base_url, "");
	assert_null(providers_find(providers, "nobody"));
	assert_null(providers_find(providers, ""));
	providers_destroy(&providers);
	assert_null(providers);
	providers_destroy(&providers);
}

#define BASE "\"base_url\":\"https://a.example\""
#define AUTH "\"auth\":{\"header\":\"x-api-key\"}"
#define PATHS "\"paths\":[\"/v1\"]"
#define SHAPE "\"shape\":\"openai\""
#define OFFER(base, auth, paths, shape) \
	ONE("\"name\":\"a\",\"env\":[\"A\"]," base "," auth "," paths "," shape)
#define PRICED(prices) OFFER(BASE, AUTH, PATHS, SHAPE ",\"prices\":" prices)

static const char *const good[] = {
    OFFER(BASE, AUTH, PATHS, SHAPE),
    OFFER("\"base_url\":\"https://a.example:8443/b/c\"",
	"\"auth\":{\"header\":\"a\",\"prefix\":\"Bearer \",\"query\":\"key\"}",
	"\"paths\":[\"/v1/\",\"/v1beta/models:x\"]", "\"shape\":\"gemini\""),
    OFFER(BASE, "\"auth\":{\"query\":\"key\"}", PATHS, "\"shape\":\"anthropic\""),
    PRICED("[]"),
    PRICED("[{\"model\":\"a/b-1.5:x@2\",\"input\":0,\"output\":1000000}]"),
    ONE("\"name\":\"a\",\"env\":[\"A\"]"),
    ONE("\"name\":\"" X64 "\",\"env\":[\"A" A63 "\"]"),
    ONE("\"name\":\"a_-9\",\"env\":[\"A\",\"B_\",\"C9\",\"D\"],\"x-why\":{\"b\":[1]}"),
    "{\"x-about\":1,\"providers\":[{\"name\":\"a\",\"env\":[\"A\"]}]}",
};
static const char *const bad[] = {
    "",
    "null",
    "[]",
    "{}",
    "{\"providers\":{}}",
    "{\"providers\":[]}",
    "{\"providers\":[1]}",
    "{\"providers\":[{}]}",
    "{\"providers\":[{\"name\":\"a\",\"env\":[\"A\"]}],\"more\":1}",
    "{\"providers\":[{\"name\":\"a\",\"env\":[\"A\"]}]",
    "{\"providers\":[{\"name\":\"a\",\"env\":[\"A\"]}]}{}",
    ONE("\"env\":[\"A\"]"),
    ONE("\"name\":\"a\""),
    ONE("\"name\":\"\",\"env\":[\"A\"]"),
    ONE("\"name\":1,\"env\":[\"A\"]"),
    ONE("\"name\":\"A\",\"env\":[\"A\"]"),
    ONE("\"name\":\"a.b\",\"env\":[\"A\"]"),
    ONE("\"name\":\"x" X64 "\",\"env\":[\"A\"]"),
    ONE("\"name\":\"a\\u0000b\",\"env\":[\"A\"]"),
    ONE("\"name\":\"a\",\"env\":\"A\""),
    ONE("\"name\":\"a\",\"env\":{\"0\":\"A\"}"),
    ONE("\"name\":\"a\",\"env\":[]"),
    ONE("\"name\":\"a\",\"env\":[\"A\",\"B\",\"C\",\"D\",\"E\"]"),
    ONE("\"name\":\"a\",\"env\":[1]"),
    ONE("\"name\":\"a\",\"env\":[\"\"]"),
    ONE("\"name\":\"a\",\"env\":[\"a\"]"),
    ONE("\"name\":\"a\",\"env\":[\"_A\"]"),
    ONE("\"name\":\"a\",\"env\":[\"9A\"]"),
    ONE("\"name\":\"a\",\"env\":[\"A=B\"]"),
    ONE("\"name\":\"a\",\"env\":[\"A/B\"]"),
    ONE("\"name\":\"a\",\"env\":[\"AA" A63 "\"]"),
    ONE("\"name\":\"a\",\"env\":[\"A\",\"A\"]"),
    ONE("\"name\":\"a\",\"name\":\"b\",\"env\":[\"A\"]"),
    ONE("\"name\":\"a\",\"env\":[\"A\"],\"url\":\"b\""),
    ONE("\"name\":\"a\",\"env\":[\"A\"],\"path\":[]"),
    ONE("\"name\":\"a\",\"env\":[\"A\"]," BASE),
    ONE("\"name\":\"a\",\"env\":[\"A\"]," AUTH "," PATHS "," SHAPE),
    OFFER("\"base_url\":\"http://a.example\"", AUTH, PATHS, SHAPE),
    OFFER("\"base_url\":\"https://\"", AUTH, PATHS, SHAPE),
    OFFER("\"base_url\":\"https://a.example/\"", AUTH, PATHS, SHAPE),
    OFFER("\"base_url\":\"https://a.example/b/../c\"", AUTH, PATHS, SHAPE),
    OFFER("\"base_url\":\"https://a.example?b\"", AUTH, PATHS, SHAPE),
    OFFER("\"base_url\":\"https://u:p@a.example\"", AUTH, PATHS, SHAPE),
    OFFER("\"base_url\":\"https://a.example b\"", AUTH, PATHS, SHAPE),
    OFFER("\"base_url\":1", AUTH, PATHS, SHAPE),
    OFFER(BASE, "\"auth\":{}", PATHS, SHAPE),
    OFFER(BASE, "\"auth\":\"x-api-key\"", PATHS, SHAPE),
    OFFER(BASE, "\"auth\":{\"header\":\"x y\"}", PATHS, SHAPE),
    OFFER(BASE, "\"auth\":{\"header\":\"x:\"}", PATHS, SHAPE),
    OFFER(BASE, "\"auth\":{\"header\":\"x\",\"prefix\":\"a\\r\\nb\"}", PATHS, SHAPE),
    OFFER(BASE, "\"auth\":{\"header\":\"x\",\"more\":1}", PATHS, SHAPE),
    OFFER(BASE, "\"auth\":{\"query\":\"a&b\"}", PATHS, SHAPE),
    OFFER(BASE, "\"auth\":{\"header\":1}", PATHS, SHAPE),
    OFFER(BASE, AUTH, "\"paths\":[]", SHAPE),
    OFFER(BASE, AUTH, "\"paths\":\"/v1\"", SHAPE),
    OFFER(BASE, AUTH, "\"paths\":[\"v1\"]", SHAPE),
    OFFER(BASE, AUTH, "\"paths\":[\"/v1/../x\"]", SHAPE),
    OFFER(BASE, AUTH, "\"paths\":[\"/v1//x\"]", SHAPE),
    OFFER(BASE, AUTH, "\"paths\":[\"/v1?x\"]", SHAPE),
    OFFER(BASE, AUTH, "\"paths\":[1]", SHAPE),
    OFFER(BASE, AUTH, PATHS, "\"shape\":\"other\""),
    ONE("\"name\":\"a\",\"env\":[\"A\"],\"prices\":[]"),
    PRICED("{}"),
    PRICED("null"),
    PRICED("[1]"),
    PRICED("[{\"model\":\"a\",\"input\":1}]"),
    PRICED("[{\"input\":1,\"output\":1}]"),
    PRICED("[{\"model\":\"\",\"input\":1,\"output\":1}]"),
    PRICED("[{\"model\":\"a b\",\"input\":1,\"output\":1}]"),
    PRICED("[{\"model\":\"" X64 X64 "\",\"input\":1,\"output\":1}]"),
    PRICED("[{\"model\":\"a\",\"input\":-1,\"output\":1}]"),
    PRICED("[{\"model\":\"a\",\"input\":1,\"output\":1000001}]"),
    PRICED("[{\"model\":\"a\",\"input\":\"1\",\"output\":1}]"),
    PRICED("[{\"model\":\"a\",\"input\":1,\"output\":1,\"cached\":1}]"),
    OFFER(BASE, AUTH, PATHS, "\"shape\":1"),
    TWO("\"name\":\"a\",\"env\":[\"A\"]", "\"name\":\"a\",\"env\":[\"B\"]"),
    TWO("\"name\":\"a\",\"env\":[\"A\"]", "\"name\":\"b\",\"env\":[\"B\",\"A\"]"),
};

static void refuses_bad_files_and_says_where(void **state)
{
	(void)state;
	struct error err = {0};
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct providers *providers = parse(good[i], &err);
		if (!providers)
			fail_msg("%s: %s", good[i], err.text);
		providers_destroy(&providers);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		err = (struct error){0};
		if (parse(bad[i], &err))
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(err.code, ERR_INVALID);
		assert_true(err.text[0]);
	}
	assert_null(parse(bad[ARRAY_LEN(bad) - 1], &err));
	assert_non_null(strstr(err.text, "provider 2"));
}

static struct providers *parse_many(size_t count, struct error *err)
{
	static char text[64 * (PROVIDERS_MAX + 2)];
	size_t len = (size_t)snprintf(text, sizeof(text), "{\"providers\":[");
	for (size_t i = 0; i < count; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
		    "%s{\"name\":\"p%zu\",\"env\":[\"P%zu\"]}", i ? "," : "", i, i);
	len += (size_t)snprintf(text + len, sizeof(text) - len, "]}");
	return providers_parse(text, len, err);
}

static void takes_128_and_no_more(void **state)
{
	(void)state;
	struct error err;
	struct providers *providers = parse_many(PROVIDERS_MAX, &err);
	assert_non_null(providers);
	assert_int_equal(providers->len, PROVIDERS_MAX);
	providers_destroy(&providers);
	assert_null(parse_many(PROVIDERS_MAX + 1, &err));
}

static void names_a_file_that_it_cannot_read(void **state)
{
	(void)state;
	char path[] = "/tmp/providers.XXXXXX";
	struct error err;
	scoped_fd int fd = mkstemp(path);
	assert_int_equal(write(fd, "{", 1), 1);
	assert_null(providers_read(path, &err));
	assert_non_null(strstr(err.text, path));
	assert_int_equal(ftruncate(fd, 256 * 1024 + 1), 0);
	assert_null(providers_read(path, &err));
	assert_non_null(strstr(err.text, "larger"));
	unlink(path);
	assert_null(providers_read(path, &err));
	assert_non_null(strstr(err.text, path));
	assert_null(providers_read("/tmp", &err));
}

static void a_model_has_the_price_of_the_longest_name_that_it_is_a_version_of(void **state)
{
	static const char text[] = PRICED("[{\"model\":\"m\",\"input\":2.5,\"output\":10},{"
					  "\"model\":\"m-4\",\"input\":1,\"output\":0},"
					  "{\"model\":\"m-pro\",\"input\":100,\"output\":3}]");
	static const struct {
		const char *model;
		uint64_t input, output, micro;
		enum provider_cost cost;
	} cases[] = {
	    {"m", 4, 1, 20, PROVIDER_COST_LISTED},
	    {"m-2024-08-06", 1, 0, 3, PROVIDER_COST_LISTED},
	    {"m-latest", 2, 0, 5, PROVIDER_COST_LISTED},
	    {"m:free", 0, 1, 10, PROVIDER_COST_LISTED},
	    {"m@1", 0, 0, 0, PROVIDER_COST_LISTED},
	    {"m-4-1", 7, 9, 7, PROVIDER_COST_LISTED},
	    {"m-pro", 1, 1, 103, PROVIDER_COST_LISTED},
	    {"m-mini", 1, 1, 110, PROVIDER_COST_HIGHEST},
	    {"m.1", 1, 1, 110, PROVIDER_COST_HIGHEST},
	    {"mm", 1, 1, 110, PROVIDER_COST_HIGHEST},
	    {"", 1, 1, 110, PROVIDER_COST_HIGHEST},
	    {"", UINT64_C(3000000000), 0, UINT64_C(300000000000), PROVIDER_COST_HIGHEST},
	};
	struct error err = {0};
	struct providers *providers = providers_parse(text, strlen(text), &err);
	uint64_t micro;

	(void)state;
	assert_non_null(providers);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(providers_cost(&providers->provider[0], cases[i].model,
				     cases[i].input, cases[i].output, &micro),
		    cases[i].cost);
		assert_int_equal(micro, cases[i].micro);
	}
	providers->provider[0].nprices = 0;
	assert_int_equal(
	    providers_cost(&providers->provider[0], "m", 1, 1, &micro), PROVIDER_COST_NONE);
	assert_int_equal(micro, 0);
	providers_destroy(&providers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_model_has_the_price_of_the_longest_name_that_it_is_a_version_of),
	    cmocka_unit_test(reads_the_file_that_ships),
	    cmocka_unit_test(refuses_bad_files_and_says_where),
	    cmocka_unit_test(takes_128_and_no_more),
	    cmocka_unit_test(names_a_file_that_it_cannot_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
