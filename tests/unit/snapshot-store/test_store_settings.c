#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/store.h"
#include "services/snapshot-store/store_settings.h"

_Static_assert(
    sizeof(struct store_packet) == 392, "tests/integration/store_parts.py knows it as this");

struct change {
	const char *name, *value;
};

static int finish(const struct change *changes, size_t n, struct error *err)
{
	struct store_settings settings = {0};
	struct settings_table table = {&settings, store_settings_rows, store_settings_nrows};

	for (size_t i = 0; i < n; i++)
		setenv(changes[i].name, changes[i].value, 1);
	int status = settings_load(&table, 1, NULL, 0, err);
	if (status == 0)
		status = store_settings_finish(&settings, err);
	for (size_t i = 0; i < n; i++)
		unsetenv(changes[i].name);
	settings_free(&table, 1);
	return status;
}
#define FINISH(err, ...) \
	finish((const struct change[]){__VA_ARGS__}, \
	    ARRAY_LEN(((const struct change[]){__VA_ARGS__})), err)
#define S3 \
	{"MULTICLAW_STORE_KIND", "s3"}, \
	{ \
		"MULTICLAW_STORE_S3_BUCKET", "snapshots" \
	}
#define ENDPOINT(url) \
	{ \
		"MULTICLAW_STORE_S3_ENDPOINT", url \
	}

static void takes_defaults_and_a_service(void **state)
{
	struct error err = {0};

	(void)state;
	assert_int_equal(finish(NULL, 0, &err), 0);
	assert_int_equal(FINISH(&err, S3, ENDPOINT("https://s3.example")), 0);
	assert_int_equal(FINISH(&err, S3, ENDPOINT("http://127.0.0.1:9000")), 0);
	assert_int_equal(FINISH(&err, S3, ENDPOINT("http://s3.example"),
			     {"MULTICLAW_STORE_S3_ALLOW_HTTP", "yes"}),
	    0);
}

static void refuses_what_cannot_be_meant(void **state)
{
	struct error err = {0};

	(void)state;
	assert_int_equal(FINISH(&err, {"MULTICLAW_STORE_KIND", "ftp"}), -1);
	assert_int_equal(FINISH(&err, {"MULTICLAW_STORE_REPLICA", "../x"}), -1);
	assert_int_equal(FINISH(&err, {"MULTICLAW_STORE_SANDBOX_USER", "no-such-user"}), -1);
	assert_int_equal(FINISH(&err, S3), -1);
	assert_int_equal(FINISH(&err, S3, ENDPOINT("http://s3.example")), -1);
	assert_non_null(strstr(err.text, "https"));
	assert_int_equal(FINISH(&err, S3, ENDPOINT("https://s3.example/bucket")), -1);
	assert_int_equal(FINISH(&err, S3, ENDPOINT("https://u:p@s3.example")), -1);
	assert_int_equal(
	    FINISH(&err, S3, ENDPOINT("https://s3.example"), {"MULTICLAW_STORE_S3_BUCKET", "Up"}),
	    -1);
	assert_int_equal(
	    FINISH(&err, S3, ENDPOINT("https://s3.example"), {"MULTICLAW_STORE_S3_BUCKET", "a/b"}),
	    -1);
	assert_int_equal(
	    FINISH(&err, S3, ENDPOINT("https://s3.example"), {"MULTICLAW_STORE_S3_REGION", "a b"}),
	    -1);
	assert_int_equal(
	    FINISH(&err, S3, ENDPOINT("https://s3.example"), {"MULTICLAW_STORE_S3_STYLE", "dns"}),
	    -1);
}

static void knows_addresses_that_are_near(void **state)
{
	static const char *const near[] = {"127.0.0.1", "127.9.9.9:80", "10.0.0.1", "172.16.0.1",
	    "172.31.255.255", "192.168.1.1:9000", "169.254.1.1", "[::1]", "[::1]:9000", "[fd00::1]",
	    "[fe80::1]", "localhost", "localhost:9000", "bucket.s3.localhost:9000"};
	static const char *const far[] = {"8.8.8.8", "172.32.0.1", "172.15.0.1", "192.169.0.1",
	    "11.0.0.1", "[2001:db8::1]", "[::ffff:127.0.0.1]", "s3.example", "localhost.example",
	    "notlocalhost", "127.0.0.1.example", ".localhost", ""};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(near); i++)
		if (!store_settings_is_near(near[i]))
			fail_msg("far: %s", near[i]);
	for (size_t i = 0; i < ARRAY_LEN(far); i++)
		if (store_settings_is_near(far[i]))
			fail_msg("near: %s", far[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(takes_defaults_and_a_service),
	    cmocka_unit_test(refuses_what_cannot_be_meant),
	    cmocka_unit_test(knows_addresses_that_are_near),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
