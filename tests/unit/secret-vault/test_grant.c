/* Grants: who made one, whom it is for, and that no changed byte of it passes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <string.h>
#include <zmq.h>

#include "proto/vault.h"
#include "services/secret-vault/grant.h"

#define BOOT "00112233445566778899aabbccddeeff"
#define NOW 1700000000000u

static const struct holding holding = {.asset = "So11111111111111111111111111111111111111112",
    .wallet = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA",
    .slot = 0x1122334455667788u,
    .place = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3}};

static struct secret *key_of(uint8_t byte)
{
	uint8_t bytes[32];
	memset(bytes, byte, sizeof(bytes));
	return secret_new(bytes, sizeof(bytes));
}

static char *host_of(uint8_t byte, char text[41])
{
	uint8_t bytes[32];
	memset(bytes, byte, sizeof(bytes));
	return zmq_z85_encode(text, bytes, sizeof(bytes));
}

static void made(const struct secret *key, uint8_t bytes_r[GRANT_LEN])
{
	struct grant grant;
	char host[41];
	struct error err;
	assert_int_equal(
	    grant_fill(&grant, &holding, BOOT, host_of(7, host), NOW + VAULT_GRANT_MS, &err), 0);
	grant_sign(key, &grant, bytes_r);
}

static void a_grant_comes_back_as_it_was_made(void **state)
{
	(void)state;
	scoped_secret struct secret *key = key_of(1);
	uint8_t bytes[GRANT_LEN];
	struct grant grant;
	struct holding back;
	struct error err;
	char host[41];
	made(key, bytes);
	assert_true(grant_open(key, bytes, sizeof(bytes), &grant));
	assert_int_equal(grant_judge(&grant, BOOT, host_of(7, host), NOW, &err), 0);
	grant_holding(&grant, &back);
	assert_string_equal(back.asset, holding.asset);
	assert_string_equal(back.wallet, holding.wallet);
	assert_true(back.slot == holding.slot);
	assert_memory_equal(back.place, holding.place, PLACE_LEN);
	assert_true(back.other_slot == 0);
}

/* The layout is a contract between vaults of different builds. */
static void the_bytes_are_where_the_header_says(void **state)
{
	(void)state;
	scoped_secret struct secret *key = key_of(1);
	uint8_t bytes[GRANT_LEN], asset[PUBKEY_LEN], host[32], mac[32];
	static const uint8_t slot[] = {0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11};
	made(key, bytes);
	assert_int_equal(GRANT_LEN, 193);
	assert_int_equal(bytes[0], 3);
	assert_int_equal(pubkey_parse(holding.asset, asset), 0);
	assert_memory_equal(bytes + 1, asset, 32);
	assert_memory_equal(bytes + 65, slot, 8);
	assert_int_equal(bytes[73], 0x00);
	assert_int_equal(bytes[88], 0xff);
	memset(host, 7, sizeof(host));
	assert_memory_equal(bytes + 89, host, 32);
	assert_memory_equal(bytes + 121, holding.place, PLACE_LEN);
	crypto_generichash(mac, 32, bytes, 161, secret_bytes(key), 32);
	assert_memory_equal(bytes + 161, mac, 32);
}

static void two_grants_for_the_same_start_differ(void **state)
{
	(void)state;
	scoped_secret struct secret *key = key_of(1);
	uint8_t one[GRANT_LEN], other[GRANT_LEN];
	made(key, one);
	made(key, other);
	assert_memory_not_equal(one, other, GRANT_LEN);
}

static void no_flipped_bit_passes(void **state)
{
	(void)state;
	scoped_secret struct secret *key = key_of(1);
	uint8_t bytes[GRANT_LEN];
	struct grant grant;
	made(key, bytes);
	for (size_t bit = 0; bit < 8 * GRANT_LEN; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		assert_false(grant_open(key, bytes, sizeof(bytes), &grant));
		bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
	assert_true(grant_open(key, bytes, sizeof(bytes), &grant));
}

static void no_other_length_passes(void **state)
{
	(void)state;
	scoped_secret struct secret *key = key_of(1);
	uint8_t bytes[GRANT_LEN + 1] = {0};
	struct grant grant;
	made(key, bytes);
	for (size_t len = 0; len <= sizeof(bytes); len++)
		assert_int_equal(grant_open(key, bytes, len, &grant), len == GRANT_LEN);
}

static void another_key_opens_nothing(void **state)
{
	(void)state;
	scoped_secret struct secret *key = key_of(1), *other = key_of(2);
	uint8_t bytes[GRANT_LEN];
	struct grant grant;
	made(key, bytes);
	assert_false(grant_open(other, bytes, sizeof(bytes), &grant));
}

/* A version that does not exist yet, under a good MAC. */
static void refuses_a_version_it_does_not_know(void **state)
{
	(void)state;
	scoped_secret struct secret *key = key_of(1);
	uint8_t bytes[GRANT_LEN];
	struct grant grant;
	made(key, bytes);
	bytes[0] = 2;
	crypto_generichash(bytes + 145, 32, bytes, 137, secret_bytes(key), 32);
	assert_false(grant_open(key, bytes, sizeof(bytes), &grant));
}

static void a_grant_is_for_one_start_on_one_host_for_30_s(void **state)
{
	(void)state;
	char host[41], other[41];
	host_of(7, host);
	host_of(8, other);
	const struct {
		const char *boot, *host, *reason;
		uint64_t now_ms;
	} cases[] = {
	    {BOOT, host, NULL, NOW},
	    {BOOT, host, NULL, NOW + VAULT_GRANT_MS - 1},
	    {BOOT, host, "grant_expired", NOW + VAULT_GRANT_MS},
	    {BOOT, host, "grant_expired", NOW + 86400000},
	    {BOOT, host, "grant_expired", NOW - 60000}, /* a clock that was set back */
	    {BOOT, other, "grant_refused", NOW},
	    {"00112233445566778899aabbccddeefe", host, "grant_refused", NOW},
	    {"0011", host, "grant_refused", NOW},
	    {BOOT, "", "grant_refused", NOW},
	};
	scoped_secret struct secret *key = key_of(1);
	uint8_t bytes[GRANT_LEN];
	struct grant grant;
	made(key, bytes);
	assert_true(grant_open(key, bytes, sizeof(bytes), &grant));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = {0};
		int status =
		    grant_judge(&grant, cases[i].boot, cases[i].host, cases[i].now_ms, &err);
		assert_int_equal(status, cases[i].reason ? -1 : 0);
		if (cases[i].reason) {
			assert_int_equal(err.code, ERR_DENIED);
			assert_string_equal(err.reason, cases[i].reason);
		}
	}
}

static void refuses_texts_that_name_no_start_or_host(void **state)
{
	(void)state;
	static const char good_host[] = "0000000000000000000000000000000000000000";
	static const char *const boots[] = {"", "0011", "00112233445566778899aabbccddeefg",
	    "00112233445566778899aabbccddee f", "00112233445566778899aabbccddeeff00"};
	static const char *const hosts[] = {"", "000000000000000000000000000000000000000",
	    "00000000000000000000000000000000000000000", "~000000000000000000000000000000000000000",
	    "%####0000000000000000000000000000000000#"};
	struct error err;
	assert_int_equal(grant_check(BOOT, good_host, &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(boots); i++)
		assert_int_equal(grant_check(boots[i], good_host, &err), -1);
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
		assert_int_equal(grant_check(BOOT, hosts[i], &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_string_equal(err.reason, "grant_invalid");
}

/* ---- placements */

static void placed(const struct secret *key, uint8_t bytes_r[PLACEMENT_LEN])
{
	struct placement placement;
	char host[41];
	struct error err;
	assert_int_equal(placement_fill(&placement, &holding, host_of(7, host), &err), 0);
	placement_sign(key, &placement, PLACEMENT_HOST, bytes_r);
}

static void a_placement_comes_back_as_it_was_made_and_is_for_one_host(void **state)
{
	(void)state;
	scoped_secret struct secret *key = key_of(1), *other = key_of(2);
	uint8_t bytes[PLACEMENT_LEN], again[PLACEMENT_LEN];
	struct placement placement;
	struct holding back;
	struct error err = {0};
	char host[41];
	placed(key, bytes);
	assert_true(placement_open(key, bytes, sizeof(bytes), PLACEMENT_HOST, &placement));
	assert_false(placement_open(other, bytes, sizeof(bytes), PLACEMENT_HOST, &placement));
	assert_false(placement_open(key, bytes, sizeof(bytes), PLACEMENT_GATEWAY, &placement));
	placement_holding(&placement, &back);
	assert_string_equal(back.asset, holding.asset);
	assert_string_equal(back.wallet, holding.wallet);
	assert_true(back.slot == holding.slot && back.other_slot == 0);
	assert_memory_equal(back.place, holding.place, PLACE_LEN);
	assert_int_equal(placement_judge(&placement, host_of(7, host), &err), 0);
	static const char *const no_hosts[] = {
	    "", "0000", "~000000000000000000000000000000000000000"};
	for (size_t i = 0; i < ARRAY_LEN(no_hosts); i++)
		assert_int_equal(placement_judge(&placement, no_hosts[i], &err), -1);
	assert_int_equal(placement_judge(&placement, host_of(8, host), &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	assert_string_equal(err.reason, "grant_refused");
	placed(key, again);
	assert_memory_not_equal(bytes, again, PLACEMENT_LEN);
}

static void a_placements_bytes_are_where_the_header_says(void **state)
{
	(void)state;
	scoped_secret struct secret *key = key_of(1);
	uint8_t bytes[PLACEMENT_LEN], asset[PUBKEY_LEN], host[32], mac[32];
	static const uint8_t slot[] = {0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11};
	placed(key, bytes);
	assert_int_equal(PLACEMENT_LEN, 169);
	assert_int_equal(bytes[0], 4);
	assert_int_equal(pubkey_parse(holding.asset, asset), 0);
	assert_memory_equal(bytes + 1, asset, 32);
	assert_memory_equal(bytes + 65, slot, 8);
	memset(host, 7, sizeof(host));
	assert_memory_equal(bytes + 73, host, 32);
	assert_memory_equal(bytes + 105, holding.place, PLACE_LEN);
	crypto_generichash(mac, 32, bytes, 137, secret_bytes(key), 32);
	assert_memory_equal(bytes + 137, mac, 32);
}

static void no_flipped_bit_and_no_other_length_of_a_placement_passes(void **state)
{
	(void)state;
	scoped_secret struct secret *key = key_of(1);
	uint8_t bytes[PLACEMENT_LEN + 1] = {0};
	struct placement placement;
	placed(key, bytes);
	for (size_t bit = 0; bit < 8 * PLACEMENT_LEN; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		assert_false(placement_open(key, bytes, PLACEMENT_LEN, PLACEMENT_HOST, &placement));
		bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
	for (size_t len = 0; len <= sizeof(bytes); len++)
		assert_int_equal(placement_open(key, bytes, len, PLACEMENT_HOST, &placement),
		    len == PLACEMENT_LEN);
}

/* Neither as it is, nor cut or filled up to the other's length, nor with the other's version under a good MAC of its own length. */
static void a_grant_is_no_placement_and_a_placement_no_grant(void **state)
{
	(void)state;
	scoped_secret struct secret *key = key_of(1);
	uint8_t as_grant[GRANT_LEN], as_placement[GRANT_LEN] = {0};
	struct grant grant;
	struct placement placement;
	made(key, as_grant);
	placed(key, as_placement);
	assert_false(placement_open(key, as_grant, GRANT_LEN, PLACEMENT_HOST, &placement));
	assert_false(placement_open(key, as_grant, PLACEMENT_LEN, PLACEMENT_HOST, &placement));
	assert_false(grant_open(key, as_placement, PLACEMENT_LEN, &grant));
	assert_false(grant_open(key, as_placement, GRANT_LEN, &grant));
	as_grant[0] = 4;
	crypto_generichash(
	    as_grant + GRANT_BODY_LEN, 32, as_grant, GRANT_BODY_LEN, secret_bytes(key), 32);
	assert_false(placement_open(key, as_grant, GRANT_LEN, PLACEMENT_HOST, &placement));
	as_placement[0] = 3;
	crypto_generichash(as_placement + PLACEMENT_BODY_LEN, 32, as_placement, PLACEMENT_BODY_LEN,
	    secret_bytes(key), 32);
	assert_false(placement_open(key, as_placement, PLACEMENT_LEN, PLACEMENT_HOST, &placement));
	assert_false(grant_open(key, as_placement, PLACEMENT_LEN, &grant));
}

static int set_up(void **state)
{
	(void)state;
	return sodium_init() < 0 ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_grant_comes_back_as_it_was_made),
	    cmocka_unit_test(the_bytes_are_where_the_header_says),
	    cmocka_unit_test(two_grants_for_the_same_start_differ),
	    cmocka_unit_test(no_flipped_bit_passes),
	    cmocka_unit_test(no_other_length_passes),
	    cmocka_unit_test(another_key_opens_nothing),
	    cmocka_unit_test(refuses_a_version_it_does_not_know),
	    cmocka_unit_test(a_grant_is_for_one_start_on_one_host_for_30_s),
	    cmocka_unit_test(refuses_texts_that_name_no_start_or_host),
	    cmocka_unit_test(a_placement_comes_back_as_it_was_made_and_is_for_one_host),
	    cmocka_unit_test(a_placements_bytes_are_where_the_header_says),
	    cmocka_unit_test(no_flipped_bit_and_no_other_length_of_a_placement_passes),
	    cmocka_unit_test(a_grant_is_no_placement_and_a_placement_no_grant),
	};
	return cmocka_run_group_tests(tests, set_up, NULL);
}
