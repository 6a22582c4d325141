/* The file of signing keys: what is refused, which key signs, which verify, when one counts as retired. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>

#include "common/scoped.h"
#include "services/session/keys.h"

#define K1 "rQ0o1yq1uVtW0bq1Yz3mW2o0m8V4t1m5yQ2x7l9zGkA="
#define K2 "0c5n3pYw9tJ3c0k7oZb2f1xk6a8sPqLr4uDvWgHhXyE="
#define K3 "ZlVb8n2QmT5xwR0kJ7yPc4hGdEoLsA9iUfXqN1vB3ts="

static struct keys *parse(const char *text, struct error *err)
{
	return keys_parse(text, strlen(text), err);
}

static struct keys *must_parse(const char *text)
{
	struct error err = {0};
	struct keys *keys = parse(text, &err);
	if (!keys)
		fail_msg("%s", err.text);
	return keys;
}

static void reads_keys_comments_and_blank_lines(void **state)
{
	(void)state;
	struct keys *keys =
	    must_parse("# made by keys init\n\na 100 200 " K1 "\n  \nb-2.x\t150   300\t" K2);
	assert_int_equal(keys->len, 2);
	assert_string_equal(keys->key[1].kid, "b-2.x");
	assert_int_equal(keys->key[1].not_before_s, 150);
	assert_int_equal(keys->key[1].not_after_s, 300);
	assert_int_equal(secret_len(keys->key[0].secret), 32);
	keys_destroy(&keys);
	assert_null(keys);
}

static const struct {
	const char *name, *text;
} bad_files[] = {
    {"empty", ""},
    {"only comments", "# nothing\n"},
    {"no key", "a 100 200\n"},
    {"no times", "a " K1 "\n"},
    {"negative time", "a -1 200 " K1 "\n"},
    {"time with fraction", "a 1.5 200 " K1 "\n"},
    {"time too large", "a 1 99999999999999 " K1 "\n"},
    {"ends before it begins", "a 200 100 " K1 "\n"},
    {"ends as it begins", "a 200 200 " K1 "\n"},
    {"bad id", "a/b 100 200 " K1 "\n"},
    {"quote in id", "a\" 100 200 " K1 "\n"},
    {"long id", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 100 200 " K1 "\n"},
    {"id twice", "a 100 200 " K1 "\na 100 300 " K2 "\n"},
    {"something after the key", "a 100 200 " K1 " x\n"},
    {"31 bytes", "a 100 200 rQ0o1yq1uVtW0bq1Yz3mW2o0m8V4t1m5yQ2x7l9zGg==\n"},
    {"not base64", "a 100 200 rQ0o1yq1uVtW0bq1Yz3mW2o0m8V4t1m5yQ2x7l9zGk!=\n"},
    {"no padding", "a 100 200 rQ0o1yq1uVtW0bq1Yz3mW2o0m8V4t1m5yQ2x7l9zGkA\n"},
    {"zeros", "a 100 200 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"},
    {"a passphrase", "a 100 200 Y2hhbmdlLW1lLWNoYW5nZS1tZS1jaGFuZ2UtbWUtY2hhbmdlLW1l\n"},
    {"good, then bad", "a 100 200 " K1 "\nb 100 200 swordfish\n"},
};

static void refuses_bad_files_without_showing_them(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_files); i++) {
		struct error err = {0};
		if (parse(bad_files[i].text, &err))
			fail_msg("%s: accepted", bad_files[i].name);
		assert_int_equal(err.code, ERR_INVALID);
		assert_null(strstr(err.text, "rQ0o1yq1"));
		assert_null(strstr(err.text, "swordfish"));
	}
}

static void refuses_more_keys_than_it_holds(void **state)
{
	(void)state;
	char all[(KEYS_MAX + 1) * 96];
	size_t len = 0;
	for (size_t i = 0; i <= KEYS_MAX; i++)
		len += (size_t)snprintf(all + len, sizeof(all) - len, "k%zu 1 2 " K1 "\n", i);
	struct error err = {0};
	assert_null(parse(all, &err));
}

static void refuses_a_file_that_others_can_read(void **state)
{
	(void)state;
	char path[] = "/tmp/jwt.keys.XXXXXX";
	scoped_fd int fd = mkstemp(path);
	assert_true(fd >= 0);
	static const char text[] = "a 100 200 " K1 "\n";
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	struct error err = {0};
	fchmod(fd, 0644);
	assert_null(keys_read(path, &err));
	fchmod(fd, 0640);
	assert_null(keys_read(path, &err));
	fchmod(fd, 0600);
	struct keys *keys = keys_read(path, &err);
	assert_non_null(keys);
	keys_destroy(&keys);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_null(keys_read(path, &err));
	unlink(path);
	assert_null(keys_read(path, &err));
}

static void signs_with_the_newest_key_that_has_begun(void **state)
{
	(void)state;
	struct keys *keys = must_parse("a 100 400 " K1 "\nb 200 300 " K2 "\nc 1000 2000 " K3 "\n");
	assert_null(keys_signer(keys, 99));
	assert_string_equal(keys_signer(keys, 100)->kid, "a");
	assert_string_equal(keys_signer(keys, 200)->kid, "b");
	assert_string_equal(keys_signer(keys, 300)->kid, "a");
	assert_null(keys_signer(keys, 400));
	assert_string_equal(keys_signer(keys, 1500)->kid, "c");
	assert_int_equal(keys_next_end(keys, 0), 300);
	assert_int_equal(keys_next_end(keys, 300), 400);
	assert_true(keys_next_end(keys, 2000) == UINT64_MAX);
	keys_destroy(&keys);
}

static void verifies_with_every_key_inside_its_times(void **state)
{
	(void)state;
	struct keys *keys = must_parse("a 100 400 " K1 "\nb 200 300 " K2 "\n");
	char text[256];
	snprintf(text, sizeof(text), "%s.e30.c2ln", keys->key[1].header);
	struct jws jws;
	assert_int_equal(jws_split(text, &jws), 0);
	assert_null(keys_match(keys, &jws, 200 - CLOCK_SKEW_S - 1));
	assert_ptr_equal(keys_match(keys, &jws, 200 - CLOCK_SKEW_S), &keys->key[1]);
	assert_ptr_equal(keys_match(keys, &jws, 299), &keys->key[1]);
	assert_null(keys_match(keys, &jws, 300));
	keys_destroy(&keys);
}

static const struct {
	const char *name, *old;
	uint64_t then;
	const char *new;
	uint64_t now;
	bool retired;
} changes[] = {
    {"nothing changed", "a 100 400 " K1, 150, "a 100 400 " K1, 151, false},
    {"a key came", "a 100 400 " K1, 150, "a 100 400 " K1 "\nb 100 400 " K2, 151, false},
    {"a key vanished", "a 100 400 " K1 "\nb 100 400 " K2, 150, "a 100 400 " K1, 151, true},
    {"a key ended", "a 100 400 " K1, 399, "a 100 400 " K1, 400, true},
    {"a key had ended before", "a 100 400 " K1 "\nb 100 900 " K2, 400, "b 100 900 " K2, 401, false},
    {"a key was cut short", "a 100 400 " K1, 150, "a 100 151 " K1, 151, true},
    {"a key was put off", "a 100 400 " K1, 150, "a 300 400 " K1, 151, true},
    {"other bytes under the same id", "a 100 400 " K1, 150, "a 100 400 " K2, 151, true},
    {"a key that never began vanished", "a 1000 4000 " K1 "\nb 1 400 " K2, 5, "b 1 400 " K2, 6,
	false},
    {"the file became unreadable", "a 100 400 " K1, 150, NULL, 151, true},
};

static void knows_when_a_key_was_retired(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		struct keys *old = must_parse(changes[i].old);
		struct keys *new = changes[i].new ? must_parse(changes[i].new) : NULL;
		if (keys_retired(old, changes[i].then, new, changes[i].now) != changes[i].retired)
			fail_msg("%s", changes[i].name);
		keys_destroy(&old);
		keys_destroy(&new);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(reads_keys_comments_and_blank_lines),
	    cmocka_unit_test(refuses_bad_files_without_showing_them),
	    cmocka_unit_test(refuses_more_keys_than_it_holds),
	    cmocka_unit_test(refuses_a_file_that_others_can_read),
	    cmocka_unit_test(signs_with_the_newest_key_that_has_begun),
	    cmocka_unit_test(verifies_with_every_key_inside_its_times),
	    cmocka_unit_test(knows_when_a_key_was_retired),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
