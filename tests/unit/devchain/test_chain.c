#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/error.h"
#include "tests/devchain/node.h"
#include "tests/unit/devchain/fixtures.h"

#define START 1000u
#define SLOT_MS 400u
static const uint64_t lags[COMMITMENTS] = {0, 2, 32};

static struct chain *new_chain(void)
{
	return chain_new(START, SLOT_MS, lags, 1000000);
}

static void ticks(struct chain *chain, unsigned n)
{
	static uint64_t now_ms = 1000000;

	while (n--)
		chain_tick(chain, now_ms += SLOT_MS);
}

/* an account of one byte, whose value is what the tests follow */
static uint64_t put(struct chain *chain, uint8_t who, uint8_t value)
{
	struct account_state scoped_state state = {.lamports = 1};
	uint8_t key[PUBKEY_LEN];

	fill_key(key, who);
	account_state_resize(&state, 1)[0] = value;
	return chain_put(chain, key, &state);
}

static int value_at(const struct chain *chain, uint8_t who, uint64_t slot)
{
	const struct account_state *state;
	uint8_t key[PUBKEY_LEN];

	fill_key(key, who);
	state = account_at(chain_find(chain, key), slot);
	return state ? state->data[0] : -1;
}

static int seen(const struct chain *chain, uint64_t lag, uint8_t who, enum commitment commitment)
{
	struct view view;

	chain_view(chain, lag, &view);
	return value_at(chain, who, chain_block(chain, view.height[commitment]).slot);
}

static void shows_a_change_at_each_commitment_in_its_time(void **state)
{
	struct chain *chain = new_chain();
	uint64_t slot = put(chain, 1, 7);

	(void)state;
	assert_int_equal(slot, START + 1);
	assert_int_equal(seen(chain, 0, 1, PROCESSED), -1);
	for (unsigned i = 0; i <= 33; i++) {
		ticks(chain, 1);
		assert_int_equal(seen(chain, 0, 1, PROCESSED), 7);
		assert_int_equal(seen(chain, 0, 1, CONFIRMED), i >= 2 ? 7 : -1);
		assert_int_equal(seen(chain, 0, 1, FINALIZED), i >= 32 ? 7 : -1);
		assert_int_equal(seen(chain, 10, 1, CONFIRMED), i >= 12 ? 7 : -1);
	}
	chain_destroy(&chain);
}

static void collapses_changes_of_one_slot_into_the_last(void **state)
{
	struct chain *chain = new_chain();
	struct view view;

	(void)state;
	put(chain, 1, 7);
	put(chain, 1, 8);
	ticks(chain, 1);
	chain_view(chain, 0, &view);
	assert_int_equal(chain_block(chain, view.height[PROCESSED]).nchanged, 1);
	assert_int_equal(seen(chain, 0, 1, PROCESSED), 8);
	chain_destroy(&chain);
}

static void forgets_the_slots_a_fork_drops_and_repeats_their_accounts(void **state)
{
	struct chain *chain = new_chain();
	struct block block;
	struct view view;
	uint64_t dropped;

	(void)state;
	put(chain, 1, 7);
	ticks(chain, 40);
	dropped = put(chain, 1, 8);
	ticks(chain, 1);
	assert_int_equal(chain_fork(chain, 1), 1);
	assert_int_equal(seen(chain, 0, 1, PROCESSED), 7);
	assert_false(chain_has_slot(chain, dropped));
	ticks(chain, 1);
	chain_view(chain, 0, &view);
	block = chain_block(chain, view.height[PROCESSED]);
	assert_int_equal(block.slot, dropped + 1);
	assert_int_equal(block.nchanged, 1);
	assert_int_equal(chain_block(chain, view.height[PROCESSED] - 1).slot, dropped - 1);
	assert_int_equal(seen(chain, 0, 1, PROCESSED), 7);
	chain_destroy(&chain);
}

static void never_forks_what_is_confirmed(void **state)
{
	struct chain *chain = new_chain();
	struct view before, after;

	(void)state;
	ticks(chain, 40);
	chain_view(chain, 0, &before);
	assert_int_equal(chain_fork(chain, 100), 2);
	chain_view(chain, 0, &after);
	assert_int_equal(after.height[CONFIRMED], before.height[CONFIRMED]);
	assert_int_equal(after.height[FINALIZED], before.height[FINALIZED]);
	assert_int_equal(after.height[PROCESSED], after.height[CONFIRMED]);
	assert_int_equal(chain_fork(chain, 1), 0);
	chain_destroy(&chain);
}

static void keeps_a_change_that_waits_for_the_next_slot_through_a_fork(void **state)
{
	struct chain *chain = new_chain();

	(void)state;
	put(chain, 1, 7);
	ticks(chain, 40);
	put(chain, 1, 8);
	ticks(chain, 1);
	put(chain, 1, 9);
	assert_int_equal(chain_fork(chain, 1), 1);
	assert_int_equal(seen(chain, 0, 1, PROCESSED), 7);
	ticks(chain, 1);
	assert_int_equal(seen(chain, 0, 1, PROCESSED), 9);
	chain_destroy(&chain);
}

static void makes_up_blocks_older_than_it_knows(void **state)
{
	struct chain *chain = new_chain();
	struct view view;

	(void)state;
	chain_view(chain, 500, &view);
	assert_int_equal(chain_block(chain, view.height[PROCESSED]).slot, START - 500);
	assert_int_equal(
	    chain_block(chain, view.height[PROCESSED]).time_ms, 1000000 - 500 * SLOT_MS);
	assert_true(chain_has_slot(chain, START - 500));
	chain_view(chain, 1000000, &view);
	assert_int_equal(chain_block(chain, view.height[FINALIZED]).slot, 1);
	chain_destroy(&chain);
}

static void keeps_thousands_of_accounts_and_a_long_past(void **state)
{
	struct chain *chain = new_chain();
	struct account *const *accounts;
	uint8_t key[PUBKEY_LEN];

	(void)state;
	for (unsigned i = 0; i < 5000; i++) {
		struct account_state account = {.lamports = i + 1};
		uint8_t other[PUBKEY_LEN] = {[8] = (uint8_t)i, [9] = (uint8_t)(i >> 8)};

		chain_put(chain, other, &account);
	}
	assert_int_equal(chain_accounts(chain, &accounts), 5000);
	for (unsigned i = 0; i < 5000; i++)
		assert_ptr_equal(chain_find(chain, accounts[i]->key), accounts[i]);
	for (unsigned i = 0; i < 3 * CHAIN_HISTORY_BLOCKS; i++) {
		if (i % 100 == 0)
			put(chain, 1, (uint8_t)(i / 100));
		ticks(chain, 1);
	}
	assert_int_equal(seen(chain, CHAIN_HISTORY_BLOCKS / 2, 1, PROCESSED),
	    (uint8_t)((3 * CHAIN_HISTORY_BLOCKS - 1 - CHAIN_HISTORY_BLOCKS / 2) / 100));
	fill_key(key, 1);
	assert_in_range(chain_find(chain, key)->nversions, CHAIN_HISTORY_BLOCKS / 100,
	    CHAIN_HISTORY_BLOCKS / 100 + 2);
	chain_destroy(&chain);
}

static void a_frozen_node_stands_still_and_a_lagging_one_does_not(void **state)
{
	struct chain *chain = new_chain();
	struct node a, b;
	uint64_t slot;

	(void)state;
	node_open(&a, "a", chain, 1000000);
	node_open(&b, "b", chain, 1000000);
	ticks(chain, 10);
	slot = node_slot(&a, CONFIRMED);
	node_freeze(&a);
	b.faults.lag = 5;
	ticks(chain, 10);
	assert_int_equal(node_slot(&a, CONFIRMED), slot);
	assert_int_equal(node_slot(&b, CONFIRMED), slot + 5);
	node_reset(&a);
	assert_int_equal(node_slot(&a, CONFIRMED), slot + 10);
	b.faults.bad_slot = true;
	assert_true(node_slot(&b, CONFIRMED) == UINT64_MAX);
	chain_destroy(&chain);
}

static void a_lying_node_reports_another_owner_and_the_other_node_does_not(void **state)
{
	json_t *vectors = vectors_solana();
	struct account_state scoped_state asset =
	    fixture(vectors, "asset in collection, Attributes");
	struct chain *chain = new_chain();
	struct node a, b;
	struct reading reading;
	uint8_t key[PUBKEY_LEN], thief[PUBKEY_LEN];

	(void)state;
	fill_key(key, 1);
	fill_key(thief, 2);
	chain_seed(chain, key, 1, &asset);
	node_open(&a, "a", chain, 1000000);
	node_open(&b, "b", chain, 1000000);
	a.faults.nlies = 1;
	memcpy(a.faults.lies[0].asset, key, PUBKEY_LEN);
	memcpy(a.faults.lies[0].owner, thief, PUBKEY_LEN);
	assert_true(node_read(&a, key, START, &reading));
	assert_memory_equal(reading.data + 1, thief, PUBKEY_LEN);
	assert_memory_equal(reading.data + 33, asset.data + 33, asset.len - 33);
	assert_true(node_read(&b, key, START, &reading));
	assert_memory_equal(reading.data, asset.data, asset.len);
	node_reset(&a);
	assert_true(node_read(&a, key, START, &reading));
	assert_memory_equal(reading.data, asset.data, asset.len);
	chain_destroy(&chain);
	json_decref(vectors);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(shows_a_change_at_each_commitment_in_its_time),
	    cmocka_unit_test(collapses_changes_of_one_slot_into_the_last),
	    cmocka_unit_test(forgets_the_slots_a_fork_drops_and_repeats_their_accounts),
	    cmocka_unit_test(never_forks_what_is_confirmed),
	    cmocka_unit_test(keeps_a_change_that_waits_for_the_next_slot_through_a_fork),
	    cmocka_unit_test(makes_up_blocks_older_than_it_knows),
	    cmocka_unit_test(keeps_thousands_of_accounts_and_a_long_past),
	    cmocka_unit_test(a_frozen_node_stands_still_and_a_lagging_one_does_not),
	    cmocka_unit_test(a_lying_node_reports_another_owner_and_the_other_node_does_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
