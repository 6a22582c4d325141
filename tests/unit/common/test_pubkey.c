#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sodium.h>
#include <string.h>

#include "common/error.h"
#include "common/pubkey.h"
#include "common/scoped.h"
#include "tests/unit/common/vectors.h"

static int init(void **state)
{
	(void)state;
	return sodium_init() < 0;
}

static void knows_what_is_on_the_curve(void **state)
{
	scoped_json json_t *root = vectors_solana();
	size_t i, non_canonical = 0;
	json_t *vector;

	(void)state;
	json_array_foreach(json_object_get(root, "on_curve"), i, vector)
	{
		uint8_t key[PUBKEY_LEN];
		assert_int_equal(vectors_hex(vector, "hex", key, sizeof(key)), PUBKEY_LEN);
		bool want = json_is_true(json_object_get(vector, "on_curve"));
		if (pubkey_is_on_curve(key) != want)
			fail_msg("%s: should be %s the curve", vectors_str(vector, "hex"),
			    want ? "on" : "off");
		non_canonical +=
		    want != json_is_true(json_object_get(vector, "libsodium_is_valid_point"));
	}
	/* a set in which the tempting check is never wrong would prove nothing */
	assert_true(non_canonical > 0);
}

static void every_key_pair_is_on_the_curve(void **state)
{
	uint8_t key[PUBKEY_LEN], secret[crypto_sign_SECRETKEYBYTES];

	(void)state;
	for (int i = 0; i < 100; i++) {
		crypto_sign_keypair(key, secret);
		assert_true(pubkey_is_on_curve(key));
	}
}

static void derives_the_signer_of_an_asset(void **state)
{
	scoped_json json_t *root = vectors_solana();
	json_t *vector;
	size_t i;

	(void)state;
	assert_true(json_array_size(json_object_get(root, "pda")) > 0);
	json_array_foreach(json_object_get(root, "pda"), i, vector)
	{
		uint8_t asset[PUBKEY_LEN], want[PUBKEY_LEN], pda[PUBKEY_LEN], bump;
		vectors_hex(vector, "asset_hex", asset, sizeof(asset));
		vectors_hex(vector, "pda_hex", want, sizeof(want));
		assert_int_equal(pubkey_asset_signer(asset, pda, &bump), 0);
		assert_memory_equal(pda, want, sizeof(want));
		assert_int_equal(bump, json_integer_value(json_object_get(vector, "bump")));
		assert_false(pubkey_is_on_curve(pda));
		memset(pda, 0, sizeof(pda));
		assert_int_equal(pubkey_asset_signer(asset, pda, NULL), 0);
		assert_memory_equal(pda, want, sizeof(want));
	}
}

static void derives_the_signer_of_the_assets_among_the_keys(void **state)
{
	scoped_json json_t *root = vectors_solana();
	size_t checked = 0;
	const char *name;
	json_t *vector;

	(void)state;
	json_object_foreach(json_object_get(root, "keys"), name, vector)
	{
		uint8_t asset[PUBKEY_LEN], pda[PUBKEY_LEN], bump;
		char text[PUBKEY_TEXT_MAX + 1];
		if (!json_object_get(vector, "asset_signer_pda"))
			continue;
		assert_int_equal(pubkey_parse(vectors_str(vector, "address"), asset), 0);
		assert_int_equal(pubkey_asset_signer(asset, pda, &bump), 0);
		assert_string_equal(
		    pubkey_text(pda, text), vectors_str(vector, "asset_signer_pda"));
		assert_int_equal(
		    bump, json_integer_value(json_object_get(vector, "asset_signer_bump")));
		checked++;
	}
	assert_true(checked > 0);
}

static void every_asset_has_a_signer_however_far_the_search_goes(void **state)
{
	uint8_t asset[PUBKEY_LEN] = {0}, pda[PUBKEY_LEN], bump, lowest = 255;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		asset[0] = (uint8_t)i;
		asset[1] = (uint8_t)(i >> 8);
		assert_int_equal(pubkey_asset_signer(asset, pda, &bump), 0);
		assert_false(pubkey_is_on_curve(pda));
		lowest = bump < lowest ? bump : lowest;
	}
	assert_true(lowest < 250);
}

/* Computed with Python's hashlib.blake2b and base64.b32encode. */
static void an_agents_id_is_fixed_for_ever(void **state)
{
	static const struct {
		const char *asset, *id;
	} cases[] = {
	    {"B1G47g9FVGv5VZaLVNjUiBmbFy7AZn4FCBdjdcDGtE7U", "jzgyblpad6pcz2b75cqidffhzxwijrba"},
	    {"8vXQWPNQAUrp4HxgXfcTAiDiiNSTYu1MKUkzm4NBxwuo", "7il47ymg4o7wvdyiuqd45pygwimc3gij"},
	    {"11111111111111111111111111111111", "yhoq2zala7as7hw77nxhlqaxrycj45zl"},
	};
	uint8_t asset[PUBKEY_LEN];
	char id[AGENT_ID_LEN + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(pubkey_parse(cases[i].asset, asset), 0);
		agent_id(asset, id);
		assert_string_equal(id, cases[i].id);
	}
}

static void an_agents_id_is_a_dns_label_of_32_letters(void **state)
{
	uint8_t asset[PUBKEY_LEN];
	char id[AGENT_ID_LEN + 1];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		randombytes_buf(asset, sizeof(asset));
		agent_id(asset, id);
		assert_int_equal(strlen(id), 32);
		assert_int_equal(strspn(id, "abcdefghijklmnopqrstuvwxyz234567"), 32);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(knows_what_is_on_the_curve),
	    cmocka_unit_test(every_key_pair_is_on_the_curve),
	    cmocka_unit_test(derives_the_signer_of_an_asset),
	    cmocka_unit_test(derives_the_signer_of_the_assets_among_the_keys),
	    cmocka_unit_test(every_asset_has_a_signer_however_far_the_search_goes),
	    cmocka_unit_test(an_agents_id_is_fixed_for_ever),
	    cmocka_unit_test(an_agents_id_is_a_dns_label_of_32_letters),
	};

	return cmocka_run_group_tests(tests, init, NULL);
}
