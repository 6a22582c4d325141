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
	assert_int_equal(files_finish(files, "abcd", "https://x.example", true, &fd, &err), 0);
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
	    openclaw_write("t0", "https://a.example:8443", channels, &err);
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
		assert_null(openclaw_write("t", "https://a.example", channels, &err));
	}
	scoped_secret struct secret *without = openclaw_write("t", "https://a.example", NULL, &err);
	assert_non_null(without);
}

static void the_gateways_token_is_of_one_boot_and_known_again(void **state)
{
	(void)state;
	scoped_secret struct secret *a = gateway_token((const uint8_t *)"place", 5, "b1"),
				    *same = gateway_token((const uint8_t *)"place", 5, "b1"),
				    *boot = gateway_token((const uint8_t *)"place", 5, "b2"),
				    *other = gateway_token((const uint8_t *)"plaza", 5, "b1");
	assert_int_equal(secret_len(a), GATEWAY_TOKEN_LEN);
	assert_true(secret_equal(a, secret_bytes(same), GATEWAY_TOKEN_LEN));
	assert_false(secret_equal(a, secret_bytes(boot), GATEWAY_TOKEN_LEN));
	assert_false(secret_equal(a, secret_bytes(other), GATEWAY_TOKEN_LEN));
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
	    TEST(the_gateways_token_is_of_one_boot_and_known_again),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
