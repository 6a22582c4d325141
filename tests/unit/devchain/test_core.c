#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/scoped.h"
#include "tests/unit/devchain/fixtures.h"

static void copy_key(uint8_t key[PUBKEY_LEN], const struct account_state *from, size_t offset)
{
	memcpy(key, from->data + offset, PUBKEY_LEN);
}

static void creates_a_collection_as_the_program_does(void **state)
{
	scoped_json json_t *vectors = vectors_solana();
	struct account_state scoped_state want = fixture(vectors, "collection, no plugins, empty");
	struct account_state scoped_state got = {0};
	uint8_t authority[PUBKEY_LEN];

	(void)state;
	copy_key(authority, &want, 1);
	core_collection_create(authority, "Claws", "https://e.x/c.json", &got);
	assert_same_account(&got, &want);
}

static void counts_a_mint_in_the_collection(void **state)
{
	scoped_json json_t *vectors = vectors_solana();
	struct account_state scoped_state got = fixture(vectors, "collection, no plugins, empty");
	struct account_state scoped_state want = fixture(vectors, "collection after one mint");

	(void)state;
	assert_int_equal(core_collection_count(&got, 1, 1, NULL), 0);
	assert_same_account(&got, &want);
	assert_int_equal(core_collection_count(&got, 0, -5, NULL), 0);
	assert_int_equal(got.data[68], 0);
}

static void creates_a_standalone_asset_as_the_program_does(void **state)
{
	scoped_json json_t *vectors = vectors_solana();
	struct account_state scoped_state want = fixture(vectors, "asset, standalone");
	struct account_state scoped_state got = {0};
	struct core_asset asset = {
	    .update = CORE_UPDATE_ADDRESS, .name = "Solo", .uri = "https://e.x/s.json"};

	(void)state;
	copy_key(asset.owner, &want, 1);
	copy_key(asset.authority, &want, 34);
	core_asset_create(&asset, &got);
	assert_same_account(&got, &want);
}

static void creates_an_asset_with_attributes_as_the_program_does(void **state)
{
	scoped_json json_t *vectors = vectors_solana();
	struct account_state scoped_state want =
	    fixture(vectors, "asset in collection, Attributes");
	struct account_state scoped_state got = {0};
	struct core_asset asset = {
	    .update = CORE_UPDATE_COLLECTION,
	    .name = "Claw #1",
	    .uri = "https://e.x/1.json",
	    .nattributes = 2,
	    .attributes = {{"model", "opus"}, {"tier", "2"}},
	};

	(void)state;
	copy_key(asset.owner, &want, 1);
	copy_key(asset.authority, &want, 34);
	core_asset_create(&asset, &got);
	assert_same_account(&got, &want);
}

static void transfers_an_asset_by_its_owner_bytes_alone(void **state)
{
	scoped_json json_t *vectors = vectors_solana();
	struct account_state scoped_state got = fixture(vectors, "asset in collection, Attributes");
	struct account_state scoped_state want = fixture(vectors, "same asset after transfer");
	uint8_t to[PUBKEY_LEN];

	(void)state;
	copy_key(to, &want, 1);
	assert_int_equal(core_transfer(&got, to, NULL), 0);
	assert_same_account(&got, &want);
}

static void leaves_stale_bytes_where_delegates_were_reset(void **state)
{
	scoped_json json_t *vectors = vectors_solana();
	struct account_state scoped_state got = fixture(vectors, "plugin zoo");
	struct account_state scoped_state want = fixture(vectors, "zoo after");
	uint8_t to[PUBKEY_LEN];

	(void)state;
	copy_key(to, &want, 1);
	assert_int_equal(core_transfer(&got, to, NULL), 0);
	assert_same_account(&got, &want);
}

static void counts_up_a_sequence_number_without_an_authority(void **state)
{
	scoped_json json_t *vectors = vectors_solana();
	struct account_state scoped_state got =
	    fixture(vectors, "synthetic: update_authority None");
	uint8_t to[PUBKEY_LEN];

	(void)state;
	fill_key(to, 9);
	assert_int_equal(core_transfer(&got, to, NULL), 0);
	assert_memory_equal(got.data + 1, to, PUBKEY_LEN);
	assert_int_equal(got.data[45], 8);
	assert_int_equal(core_move(&got, CORE_UPDATE_ADDRESS, to, NULL), -1);
}

static void burns_down_to_one_byte_and_keeps_the_fees(void **state)
{
	scoped_json json_t *vectors = vectors_solana();
	struct account_state scoped_state got = fixture(vectors, "same asset after transfer");
	struct account_state scoped_state want = fixture(vectors, "asset after burn");

	(void)state;
	got.lamports += 7 * 48720; /* the executions it went through before it was burned */
	assert_int_equal(core_burn(&got, NULL), 0);
	assert_same_account(&got, &want);
	assert_false(core_is_asset(&got));
}

static void moves_an_asset_out_of_its_collection(void **state)
{
	scoped_json json_t *vectors = vectors_solana();
	struct account_state scoped_state asset =
	    fixture(vectors, "asset in collection, Attributes");
	uint8_t key[PUBKEY_LEN], to[PUBKEY_LEN];

	(void)state;
	fill_key(to, 3);
	assert_true(core_asset_collection(&asset, key));
	assert_int_equal(core_move(&asset, CORE_UPDATE_ADDRESS, to, NULL), 0);
	assert_false(core_asset_collection(&asset, key));
	assert_int_equal(core_move(&asset, CORE_UPDATE_COLLECTION, to, NULL), 0);
	assert_true(core_asset_collection(&asset, key));
	assert_memory_equal(key, to, PUBKEY_LEN);
}

static void refuses_every_cut_of_an_asset_and_changes_nothing(void **state)
{
	scoped_json json_t *vectors = vectors_solana();
	struct account_state scoped_state whole = fixture(vectors, "plugin zoo");
	uint8_t to[PUBKEY_LEN];

	(void)state;
	fill_key(to, 9);
	for (size_t len = 0; len < whole.len; len++) {
		struct account_state scoped_state cut = {.lamports = 1};
		struct error err = {0};

		memcpy(cut.program, whole.program, PUBKEY_LEN);
		account_state_resize(&cut, len);
		if (len)
			memcpy(cut.data, whole.data, len);
		/* at the end of the base data an asset without plugins is whole */
		if (len == 78)
			continue;
		assert_int_equal(core_transfer(&cut, to, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
		if (len)
			assert_memory_equal(cut.data, whole.data, len);
	}
}

static void refuses_what_is_no_asset(void **state)
{
	scoped_json json_t *vectors = vectors_solana();
	static const char *const names[] = {
	    "collection, no plugins", "synthetic: HashedAssetV1", "asset after burn"};
	uint8_t to[PUBKEY_LEN] = {1};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct account_state scoped_state account = fixture(vectors, names[i]);

		assert_int_equal(core_transfer(&account, to, NULL), -1);
		assert_int_equal(core_burn(&account, NULL), -1);
		assert_int_equal(core_move(&account, CORE_UPDATE_ADDRESS, to, NULL), -1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(creates_a_collection_as_the_program_does),
	    cmocka_unit_test(counts_a_mint_in_the_collection),
	    cmocka_unit_test(creates_a_standalone_asset_as_the_program_does),
	    cmocka_unit_test(creates_an_asset_with_attributes_as_the_program_does),
	    cmocka_unit_test(transfers_an_asset_by_its_owner_bytes_alone),
	    cmocka_unit_test(leaves_stale_bytes_where_delegates_were_reset),
	    cmocka_unit_test(counts_up_a_sequence_number_without_an_authority),
	    cmocka_unit_test(burns_down_to_one_byte_and_keeps_the_fees),
	    cmocka_unit_test(moves_an_asset_out_of_its_collection),
	    cmocka_unit_test(refuses_every_cut_of_an_asset_and_changes_nothing),
	    cmocka_unit_test(refuses_what_is_no_asset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
