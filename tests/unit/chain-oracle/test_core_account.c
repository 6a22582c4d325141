/* Core accounts: the vectors, the table of verdicts, every truncation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/error.h"
#include "common/pubkey.h"
#include "tests/unit/chain-oracle/fixtures.h"

enum {
	EMPTY_COLLECTION,
	STANDALONE,
	IN_COLLECTION,
	MINTED_COLLECTION,
	SOLD,
	ZOO,
	SEQ,
	HASHED,
	ZOO_SOLD,
	BURNED
};

static const struct {
	enum core_verdict verdict;
	const char *owner, *name;
	size_t base_len; /* of an asset: shorter is malformed, longer is plugins */
} expected[] = {
    [EMPTY_COLLECTION] = {CORE_MALFORMED, CORE_NOBODY, "", 0},
    [STANDALONE] = {CORE_NO_COLLECTION, CORE_NOBODY, "", 97},
    [IN_COLLECTION] = {CORE_OWNED, OWNER, "Claw #1", 100},
    [MINTED_COLLECTION] = {CORE_MALFORMED, CORE_NOBODY, "", 0},
    [SOLD] = {CORE_OWNED, BOB, "Claw #1", 100},
    [ZOO] = {CORE_OWNED, OWNER, "", 78},
    [SEQ] = {CORE_NO_COLLECTION, CORE_NOBODY, "", 53},
    [HASHED] = {CORE_HASHED, CORE_NOBODY, "", 0},
    [ZOO_SOLD] = {CORE_OWNED, MALLORY, "", 78},
    [BURNED] = {CORE_BURNED, CORE_NOBODY, "", 0},
};

struct state {
	json_t *vectors;
	uint8_t collection[PUBKEY_LEN];
};

static int setup(void **arg)
{
	struct state *state = calloc(1, sizeof(*state));
	assert_true(sodium_init() >= 0);
	state->vectors = vectors_solana();
	assert_int_equal(pubkey_parse(COLLECTION, state->collection), 0);
	*arg = state;
	return 0;
}

static int teardown(void **arg)
{
	struct state *state = *arg;
	json_decref(state->vectors);
	free(state);
	return 0;
}

static enum core_verdict verdict(const struct state *state, const struct core_account *account)
{
	struct core_asset asset;
	core_account_read(account, state->collection, &asset);
	return asset.verdict;
}

static void reads_every_account_of_the_vectors(void **arg)
{
	struct state *state = *arg;
	assert_int_equal(
	    json_array_size(json_object_get(state->vectors, "accounts")), ARRAY_LEN(expected));
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		struct fixture fixture;
		struct core_asset asset;
		char owner[PUBKEY_TEXT_MAX + 1];
		fixture_load(state->vectors, i, &fixture);
		core_account_read(&fixture.account, state->collection, &asset);
		core_asset_check_signer(&asset);
		assert_string_equal(
		    core_verdict_text(asset.verdict), core_verdict_text(expected[i].verdict));
		assert_string_equal(core_asset_owner(&asset, owner), expected[i].owner);
		if (expected[i].name[0])
			assert_string_equal(asset.name, expected[i].name);
	}
}

static void says_the_same_of_an_account_and_of_its_slice(void **arg)
{
	struct state *state = *arg;
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		struct fixture fixture;
		struct core_asset whole, slice;
		fixture_load(state->vectors, i, &fixture);
		core_account_read(&fixture.account, state->collection, &whole);
		if (fixture.account.len > CORE_SLICE)
			fixture.account.len = CORE_SLICE;
		core_account_read(&fixture.account, state->collection, &slice);
		assert_memory_equal(&whole, &slice, sizeof(whole));
	}
}

/* What is left of an account that was cut to len bytes. */
static enum core_verdict of_truncated(size_t i, size_t len)
{
	if (expected[i].verdict == CORE_HASHED)
		return len == 0 ? CORE_MALFORMED : CORE_HASHED;
	if (expected[i].base_len == 0 || len < expected[i].base_len)
		return CORE_MALFORMED;
	return expected[i].verdict;
}

static void judges_every_truncation(void **arg)
{
	struct state *state = *arg;
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		struct fixture fixture;
		fixture_load(state->vectors, i, &fixture);
		size_t whole = fixture.account.len;
		for (size_t len = 0; len < whole; len++) {
			/* of exactly that size, so that a sanitizer sees a read behind it */
			uint8_t *copy = malloc(len + !len);
			memcpy(copy, fixture.bytes, len);
			struct core_account cut = fixture.account;
			cut.data = copy;
			cut.len = len;
			cut.space = len;
			if (verdict(state, &cut) != of_truncated(i, len))
				fail_msg("%s cut to %zu: %s", fixture.name, len,
				    core_verdict_text(verdict(state, &cut)));
			free(copy);
		}
	}
}

static void says_missing_of_what_is_not_there(void **arg)
{
	struct core_account absent = {0};
	assert_int_equal(verdict(*arg, &absent), CORE_MISSING);
	struct core_account gone = {.exists = true};
	assert_int_equal(pubkey_parse(SYSTEM_PROGRAM, gone.program), 0);
	assert_int_equal(verdict(*arg, &gone), CORE_MISSING);
}

static void refuses_accounts_of_other_programs(void **arg)
{
	struct state *state = *arg;
	struct fixture fixture;
	fixture_load(state->vectors, IN_COLLECTION, &fixture);
	memset(fixture.account.program, 7, PUBKEY_LEN);
	assert_int_equal(verdict(state, &fixture.account), CORE_WRONG_PROGRAM);
	struct core_account collected = {.exists = true, .lamports = 890880};
	assert_int_equal(verdict(state, &collected), CORE_WRONG_PROGRAM);
}

static void refuses_another_collection(void **arg)
{
	struct state *state = *arg;
	struct fixture fixture;
	fixture_load(state->vectors, IN_COLLECTION, &fixture);
	fixture.bytes[34] ^= 1;
	assert_int_equal(verdict(state, &fixture.account), CORE_WRONG_COLLECTION);
	fixture.bytes[34] ^= 1;
	fixture.bytes[33] = 1;
	assert_int_equal(verdict(state, &fixture.account), CORE_NO_COLLECTION);
	fixture.bytes[33] = 3;
	assert_int_equal(verdict(state, &fixture.account), CORE_MALFORMED);
}

static void tells_an_owner_that_cannot_sign(void **arg)
{
	struct state *state = *arg;
	struct fixture fixture;
	struct core_asset asset;
	uint8_t key[PUBKEY_LEN], pda[PUBKEY_LEN];
	char text[PUBKEY_TEXT_MAX + 1], pda_text[PUBKEY_TEXT_MAX + 1];
	fixture_load(state->vectors, IN_COLLECTION, &fixture);
	assert_int_equal(pubkey_parse(ASSET, key), 0);
	assert_int_equal(pubkey_asset_signer(key, pda, NULL), 0);
	memcpy(fixture.bytes + 1, pda, PUBKEY_LEN);
	core_account_read(&fixture.account, state->collection, &asset);
	assert_int_equal(asset.verdict, CORE_OWNED);
	core_asset_check_signer(&asset);
	assert_int_equal(asset.verdict, CORE_OFF_CURVE);
	assert_string_equal(core_asset_owner(&asset, text), pubkey_text(pda, pda_text));
}

static void refuses_lengths_that_leave_the_account(void **arg)
{
	struct state *state = *arg;
	static const size_t length_at[] = {66, 77};
	for (size_t i = 0; i < ARRAY_LEN(length_at); i++) {
		for (int byte = 0; byte < 4; byte++) {
			struct fixture fixture;
			fixture_load(state->vectors, IN_COLLECTION, &fixture);
			fixture.bytes[length_at[i] + (size_t)byte] = 0xff;
			assert_int_equal(verdict(state, &fixture.account), CORE_MALFORMED);
		}
	}
}

static void does_not_care_what_follows_the_asset(void **arg)
{
	struct state *state = *arg;
	struct fixture fixture;
	fixture_load(state->vectors, ZOO, &fixture);
	memset(fixture.bytes + expected[ZOO].base_len, 0xff,
	    fixture.account.len - expected[ZOO].base_len);
	assert_int_equal(verdict(state, &fixture.account), CORE_OWNED);
}

static void shows_hostile_names_as_valid_text(void **arg)
{
	struct state *state = *arg;
	struct fixture fixture;
	struct core_asset asset;
	fixture_load(state->vectors, IN_COLLECTION, &fixture);
	fixture.bytes[70] = 0xff;
	core_account_read(&fixture.account, state->collection, &asset);
	assert_int_equal(asset.verdict, CORE_OWNED);
	assert_string_equal(asset.name, "");
	fixture.bytes[70] = 'C';
	fixture.bytes[72] = '\0';
	core_account_read(&fixture.account, state->collection, &asset);
	assert_string_equal(asset.name, "");
}

/* An asset of the collection whose name is n times the same character of four bytes, behind pad letters. */
static size_t long_name(uint8_t *bytes, size_t pad, size_t n)
{
	static const uint8_t crab[] = {0xf0, 0x9f, 0xa6, 0x80};
	uint32_t len = (uint32_t)(pad + 4 * n);
	for (int i = 0; i < 4; i++)
		bytes[66 + i] = (uint8_t)(len >> 8 * i);
	memset(bytes + 70, 'x', pad);
	for (size_t i = 0; i < n; i++)
		memcpy(bytes + 70 + pad + 4 * i, crab, sizeof(crab));
	memset(bytes + 70 + len, 0, 5);
	return 70 + len + 5;
}

static void cuts_long_names_between_characters(void **arg)
{
	struct state *state = *arg;
	for (size_t pad = 0; pad < 4; pad++) {
		struct fixture fixture;
		struct core_asset asset;
		fixture_load(state->vectors, IN_COLLECTION, &fixture);
		fixture.account.len = fixture.account.space = long_name(fixture.bytes, pad, 40);
		core_account_read(&fixture.account, state->collection, &asset);
		assert_int_equal(asset.verdict, CORE_OWNED);
		assert_int_equal(strlen(asset.name), pad == 0 ? 64 : 60 + pad);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(reads_every_account_of_the_vectors),
	    cmocka_unit_test(says_the_same_of_an_account_and_of_its_slice),
	    cmocka_unit_test(judges_every_truncation),
	    cmocka_unit_test(says_missing_of_what_is_not_there),
	    cmocka_unit_test(refuses_accounts_of_other_programs),
	    cmocka_unit_test(refuses_another_collection),
	    cmocka_unit_test(tells_an_owner_that_cannot_sign),
	    cmocka_unit_test(refuses_lengths_that_leave_the_account),
	    cmocka_unit_test(does_not_care_what_follows_the_asset),
	    cmocka_unit_test(shows_hostile_names_as_valid_text),
	    cmocka_unit_test(cuts_long_names_between_characters),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
