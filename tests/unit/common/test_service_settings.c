#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/suite_settings.h"

#define COLLECTION "11111111111111111111111111111111"

static const struct {
	const char *name, *value;
} base[] = {{"MULTICLAW_COLLECTION", COLLECTION}};

static struct suite_settings settings;

static struct settings_table table(void)
{
	return (struct settings_table){&settings, suite_settings_rows, suite_settings_nrows};
}

static int set_up(void **state)
{
	(void)state;
	for (size_t i = 0; i < suite_settings_nrows; i++)
		unsetenv(suite_settings_rows[i].name);
	for (size_t i = 0; i < ARRAY_LEN(base); i++)
		setenv(base[i].name, base[i].value, 1);
	return 0;
}

static int tear_down(void **state)
{
	struct settings_table t = table();

	(void)state;
	settings_free(&t, 1);
	return 0;
}

static int load(const char *service, struct error *err)
{
	struct settings_table t = table();

	settings_free(&t, 1);
	memset(&settings, 0, sizeof(settings));
	if (settings_load(&t, 1, NULL, 0, err) != 0)
		return -1;
	return suite_settings_finish(&settings, service, err);
}

/* Loads with one more variable; NULL takes it away. */
static int load_with(const char *name, const char *value, struct error *err)
{
	set_up(NULL);
	if (value)
		setenv(name, value, 1);
	else
		unsetenv(name);
	return load("auth", err);
}

static void names_follow_the_replica(void **state)
{
	struct error err = {0};

	(void)state;
	assert_int_equal(load("auth", &err), 0);
	assert_string_equal(settings.replica, "auth-1");
	assert_string_equal(settings.bus_listen, "ipc://run/auth-1.bus");
	assert_string_equal(settings.bell_listen, "ipc://run/auth-1.bell");
	assert_string_equal(settings.ops_listen, "unix:run/auth-1.ops");
	assert_int_equal(load_with("MULTICLAW_REPLICA", "auth-7", &err), 0);
	assert_string_equal(settings.bus_listen, "ipc://run/auth-7.bus");
	assert_int_equal(load_with("MULTICLAW_BUS_LISTEN", "tcp://10.0.0.1:7101", &err), 0);
	assert_string_equal(settings.bus_listen, "tcp://10.0.0.1:7101");
	assert_string_equal(settings.ops_listen, "unix:run/auth-1.ops");
}

static void the_defaults_suit_a_single_machine(void **state)
{
	struct error err = {0};

	(void)state;
	assert_int_equal(load("auth", &err), 0);
	assert_string_equal(settings.state_dir, ".");
	assert_string_equal(settings.public_url, "http://localhost:8080");
	assert_string_equal(settings.agents_domain, "localhost:8080");
	assert_string_equal(settings.redis, "unix:run/redis.sock");
	assert_string_equal(settings.user, "");
	assert_int_equal(settings.redis_timeout_ms, 1000);
	assert_int_equal(settings.chain_grace_s, 120);
	assert_int_equal(settings.bells.len, 0);
	assert_int_equal(suite_settings_log_level(&settings), LOG_INFO);
}

static void plain_http_is_for_this_machine_only(void **state)
{
	static const char *const good[] = {"https://claw.example", "https://claw.example:8443",
	    "http://localhost", "http://localhost:8080", "http://LOCALHOST:8080",
	    "http://a.localhost:1", "http://127.0.0.1:8080", "http://127.9.9.9",
	    "http://[::1]:8080"};
	static const char *const bad[] = {"http://claw.example", "http://10.0.0.1:8080",
	    "http://localhost.example", "http://notlocalhost", "http://127.0.0.1.example",
	    "http://128.0.0.1", "http://127.1", "http://[::2]", "http://[::ffff:127.0.0.1]",
	    "http://localhost.", "http://.localhost", "http://user@localhost", "http://localhost/x",
	    "ftp://localhost", "localhost:8080", "https://", "http://0.0.0.0:8080"};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		if (load_with("MULTICLAW_PUBLIC_URL", good[i], &err) != 0)
			fail_msg("%s: %s", good[i], err.text);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (load_with("MULTICLAW_PUBLIC_URL", bad[i], &err) == 0)
			fail_msg("%s is accepted", bad[i]);
}

static void what_cannot_be_right_stops_the_start(void **state)
{
	static const struct {
		const char *name, *value;
	} bad[] = {
	    {"MULTICLAW_COLLECTION", NULL},
	    {"MULTICLAW_COLLECTION", ""},
	    {"MULTICLAW_COLLECTION", "0OIl0OIl0OIl0OIl0OIl0OIl0OIl0OIl"},
	    {"MULTICLAW_COLLECTION", "111111111111111111111111111111111"},
	    {"MULTICLAW_REPLICA", "../auth"},
	    {"MULTICLAW_REPLICA", "-auth"},
	    {"MULTICLAW_REPLICA", "Auth-1"},
	    {"MULTICLAW_REPLICA", "auth 1"},
	    {"MULTICLAW_REPLICA", "auth\n1"},
	    {"MULTICLAW_LOG_LEVEL", "loud"},
	    {"MULTICLAW_LOG_LEVEL", "Info"},
	    {"MULTICLAW_AGENTS_DOMAIN", "https://a.example"},
	    {"MULTICLAW_AGENTS_DOMAIN", "a.example/x"},
	    {"MULTICLAW_AGENTS_DOMAIN", "a.example/"},
	    {"MULTICLAW_AGENTS_DOMAIN", "a b"},
	    {"MULTICLAW_REDIS_TIMEOUT_MS", "0"},
	    {"MULTICLAW_REDIS_TIMEOUT_MS", "-1"},
	    {"MULTICLAW_CHAIN_GRACE_S", "soon"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct error err = {0};
		if (load_with(bad[i].name, bad[i].value, &err) == 0)
			fail_msg("%s=%s is accepted", bad[i].name, bad[i].value);
		if (!strstr(err.text, bad[i].name))
			fail_msg("%s is not named: %s", bad[i].name, err.text);
	}
}

static void every_level_of_the_log_has_a_name(void **state)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_int_equal(load_with("MULTICLAW_LOG_LEVEL", names[i], &err), 0);
		assert_int_equal(suite_settings_log_level(&settings), LOG_DEBUG + i);
	}
}

static void lists_name_every_replica(void **state)
{
	struct error err = {0};

	(void)state;
	assert_int_equal(
	    load_with("MULTICLAW_AUTHS", "ipc://run/auth-1.bus,ipc://run/auth-2.bus", &err), 0);
	assert_int_equal(settings.auths.len, 2);
	assert_string_equal(settings.auths.item[1], "ipc://run/auth-2.bus");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static void names_the_sandbox_of_every_host(void **state)
{
	static const struct {
		const char *value;
		bool ok;
	} cases[] = {
	    {"", true},
	    {"host-1=ipc://run/host-1.bus", true},
	    {"host-1=tcp://10.0.0.1:7101,host-2=tcp://10.0.0.2:7101", true},
	    {"a=ipc://x=y", true},
	    {"ipc://run/host-1.bus", false},
	    {"host-1", false},
	    {"host-1=", false},
	    {"=ipc://run/host-1.bus", false},
	    {"Host=ipc://x", false},
	    {"../x=ipc://x", false},
	    {"a=ipc://x,a=ipc://y", false},
	    {"a=ipc://x,b", false},
	};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if ((load_with("MULTICLAW_SANDBOXES", cases[i].value, &err) == 0) != cases[i].ok)
			fail_msg("%s", cases[i].value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(names_follow_the_replica),
	    TEST(the_defaults_suit_a_single_machine),
	    TEST(plain_http_is_for_this_machine_only),
	    TEST(what_cannot_be_right_stops_the_start),
	    TEST(every_level_of_the_log_has_a_name),
	    TEST(lists_name_every_replica),
	    TEST(names_the_sandbox_of_every_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
