/* The master key: which files and passphrases are refused, and that Argon2id is the reference implementation's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/scoped.h"
#include "services/secret-vault/master.h"
#include "tests/unit/common/scratch.h"
#include "tests/unit/common/vectors.h"

#define KEY "rQ0o1yq1uVtW0bq1Yz3mW2o0m8V4t1m5yQ2x7l9zGkA="
#define OTHER "0c5n3pYw9tJ3c0k7oZb2f1xk6a8sPqLr4uDvWgHhXyE="

static char folder[] = "/tmp/master.XXXXXX";
static char path[64], other_path[64];

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/key", folder);
	snprintf(other_path, sizeof(other_path), "%s/other", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	return scratch_remove(folder);
}

static void write_file(const char *at, const char *text, size_t len, mode_t mode)
{
	unlink(at);
	scoped_fd int fd = open(at, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	assert_int_equal(fchmod(fd, mode), 0);
}

static struct master *must_read(const char *text)
{
	struct error err;
	write_file(path, text, strlen(text), 0600);
	struct master *master = master_read_file(path, &err);
	if (!master)
		fail_msg("%s", err.text);
	return master;
}

static void reads_a_key_and_derives_from_it(void **state)
{
	(void)state;
	struct error err;
	struct master *a = must_read(KEY "\n"), *b = must_read(OTHER);
	assert_int_equal(chmod(path, 0400), 0);
	struct master *again = master_read_file(path, &err), *copy = master_copy(b);
	char text[2 * KEY_ID_LEN + 1];
	assert_memory_equal(master_id(b), master_id(again), KEY_ID_LEN);
	assert_memory_equal(master_id(b), master_id(copy), KEY_ID_LEN);
	assert_memory_not_equal(master_id(a), master_id(b), KEY_ID_LEN);
	assert_int_equal(strlen(master_id_text(master_id(a), text)), 2 * KEY_ID_LEN);
	scoped_secret struct secret *wrap = master_subkey(a, "wrap"),
				    *grant = master_subkey(a, "grant"),
				    *of_b = master_subkey(b, "wrap"),
				    *of_copy = master_subkey(copy, "wrap");
	assert_int_equal(secret_len(wrap), MASTER_LEN);
	assert_true(secret_equal(wrap, secret_bytes(master_wrap_key(a)), MASTER_LEN));
	assert_false(secret_equal(wrap, secret_bytes(grant), MASTER_LEN));
	assert_false(secret_equal(wrap, secret_bytes(of_b), MASTER_LEN));
	assert_true(secret_equal(of_b, secret_bytes(of_copy), MASTER_LEN));
	assert_memory_not_equal(secret_bytes(wrap), master_id(a), KEY_ID_LEN);
	master_destroy(&a);
	master_destroy(&b);
	master_destroy(&again);
	master_destroy(&copy);
	assert_null(a);
	master_destroy(&a);
}

/* Computed by another language's BLAKE2b: an id in a log of today has to be that of tomorrow's vault. */
static void derives_as_it_always_will(void **state)
{
	(void)state;
	char text[2 * MASTER_LEN + 1];
	struct master *master = must_read(KEY);
	assert_string_equal(master_id_text(master_id(master), text), "47ec42ecb561720a");
	scoped_secret struct secret *grant = master_subkey(master, "grant");
	assert_string_equal(sodium_bin2hex(text, sizeof(text), secret_bytes(grant), MASTER_LEN),
	    "48f8ce051156b1d3a66d2e9a0bd1c253be8b029ada2961baf154a6479a8c5082");
	master_destroy(&master);
}

#define CONTENT(text) text, sizeof(text) - 1
static const struct {
	const char *name, *text;
	size_t len;
} bad_contents[] = {
    {"empty", CONTENT("")},
    {"a line end", CONTENT("\n")},
    {"31 bytes", CONTENT("rQ0o1yq1uVtW0bq1Yz3mW2o0m8V4t1m5yQ2x7l9zGg==")},
    {"33 bytes", CONTENT("rQ0o1yq1uVtW0bq1Yz3mW2o0m8V4t1m5yQ2x7l9zGkBB")},
    {"64 bytes", CONTENT("rQ0o1yq1uVtW0bq1Yz3mW2o0m8V4t1m5yQ2x7l9zGkArQ0o1yq1uVtW0bq1Yz3mW2o0m8V4t1"
			 "m5yQ2x7l9zGg==")},
    {"no padding", CONTENT("rQ0o1yq1uVtW0bq1Yz3mW2o0m8V4t1m5yQ2x7l9zGkA")},
    {"not canonical", CONTENT("rQ0o1yq1uVtW0bq1Yz3mW2o0m8V4t1m5yQ2x7l9zGkB=")},
    {"the other alphabet", CONTENT("rQ0o1yq1uVtW0bq1Yz3mW2o0m8V4t1m5yQ2x7l9z-_A=")},
    {"two lines", CONTENT("rQ0o1yq1uVtW0bq1Yz3mW2o0\nm8V4t1m5yQ2x7l9zGkA=\n")},
    {"two line ends", CONTENT(KEY "\n\n")},
    {"a carriage return", CONTENT(KEY "\r\n")},
    {"a space in front", CONTENT(" " KEY)},
    {"a NUL behind", CONTENT(KEY "\0")},
    {"raw bytes", CONTENT("\xad\x0d\x28\xd7\x2a\xb5\xb9\x5b\x56\xd1\xba\xb5\x63\x3d\xe6\x5b\x6a\x34"
			  "\x9b\xc5\x78\xb7\x59\xb9\xc9\x0d\xb1\xee\x5f\x73\x1a\x40")},
    {"hex", CONTENT("ad0d28d72ab5b95b56d1bab5633de65b6a349bc578b759b9c90db1ee5f731a40")},
    {"zeros", CONTENT("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")},
    {"0 to 31", CONTENT("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")},
    {"31 to 0", CONTENT("Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=")},
    /* change-me-please-change-me-pleas */
    {"a placeholder", CONTENT("Y2hhbmdlLW1lLXBsZWFzZS1jaGFuZ2UtbWUtcGxlYXM=")},
    /* The quick brown fox jumps over 1 */
    {"a sentence", CONTENT("VGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIDE=")},
    /* 15 different bytes, above 127 */
    {"few different bytes", CONTENT("gIGCg4SFhoeIiYqLjI2OgIGCg4SFhoeIiYqLjI2OgIE=")},
    {"a text", CONTENT("CHANGE_ME")},
};

static void refuses_bad_contents_without_showing_them(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_contents); i++) {
		struct error err = {0};
		write_file(path, bad_contents[i].text, bad_contents[i].len, 0600);
		if (master_read_file(path, &err))
			fail_msg("%s: accepted", bad_contents[i].name);
		assert_int_equal(err.code, ERR_INVALID);
		assert_non_null(strstr(err.text, path));
		if (bad_contents[i].len >= 8) {
			char begin[9];
			snprintf(begin, sizeof(begin), "%s", bad_contents[i].text);
			assert_null(strstr(err.text, begin));
		}
	}
}

static void refuses_files_that_others_can_reach(void **state)
{
	(void)state;
	static const mode_t modes[] = {0640, 0604, 0644, 0660, 0620, 0602, 0610, 0601, 0440};
	struct error err;
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		write_file(path, KEY "\n", sizeof(KEY), modes[i]);
		assert_null(master_read_file(path, &err));
		assert_int_equal(err.code, ERR_DENIED);
		assert_non_null(strstr(err.text, path));
	}
	write_file(path, KEY "\n", sizeof(KEY), 0600);
	assert_int_equal(link(path, other_path), 0);
	assert_null(master_read_file(path, &err));
	assert_non_null(strstr(err.text, "hard link"));
	unlink(path);
	assert_int_equal(symlink(other_path, path), 0);
	assert_null(master_read_file(path, &err));
	assert_non_null(strstr(err.text, "symbolic link"));
	unlink(path);
	assert_null(master_read_file(path, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_null(master_read_file(path, &err));
	assert_null(master_read_file(folder, &err));
	unlink(other_path);
}

static void derivation_parameters_survive_the_store(void **state)
{
	(void)state;
	struct master_kdf kdf, again, other;
	uint8_t bytes[MASTER_KDF_LEN];
	struct error err;
	master_kdf_new(&kdf);
	master_kdf_new(&other);
	assert_memory_not_equal(kdf.salt, other.salt, sizeof(kdf.salt));
	assert_true(kdf.memlimit == 256 * 1024 * 1024 && kdf.opslimit == 3);
	master_kdf_encode(&kdf, bytes);
	assert_int_equal(master_kdf_decode(bytes, sizeof(bytes), &again, &err), 0);
	assert_memory_equal(&kdf, &again, sizeof(kdf));
	static const uint8_t tail[] = {3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0};
	assert_memory_equal(bytes + 16, tail, sizeof(tail));
}

#define MIB UINT64_C(1048576)
static const struct {
	uint64_t opslimit, memlimit;
	bool good;
} limits[] = {
    {2, 19 * MIB, true},
    {10, 1024 * MIB, true},
    {3, 256 * MIB, true},
    {1, 256 * MIB, false},
    {0, 256 * MIB, false},
    {11, 256 * MIB, false},
    {UINT64_MAX, 256 * MIB, false},
    {3, 19 * MIB - 1, false},
    {3, 0, false},
    {3, 1024 * MIB + 1, false},
    {3, UINT64_MAX, false},
    {UINT64_C(1) << 32 | 3, 256 * MIB, false},
    {3, UINT64_C(1) << 32 | 256 * MIB, false},
};

static void does_not_trust_the_store_with_limits(void **state)
{
	(void)state;
	scoped_secret struct secret *passphrase = secret_new("correct horse stable", 20);
	uint8_t bytes[MASTER_KDF_LEN + 1];
	struct master_kdf kdf = {{0}, 0, 0}, again;
	struct error err;
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		kdf.opslimit = limits[i].opslimit;
		kdf.memlimit = limits[i].memlimit;
		master_kdf_encode(&kdf, bytes);
		if ((master_kdf_decode(bytes, MASTER_KDF_LEN, &again, &err) == 0) != limits[i].good)
			fail_msg("limits %zu", i);
		if (!limits[i].good)
			assert_null(master_derive(passphrase, &kdf, &err));
	}
	master_kdf_new(&kdf);
	master_kdf_encode(&kdf, bytes);
	for (size_t len = 0; len <= sizeof(bytes); len++)
		assert_int_equal(
		    master_kdf_decode(bytes, len, &again, &err), len == MASTER_KDF_LEN ? 0 : -1);
}

static const char *const bad_passphrases[] = {"", "short", "elevenbytes", "changemechangeme",
    "Change-Me-Change-Me", "password1234", "PasswordPassword", "passphrase12",
    "your-passphrase-here", "correct horse battery staple", "aaaaaaaaaaaaaaaaaaaa",
    "ababababababab", "test test test test", "multiclaw-multiclaw"};

static void refuses_weak_passphrases_without_showing_them(void **state)
{
	(void)state;
	const struct master_kdf kdf = {{0}, 2, 19 * MIB};
	char big[1025];
	struct error err;
	for (size_t i = 0; i < ARRAY_LEN(bad_passphrases); i++) {
		const char *text = bad_passphrases[i];
		scoped_secret struct secret *passphrase = secret_new(text, strlen(text));
		if (master_derive(passphrase, &kdf, &err))
			fail_msg("accepted: %s", text);
		assert_string_equal(err.reason, "passphrase_invalid");
		assert_true(!text[0] || !strstr(err.text, text));
	}
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)('a' + i % 26);
	scoped_secret struct secret *passphrase = secret_new(big, sizeof(big));
	assert_null(master_derive(passphrase, &kdf, &err));
}

/* What master_derive made is known by its id, which is computed here from the vector's key. */
static void check_master(
    const struct secret *passphrase, const struct master_kdf *kdf, const uint8_t key[MASTER_LEN])
{
	char base64[64];
	struct error err;
	struct master *derived = master_derive(passphrase, kdf, &err);
	assert_non_null(derived);
	struct master *known = must_read(sodium_bin2base64(
	    base64, sizeof(base64), key, MASTER_LEN, sodium_base64_VARIANT_ORIGINAL));
	assert_memory_equal(master_id(derived), master_id(known), KEY_ID_LEN);
	master_destroy(&derived);
	master_destroy(&known);
}

static void derives_what_the_reference_implementation_does(void **state)
{
	(void)state;
	scoped_json json_t *root = vectors_load("tests/vectors/argon2id.json");
	json_t *vector;
	size_t i, whole = 0;
	json_array_foreach(json_object_get(root, "vectors"), i, vector)
	{
		const char *text = vectors_str(vector, "passphrase"),
			   *salt = vectors_str(vector, "salt");
		uint64_t passes = (uint64_t)json_integer_value(json_object_get(vector, "passes"));
		uint64_t kib = (uint64_t)json_integer_value(json_object_get(vector, "memory_kib"));
		uint8_t key[MASTER_LEN], made[MASTER_LEN];
		assert_int_equal(vectors_hex(vector, "key", key, sizeof(key)), MASTER_LEN);
		assert_int_equal(strlen(salt), crypto_pwhash_SALTBYTES);
		assert_int_equal(
		    crypto_pwhash(made, sizeof(made), text, strlen(text), (const uint8_t *)salt,
			passes, (size_t)kib * 1024, crypto_pwhash_ALG_ARGON2ID13),
		    0);
		assert_memory_equal(made, key, MASTER_LEN);
		struct master_kdf kdf = {.opslimit = passes, .memlimit = kib * 1024};
		memcpy(kdf.salt, salt, sizeof(kdf.salt));
		scoped_secret struct secret *passphrase = secret_new(text, strlen(text));
		if (kdf.memlimit >= 19 * MIB) {
			check_master(passphrase, &kdf, key);
			whole++;
		}
	}
	assert_true(i >= 9 && whole >= 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(reads_a_key_and_derives_from_it),
	    cmocka_unit_test(derives_as_it_always_will),
	    cmocka_unit_test(refuses_bad_contents_without_showing_them),
	    cmocka_unit_test(refuses_files_that_others_can_reach),
	    cmocka_unit_test(derivation_parameters_survive_the_store),
	    cmocka_unit_test(does_not_trust_the_store_with_limits),
	    cmocka_unit_test(refuses_weak_passphrases_without_showing_them),
	    cmocka_unit_test(derives_what_the_reference_implementation_does),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, make_folder, remove_folder);
}
