/* The secrets of one start: the sealed file, openclaw.json, the gateway's token. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/scoped.h"
#include "proto/warden.h"
#include "services/sandbox/files.h"
#include "services/sandbox/openclaw.h"

#define CHANNELS \
	"{\"channels\":{\"telegram\":{\"enabled\":true,\"dmPolicy\":\"pairing\",\"botToken\":\"1:" \
	"\\u0022x\"}}}\n"

static struct vault_materialise_rsp *page;

static void add(const char *path, uint64_t mode, const char *bytes)
{
	struct files_item *item = &page->files.item[page->files.len++];
	snprintf(item->path, sizeof(item->path), "%s", path);
	item->mode = mode;
	item->size = strlen(bytes);
	memcpy(page->bytes.data + page->bytes.len, bytes, item->size);
	page->bytes.len += item->size;
}

static int set_up(void **state)
{
	(void)state;
	page = calloc(1, sizeof(*page));
	return page ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	free(page);
	return 0;
}

/* The bytes of the file at path, NUL-terminated; the caller's. */
static char *find(int fd, const char *path)
{
	struct warden_file head;
	char name[256];
	off_t at = 0;
	while (pread(fd, &head, sizeof(head), at) == sizeof(head)) {
		at += (off_t)sizeof(head);
		assert_int_equal(pread(fd, name, head.path_len, at), head.path_len);
		name[head.path_len] = '\0';
		at += head.path_len;
		if (strcmp(name, path) == 0) {
			char *bytes = calloc(1, head.size + 1);
			assert_int_equal(head.mode, 0400);
			assert_int_equal(pread(fd, bytes, head.size, at), (int)head.size);
			return bytes;
		}
		at += head.size;
	}
	return NULL;
}

static void pages_become_one_sealed_file(void **state)
{
	struct files *files = files_new();
	struct error err;
	int fd;
	(void)state;
	add("channels.json", 0400, CHANNELS);
	add("gateway-token", 0400, "the vault's");
	add("custom/word", 0777, "w");
	assert_int_equal(files_add_page(files, page, &err), 0);
	assert_string_equal(files_last(files), "custom/word");
	page->files.len = page->bytes.len = 0;
	add("custom/egress-hosts", 0400, "api.example.com\n");
	assert_int_equal(files_add_page(files, page, &err), 0);
	const struct files_own own = {
	    .token = "abcd", .origin = "https://x.example", .is_openclaw = true};
	assert_int_equal(files_finish(files, &own, &fd, &err), 0);
	scoped_free char *word = find(fd, "custom/word"), *token = find(fd, "gateway-token"),
			 *config = find(fd, "openclaw.json");
	assert_string_equal(word, "w");
	assert_string_equal(token, "abcd");
	assert_non_null(config);
	assert_true(egress_allows(files_egress(files), "api.example.com"));
	assert_false(egress_allows(files_egress(files), "other.example"));
	assert_int_equal(write(fd, "x", 1), -1);
	files_destroy(&files);
	assert_null(files);
}

/* Left out, a mistake would close what the owner meant to open, or be taken for a host that is not meant. */
static void a_list_of_hosts_with_a_mistake_stops_the_start(void **state)
{
	struct files *files = files_new();
	struct error err;
	(void)state;
	add("custom/egress-hosts", 0400, "api.example.com\nhttps://other.example\n");
	assert_int_equal(files_add_page(files, page, &err), -1);
	assert_string_equal(err.reason, "egress_invalid");
	assert_non_null(strstr(err.text, "line 2"));
	files_destroy(&files);
}

static void service_workers_need_the_one_word(void **state)
{
	static const struct {
		const char *path, *value;
		bool is_allowed;
	} cases[] = {
	    {"custom/allow-service-workers", "yes", true},
	    {"custom/allow-service-workers", "yes\n", true},
	    {"custom/allow-service-workers", "YES", false},
	    {"custom/allow-service-workers", "yes ", false},
	    {"custom/allow-service-workers", "yesyes", false},
	    {"custom/allow-service-workers", "yes\n\n", false},
	    {"custom/allow-service-workers", "no", false},
	    {"custom/allow-service-workers", "", false},
	    {"custom/allow-service-workers-not", "yes", false},
	    {"bot/allow-service-workers", "yes", false},
	};
	struct error err;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct files *files = files_new();
		page->files.len = page->bytes.len = 0;
		add(cases[i].path, 0400, cases[i].value);
		assert_int_equal(files_add_page(files, page, &err), 0);
		assert_int_equal(files_allows_workers(files), cases[i].is_allowed);
		files_destroy(&files);
	}
}

static void a_page_that_contradicts_itself_is_refused(void **state)
{
	struct files *files = files_new();
	struct error err;
	(void)state;
	add("custom/a", 0400, "aa");
	page->bytes.len = 1;
	assert_int_equal(files_add_page(files, page, &err), -1);
	page->bytes.len = 3;
	assert_int_equal(files_add_page(files, page, &err), -1);
	files_destroy(&files);
}

static void openclaws_configuration_has_gateway_and_channels(void **state)
{
	scoped_secret struct secret *channels = secret_new(CHANNELS, strlen(CHANNELS));
	json_error_t where;
	struct error err;
	const char *token, *mode, *bind, *origin, *policy;
	int port;
	(void)state;
	scoped_secret struct secret *text =
	    openclaw_write("t0", "https://a.example:8443", channels, NULL, &err);
	assert_non_null(text);
	scoped_json json_t *json =
	    json_loadb((const char *)secret_bytes(text), secret_len(text), 0, &where);
	assert_int_equal(
	    json_unpack(json, "{s:{s:i, s:s, s:{s:s, s:s}, s:{s:[s]}}, s:{s:{s:s}}}", "gateway",
		"port", &port, "bind", &bind, "auth", "mode", &mode, "token", &token, "controlUi",
		"allowedOrigins", &origin, "channels", "telegram", "dmPolicy", &policy),
	    0);
	assert_int_equal(port, 18789);
	assert_string_equal(bind, "lan");
	assert_string_equal(mode, "token");
	assert_string_equal(token, "t0");
	assert_string_equal(origin, "https://a.example:8443");
	assert_string_equal(policy, "pairing");
}

static void channels_that_are_none_are_refused(void **state)
{
	static const char *const bad[] = {"", "[]", "{}", "{\"channels\":1}", "{\"channels\":{}",
	    "{\"channels\":{},\"channels\":{}}"};
	struct error err;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		scoped_secret struct secret *channels = secret_new(bad[i], strlen(bad[i]));
		assert_null(openclaw_write("t", "https://a.example", channels, NULL, &err));
	}
	scoped_secret struct secret *without =
	    openclaw_write("t", "https://a.example", NULL, NULL, &err);
	assert_non_null(without);
}

static struct secret *token_of(enum boot_token which, const char *placement, const char *boot)
{
	return boot_token(which, (const uint8_t *)placement, strlen(placement), boot);
}

static void tokens_are_of_one_boot_and_known_again(void **state)
{
	(void)state;
	for (enum boot_token which = BOOT_TOKEN_GATEWAY; which <= BOOT_TOKEN_LLM; which++) {
		scoped_secret struct secret *a = token_of(which, "place", "b1"),
					    *same = token_of(which, "place", "b1"),
					    *boot = token_of(which, "place", "b2"),
					    *other = token_of(which, "plaza", "b1"),
					    *kind = token_of(!which, "place", "b1");
		assert_int_equal(secret_len(a), BOOT_TOKEN_LEN);
		assert_true(secret_equal(a, secret_bytes(same), BOOT_TOKEN_LEN));
		assert_false(secret_equal(a, secret_bytes(boot), BOOT_TOKEN_LEN));
		assert_false(secret_equal(a, secret_bytes(other), BOOT_TOKEN_LEN));
		assert_false(secret_equal(a, secret_bytes(kind), BOOT_TOKEN_LEN));
	}
}

static void offer(const char *provider, const char *source, const char *delivery)
{
	struct providers_item *item = &page->providers.item[page->providers.len++];
	snprintf(item->provider, sizeof(item->provider), "%s", provider);
	snprintf(item->source, sizeof(item->source), "%s", source);
	snprintf(item->delivery, sizeof(item->delivery), "%s", delivery);
}

static const char providers_text[] =
    "{\"providers\":["
    "{\"name\":\"openai\",\"env\":[\"OPENAI_API_KEY\"],\"base_url\":\"https://"
    "a.example\",\"auth\":{"
    "\"header\":\"x\"},\"paths\":[\"/"
    "v1\"],\"shape\":\"openai\",\"base_url_env\":\"OPENAI_BASE_URL\","
    "\"client_path\":\"/v1\"},"
    "{\"name\":\"gemini\",\"env\":[\"GEMINI_API_KEY\",\"GOOGLE_API_KEY\"],\"base_url\":\"https://"
    "b.example\",\"auth\":{\"header\":\"x\"},\"paths\":[\"/v1\"],\"shape\":\"gemini\",\"openclaw\":"
    "\"google\"},"
    "{\"name\":\"groq\",\"env\":[\"GROQ_API_KEY\"]},"
    "{\"name\":\"xai\",\"env\":[\"XAI_API_KEY\"],\"base_url\":\"https://"
    "c.example\",\"auth\":{\"header\":"
    "\"x\"},\"paths\":[\"/v1\"],\"shape\":\"openai\"}]}";

static void providers_with_a_key_are_told_with_the_boots_token(void **state)
{
	struct files *files = files_new();
	struct error err;
	int fd;
	(void)state;
	struct providers *providers =
	    providers_parse(providers_text, sizeof(providers_text) - 1, &err);
	assert_non_null(providers);
	offer("openai", "user", "gateway");
	offer("gemini", "global", "gateway");
	offer("groq", "user", "gateway"); /* no gateway has it */
	offer("xai", "user", "file");
	offer("nobody", "none", "");
	assert_int_equal(files_add_page(files, page, &err), 0);
	const struct files_own own = {.token = "abcd",
	    .origin = "https://x.example",
	    .is_openclaw = true,
	    .providers = providers,
	    .llm_token = "t0k",
	    .llm_address = "10.0.0.6:18790"};
	assert_int_equal(files_finish(files, &own, &fd, &err), 0);
	scoped_free char *key = find(fd, "llm/OPENAI_API_KEY"),
			 *url = find(fd, "llm/OPENAI_BASE_URL"),
			 *second = find(fd, "llm/GOOGLE_API_KEY"), *env = find(fd, "llm.env"),
			 *config = find(fd, "openclaw.json");
	assert_string_equal(key, "t0k");
	assert_string_equal(url, "http://10.0.0.6:18790/openai/v1");
	assert_string_equal(second, "t0k");
	assert_string_equal(env,
	    "OPENAI_API_KEY=t0k\nOPENAI_BASE_URL=http://10.0.0.6:18790/openai/v1\n"
	    "GEMINI_API_KEY=t0k\nGOOGLE_API_KEY=t0k\n");
	assert_null(find(fd, "llm/GROQ_API_KEY"));
	assert_null(find(fd, "llm/XAI_API_KEY"));
	scoped_json json_t *json = json_loads(config, 0, NULL);
	const char *base, *api_key, *google;
	assert_int_equal(
	    json_unpack(json, "{s:{s:{s:{s:s, s:s}, s:{s:s}}}}", "models", "providers", "openai",
		"baseUrl", &base, "apiKey", &api_key, "google", "baseUrl", &google),
	    0);
	assert_string_equal(base, "http://10.0.0.6:18790/openai/v1");
	assert_string_equal(api_key, "t0k");
	assert_string_equal(google, "http://10.0.0.6:18790/gemini");
	files_destroy(&files);
	providers_destroy(&providers);
}

/* A base URL is no secret: an agent that keeps it in its files is saved all the same. */
static void the_search_has_the_token_alone(void **state)
{
	struct files *files = files_new();
	struct error err;
	int fd;
	(void)state;
	struct providers *providers =
	    providers_parse(providers_text, sizeof(providers_text) - 1, &err);
	offer("openai", "user", "gateway");
	assert_int_equal(files_add_page(files, page, &err), 0);
	const struct files_own own = {.token = "abcd",
	    .origin = "https://x.example",
	    .is_search = true,
	    .providers = providers,
	    .llm_token = "t0k",
	    .llm_address = "10.0.0.6:18790"};
	assert_int_equal(files_finish(files, &own, &fd, &err), 0);
	scoped_free char *token = find(fd, "llm-token"), *url = find(fd, "llm/OPENAI_BASE_URL"),
			 *env = find(fd, "llm.env");
	assert_string_equal(token, "t0k");
	/* with no bytes: nor is what the start had under that name */
	assert_string_equal(url, "");
	assert_string_equal(env, "");
	assert_null(find(fd, "llm/OPENAI_API_KEY"));
	files_destroy(&files);
	providers_destroy(&providers);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(pages_become_one_sealed_file),
	    TEST(a_list_of_hosts_with_a_mistake_stops_the_start),
	    TEST(service_workers_need_the_one_word),
	    TEST(a_page_that_contradicts_itself_is_refused),
	    TEST(openclaws_configuration_has_gateway_and_channels),
	    TEST(channels_that_are_none_are_refused),
	    TEST(tokens_are_of_one_boot_and_known_again),
	    TEST(providers_with_a_key_are_told_with_the_boots_token),
	    TEST(the_search_has_the_token_alone),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
