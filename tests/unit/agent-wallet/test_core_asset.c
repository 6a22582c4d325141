/* Core assets: the vectors, plugins that freeze or let others execute, every truncation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base58.h"
#include "common/error.h"
#include "services/agent-wallet/core_asset.h"
#include "tests/unit/common/vectors.h"

#define OWNER "9hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu"
#define COLLECTION "EdmxWPmx2WH6WgFfTdu9xfkYf3k1g5wD1zccTVySEEh1"

/* in the order of the vectors */
static const struct {
	bool is_asset, has_collection;
} expected[] = {{false, false}, {true, false}, {true, true}, {false, false}, {true, true},
    {true, true}, {true, false}, {false, false}, {true, true}, {false, false}};

static void reads_the_vectors(void **state)
{
	json_t *root = vectors_solana(), *accounts = json_object_get(root, "accounts");
	uint8_t bytes[512], collection[PUBKEY_LEN];
	(void)state;
	assert_int_equal(json_array_size(accounts), ARRAY_LEN(expected));
	assert_int_equal(pubkey_parse(COLLECTION, collection), 0);
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		struct core_asset asset;
		size_t len =
		    vectors_hex(json_array_get(accounts, i), "data_hex", bytes, sizeof(bytes));
		assert_int_equal(core_asset_read(bytes, len, &asset), expected[i].is_asset);
		assert_int_equal(asset.has_collection, expected[i].has_collection);
		if (asset.has_collection)
			assert_memory_equal(asset.collection, collection, PUBKEY_LEN);
		if (expected[i].is_asset) {
			assert_true(asset.plugins_known);
			assert_memory_equal(asset.owner, bytes + 1, PUBKEY_LEN);
		}
		assert_false(asset.identity);
		assert_false(asset.execute_frozen);
	}
	json_decref(root);
}

/* ---- accounts made here */

struct made {
	uint8_t bytes[512];
	size_t len;
};

static void put(struct made *made, uint64_t value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		made->bytes[made->len++] = (uint8_t)(value >> (8 * i));
}

/* An asset with one plugin (type, flag) and one external plugin (type, event, flags). */
static struct made make(
    unsigned plugin, bool flag, unsigned external, unsigned event, unsigned flags)
{
	struct made made = {0};
	put(&made, 1, 1);
	for (int i = 0; i < PUBKEY_LEN; i++)
		put(&made, 9, 1);
	put(&made, 0, 1); /* no update authority */
	put(&made, 2, 4);
	put(&made, 'x', 2);
	put(&made, 0, 4);
	put(&made, 1, 1); /* a sequence number */
	put(&made, 7, 8);
	size_t header = made.len;
	put(&made, 3, 1);
	put(&made, header + 9 + 2, 8);
	size_t at = made.len;
	put(&made, plugin, 1);
	put(&made, flag, 1);
	put(&made, 4, 1);
	put(&made, 1, 4);
	put(&made, plugin, 1);
	put(&made, 3, 1); /* an address */
	for (int i = 0; i < PUBKEY_LEN; i++)
		put(&made, 5, 1);
	put(&made, at, 8);
	put(&made, 1, 4);
	put(&made, external, 1);
	put(&made, 2, 1);
	put(&made, 1, 1);
	put(&made, 1, 4);
	put(&made, event, 1);
	put(&made, flags, 4);
	put(&made, at, 8);
	put(&made, 1, 1);
	put(&made, at, 8);
	put(&made, 0, 1);
	return made;
}

static const struct {
	unsigned plugin;
	bool flag;
	unsigned external, event, flags;
	bool identity, frozen;
} plugins[] = {
    {16, true, 6, 4, 2, true, true}, {17, true, 6, 4, 6, true, true},
    {16, false, 6, 4, 4, false, false}, /* may reject only */
    {1, true, 6, 1, 2, false, false},   /* FreezeDelegate; approves transfers, not Execute */
    {5, true, 0, 4, 2, false, false},   /* another external plugin */
};

static void knows_who_may_execute_and_who_forbids_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(plugins); i++) {
		struct made made = make(plugins[i].plugin, plugins[i].flag, plugins[i].external,
		    plugins[i].event, plugins[i].flags);
		struct core_asset asset;
		assert_true(core_asset_read(made.bytes, made.len, &asset));
		assert_true(asset.plugins_known);
		assert_false(asset.has_collection);
		assert_int_equal(asset.identity, plugins[i].identity);
		assert_int_equal(asset.execute_frozen, plugins[i].frozen);
	}
}

static void what_is_cut_is_not_known(void **state)
{
	struct made made = make(16, true, 6, 4, 2);
	(void)state;
	for (size_t len = 0; len < made.len; len++) {
		struct core_asset asset;
		uint8_t *exact = malloc(len + !len); /* so that a read beyond it is found */
		memcpy(exact, made.bytes, len);
		if (core_asset_read(exact, len, &asset) && len != 53)
			assert_false(asset.plugins_known);
		free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(reads_the_vectors),
	    cmocka_unit_test(knows_who_may_execute_and_who_forbids_it),
	    cmocka_unit_test(what_is_cut_is_not_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
