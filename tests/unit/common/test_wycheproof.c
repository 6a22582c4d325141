#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

/* Project Wycheproof's vectors against the primitives the suite uses, as the suite uses them. They are not part of the
 * project: where the folder is not there, the tests say that they were skipped. */
#include <sodium.h>
#include <stdbool.h>
#include <string.h>

#include "common/scoped.h"
#include "tests/unit/common/vectors.h"

#define BYTES_MAX 4096

/* One verdict: does the primitive accept this vector? */
typedef bool (*accepts_fn)(const json_t *group, const json_t *test);

static bool ed25519_accepts(const json_t *group, const json_t *test)
{
	uint8_t key[64], message[BYTES_MAX], signature[128];
	size_t len = vectors_hex(test, "msg", message, sizeof(message));

	if (vectors_hex(json_object_get(group, "publicKey"), "pk", key, sizeof(key)) != 32)
		return false;
	/* every caller takes exactly 64 bytes: the codec's limits and the HTTP edge see to it */
	if (vectors_hex(test, "sig", signature, sizeof(signature)) != 64)
		return false;
	return crypto_sign_verify_detached(signature, message, len, key) == 0;
}

static bool hmac_accepts(const json_t *group, const json_t *test)
{
	uint8_t key[BYTES_MAX], message[BYTES_MAX], tag[64], made[crypto_auth_hmacsha256_BYTES];
	size_t keylen = vectors_hex(test, "key", key, sizeof(key));
	size_t len = vectors_hex(test, "msg", message, sizeof(message));
	size_t taglen = vectors_hex(test, "tag", tag, sizeof(tag));
	crypto_auth_hmacsha256_state state;

	crypto_auth_hmacsha256_init(&state, key, keylen);
	crypto_auth_hmacsha256_update(&state, message, len);
	crypto_auth_hmacsha256_final(&state, made);
	/* groups of shorter tags test the truncation that the protocol, not the primitive, would do */
	size_t want = (size_t)json_integer_value(json_object_get(group, "tagSize")) / 8;
	return taglen == want && want <= sizeof(made) && sodium_memcmp(made, tag, want) == 0;
}

static bool xchacha_accepts(const json_t *group, const json_t *test)
{
	uint8_t key[64], nonce[64], aad[BYTES_MAX], cipher[BYTES_MAX], message[BYTES_MAX],
	    want[BYTES_MAX];
	unsigned long long len;

	(void)group;
	if (vectors_hex(test, "key", key, sizeof(key)) !=
		crypto_aead_xchacha20poly1305_ietf_KEYBYTES ||
	    vectors_hex(test, "iv", nonce, sizeof(nonce)) !=
		crypto_aead_xchacha20poly1305_ietf_NPUBBYTES)
		return false;
	size_t aadlen = vectors_hex(test, "aad", aad, sizeof(aad));
	size_t cipherlen = vectors_hex(test, "ct", cipher, sizeof(cipher) - 64);
	cipherlen += vectors_hex(test, "tag", cipher + cipherlen, 64);
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(
		message, &len, NULL, cipher, cipherlen, aad, aadlen, nonce, key) != 0)
		return false;
	return len == vectors_hex(test, "msg", want, sizeof(want)) &&
	       memcmp(message, want, len) == 0;
}

static void run_group(const json_t *group, accepts_fn accepts)
{
	json_t *test;
	size_t i;

	json_array_foreach(json_object_get(group, "tests"), i, test)
	{
		bool want = strcmp(vectors_str(test, "result"), "valid") == 0;

		if (accepts(group, test) != want)
			fail_msg("vector %lld (%s) should be %s",
			    (long long)json_integer_value(json_object_get(test, "tcId")),
			    vectors_str(test, "comment"), vectors_str(test, "result"));
	}
	assert_true(i > 0);
}

/* No verdict of ours differs from the vectors': there is no list of exceptions. */
static void run_file(const char *path, accepts_fn accepts)
{
	scoped_json json_t *root = vectors_load(path);
	json_t *group;
	size_t i;

	assert_non_null(root);
	json_array_foreach(json_object_get(root, "testGroups"), i, group) run_group(group, accepts);
	assert_true(i > 0);
}

static void ed25519_signatures(void **state)
{
	(void)state;
	run_file("tests/vectors/wycheproof_ed25519.json", ed25519_accepts);
}

static void hmac_sha256_tags(void **state)
{
	(void)state;
	run_file("tests/vectors/wycheproof_hmac_sha256.json", hmac_accepts);
}

static void xchacha20_poly1305_boxes(void **state)
{
	(void)state;
	run_file("tests/vectors/wycheproof_xchacha20_poly1305.json", xchacha_accepts);
}

/* Stricter on purpose than some of Solana's own JavaScript: keys of small order sign for nobody. */
static void small_order_keys_sign_for_nobody(void **state)
{
	scoped_json json_t *root = vectors_solana();
	uint8_t key[32], message[BYTES_MAX], signature[64];
	json_t *vector;
	size_t i;

	(void)state;
	json_array_foreach(json_object_get(root, "ed25519_must_reject"), i, vector)
	{
		assert_int_equal(vectors_hex(vector, "pubkey_hex", key, sizeof(key)), 32);
		size_t len = vectors_hex(vector, "message_hex", message, sizeof(message));
		assert_int_equal(
		    vectors_hex(vector, "signature_hex", signature, sizeof(signature)), 64);
		assert_int_not_equal(crypto_sign_verify_detached(signature, message, len, key), 0);
	}
	assert_true(i > 0);
	json_array_foreach(json_object_get(root, "ed25519_valid"), i, vector)
	{
		vectors_hex(vector, "pubkey_hex", key, sizeof(key));
		size_t len = vectors_hex(vector, "message_hex", message, sizeof(message));
		vectors_hex(vector, "signature_hex", signature, sizeof(signature));
		assert_int_equal(crypto_sign_verify_detached(signature, message, len, key), 0);
	}
	assert_true(i > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ed25519_signatures),
	    cmocka_unit_test(hmac_sha256_tags),
	    cmocka_unit_test(xchacha20_poly1305_boxes),
	    cmocka_unit_test(small_order_keys_sign_for_nobody),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
