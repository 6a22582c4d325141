#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/error.h"
#include "proto/store_key.h"

#define AGENT "abcdefghijklmnopqrstuvwxyz234567"
#define OTHER_AGENT "abcdefghijklmnopqrstuvwxyz234566"
#define WALLET "9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM"
#define NAME "00000000000000000001-0123456789abcdef.archive"
#define FUZZED 100000

static bool is_good(const char *key)
{
	return store_key_is_good(key, strlen(key), false);
}

static void makes_and_takes_the_two_forms(void **state)
{
	char key[STORE_KEY_MAX + 1];

	(void)state;
	assert_true(store_key_of_period(key, AGENT, WALLET, 1, NAME));
	assert_string_equal(key, "agents/" AGENT "/" WALLET "/1/" NAME);
	assert_true(is_good(key));
	assert_true(store_key_of_period(key, AGENT, WALLET, UINT64_MAX, NAME));
	assert_true(is_good(key));
	assert_true(store_key_of_period(key, AGENT, WALLET, 0, ""));
	assert_string_equal(key, "agents/" AGENT "/" WALLET "/0/");
	assert_false(is_good(key));
	assert_true(store_key_is_good(key, strlen(key), true));
	assert_true(store_key_handed_over(key, AGENT, "x.archive"));
	assert_true(is_good(key));
	assert_true(store_key_handed_over(key, AGENT, ""));
	assert_true(store_key_is_good(key, strlen(key), true));
}

static void makes_nothing_of_wrong_parts(void **state)
{
	char key[STORE_KEY_MAX + 1], longest[100];

	(void)state;
	memset(longest, 'a', sizeof(longest));
	longest[81] = '\0';
	assert_false(store_key_of_period(key, "", WALLET, 1, NAME));
	assert_false(store_key_of_period(key, "../" AGENT, WALLET, 1, NAME));
	assert_false(store_key_of_period(key, AGENT "a", WALLET, 1, NAME));
	assert_false(store_key_of_period(key, AGENT, "", 1, NAME));
	assert_false(store_key_of_period(key, AGENT, WALLET "/1", 1, NAME));
	assert_false(store_key_of_period(key, AGENT, "handed-over", 1, NAME));
	assert_false(store_key_of_period(key, AGENT, WALLET, 1, ".hidden"));
	assert_false(store_key_of_period(key, AGENT, WALLET, 1, "a/b"));
	assert_false(store_key_of_period(key, AGENT, WALLET, 1, longest));
	assert_false(store_key_handed_over(key, AGENT, ".."));
}

static void refuses_what_only_looks_like_one(void **state)
{
	static const char *const keys[] = {"", "/", "agents", "agents/", "agents/" AGENT,
	    "agents/" AGENT "/", "agents/" AGENT "/" WALLET "/1", "agents/" AGENT "/" WALLET "/1/",
	    "/agents/" AGENT "/" WALLET "/1/a", "Agents/" AGENT "/" WALLET "/1/a",
	    "agents//" AGENT "/" WALLET "/1/a", "agents/" AGENT "/" WALLET "//1/a",
	    "agents/" AGENT "/" WALLET "/01/a", "agents/" AGENT "/" WALLET "/+1/a",
	    "agents/" AGENT "/" WALLET "/18446744073709551616/a",
	    "agents/" AGENT "/" WALLET "/1/../2/a", "agents/" AGENT "/" WALLET "/1/..",
	    "agents/" AGENT "/" WALLET "/1/a/b", "agents/" AGENT "/" WALLET "/1/a%2fb",
	    "agents/" AGENT "%2f" WALLET "/1/a", "agents/" AGENT "\\" WALLET "/1/a",
	    "agents/" AGENT "/" WALLET "/1/A", "agents/" AGENT "/" WALLET "/1/a ",
	    "agents/" AGENT "/" WALLET "/1/a\n", "agents/" AGENT "/handed-over/",
	    "agents/" AGENT "/handed-over", "agents/" AGENT "/Handed-over/a",
	    "agents/" AGENT "/handed-over/1/a",
	    "agents/ABCDEFGHIJKLMNOPQRSTUVWXYZ234567/" WALLET "/1/a",
	    "agents/" AGENT "/0OIl" WALLET "/1/a", "agents/" AGENT "/" WALLET "/1/\xc3\xa9"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (is_good(keys[i]))
			fail_msg("taken: %s", keys[i]);
}

static void refuses_a_nul_within_and_a_wrong_length(void **state)
{
	char key[STORE_KEY_MAX + 1] = "agents/" AGENT "/" WALLET "/1/a";
	size_t len = strlen(key);

	(void)state;
	assert_true(store_key_is_good(key, len, false));
	assert_false(store_key_is_good(key, len - 1, false));
	assert_false(store_key_is_good(key, len + 1, false));
	key[len - 1] = '\0';
	assert_false(store_key_is_good(key, len, false));
}

/* ---- 10^5 keys that somebody made up ---- */

static uint64_t chance;

static uint32_t random_below(uint32_t n)
{
	chance ^= chance << 13;
	chance ^= chance >> 7;
	chance ^= chance << 17;
	return (uint32_t)(chance >> 33) % n;
}

static size_t insert(char *key, size_t len, size_t at, const char *text, size_t n)
{
	if (len + n > STORE_KEY_MAX)
		return len;
	memmove(key + at + n, key + at, len - at);
	memcpy(key + at, text, n);
	return len + n;
}

static size_t change(char *key, size_t len)
{
	static const char *const pieces[] = {"/", "//", "..", "/../", "%2f", "%2F", "%00", "\\",
	    ".", "./", "a", "1", "0", WALLET, AGENT, "handed-over", " ", "\t", "\xc0\xaf",
	    "agents/"};
	size_t at = len ? random_below((uint32_t)len) : 0;
	const char *piece = pieces[random_below(ARRAY_LEN(pieces))];

	switch (random_below(7)) {
	case 0: /* any byte, a NUL among them */
		key[at] = (char)random_below(256);
		return len;
	case 1: /* the other case */
		key[at] ^= 0x20;
		return len;
	case 2:
		return at;
	case 3: /* a part is left out */
		memmove(key + at, key + at + (at < len), len - at - (at < len));
		return len - (at < len);
	case 4: /* a digit or letter that is allowed */
		key[at] = "123456789abcdefghz"[random_below(18)];
		return len;
	default:
		return insert(key, len, at, piece, strlen(piece));
	}
}

/* Written by the rule alone, and not by what the code does: parts between slashes. */
static bool has_parts(const char *key, const char *folder)
{
	size_t n = 0, len = strlen(folder);

	for (const char *at = key; *at; at++)
		n += *at == '/';
	assert_int_equal(n, strstr(key, "/handed-over/") ? 3 : 4);
	assert_null(strstr(key, "//"));
	assert_null(strstr(key, "/."));
	assert_null(strpbrk(key, "%\\ \t\n"));
	return strncmp(key, folder, len) == 0 && !strchr(key + len, '/');
}

/* Its folder by cutting it off behind the last slash: of an owner exactly if it is that owner's. */
static void check_owner(const char *key)
{
	static const char *const folders[] = {"agents/" AGENT "/" WALLET "/1/",
	    "agents/" AGENT "/" WALLET "/11/", "agents/" OTHER_AGENT "/" WALLET "/1/",
	    "agents/" AGENT "/" WALLET "1/1/", "agents/" AGENT "/handed-over/",
	    "agents/" OTHER_AGENT "/handed-over/"};
	char own[STORE_KEY_MAX + 1];

	snprintf(own, sizeof(own), "%s", key);
	strrchr(own, '/')[1] = '\0';
	assert_true(store_key_is_good(own, strlen(own), true));
	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		assert_int_equal(has_parts(key, folders[i]), strcmp(own, folders[i]) == 0);
}

static void gives_no_fuzzed_key_to_another_owner(void **state)
{
	static const char *const seeds[] = {"agents/" AGENT "/" WALLET "/1/" NAME,
	    "agents/" OTHER_AGENT "/" WALLET "/1/a", "agents/" AGENT "/handed-over/a.archive",
	    "agents/" AGENT "/" WALLET "/1/"};
	size_t taken = 0;

	(void)state;
	chance = 88172645463325252u;
	for (int i = 0; i < FUZZED; i++) {
		char key[STORE_KEY_MAX + 2] = "";
		snprintf(key, sizeof(key), "%s", seeds[random_below(ARRAY_LEN(seeds))]);
		size_t len = strlen(key);
		for (uint32_t n = 1 + random_below(3); n; n--)
			len = change(key, len);
		key[len] = '\0';
		if (!store_key_is_good(key, len, false))
			continue;
		taken++;
		assert_int_equal(strlen(key), len);
		check_owner(key);
	}
	/* some changes are harmless: the test has to have seen both */
	assert_in_range(taken, 1000, FUZZED / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(makes_and_takes_the_two_forms),
	    cmocka_unit_test(makes_nothing_of_wrong_parts),
	    cmocka_unit_test(refuses_what_only_looks_like_one),
	    cmocka_unit_test(refuses_a_nul_within_and_a_wrong_length),
	    cmocka_unit_test(gives_no_fuzzed_key_to_another_owner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
