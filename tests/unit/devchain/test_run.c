/* Transactions on the chain: the eight of the vectors, which the real programs executed, and what may go wrong around one. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sodium.h>

#include "common/scoped.h"
#include "common/solana_ix_core.h"
#include "common/solana_program.h"
#include "tests/devchain/agent_record.h"
#include "tests/devchain/bank.h"
#include "tests/devchain/token.h"
#include "tests/unit/devchain/fixtures.h"

#define SOL 1000000000u
#define SENT 10000000u
#define EXECUTE_FEE 48720u

struct world {
	struct chain *chain;
	struct bank bank;
	unsigned changes;
};

static const uint64_t lags[COMMITMENTS] = {0, 2, 32};

static void count(void *arg)
{
	struct world *world = arg;

	world->changes++;
}

static int open_world(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	if (!world || sodium_init() < 0)
		return -1;
	world->chain = chain_new(1000, 400, lags, 1700000000000);
	world->bank = (struct bank){.chain = world->chain, .changed = count, .arg = world};
	*state = world;
	return 0;
}

static int close_world(void **state)
{
	struct world *world = *state;

	chain_destroy(&world->chain);
	free(world);
	return 0;
}

static void give(struct world *world, const uint8_t *key, uint64_t lamports)
{
	struct account_state state = {.lamports = lamports};

	chain_seed(world->chain, key, 1, &state);
}

static const struct account_state *newest(const struct world *world, const uint8_t *key)
{
	return account_at(chain_find(world->chain, key), UINT64_MAX);
}

static uint64_t lamports_of(const struct world *world, const uint8_t *key)
{
	const struct account_state *state = newest(world, key);

	return state ? state->lamports : 0;
}

/* ---- the vectors ---- */

static const struct solana_tx_instruction *execution_of(const struct solana_tx *tx)
{
	return &tx->instructions[tx->n_instructions - 1];
}

static const uint8_t *at(const struct solana_tx *tx, size_t i)
{
	return solana_tx_account(tx, execution_of(tx), i);
}

static bool is_core(const uint8_t *key)
{
	return solana_program_of(key) == SOLANA_PROGRAM_CORE;
}

static void put_asset(struct world *world, const struct solana_tx *tx)
{
	const uint8_t *authority = at(tx, SOLANA_EXECUTE_AUTHORITY);
	const uint8_t *collection = at(tx, SOLANA_EXECUTE_COLLECTION);
	struct account_state scoped_state state = {0};
	struct core_asset asset = {
	    .update = is_core(collection) ? CORE_UPDATE_ADDRESS : CORE_UPDATE_COLLECTION,
	    .name = "n",
	    .uri = "u"};

	memcpy(asset.owner, is_core(authority) ? solana_tx_key(tx, 0) : authority, PUBKEY_LEN);
	memcpy(asset.authority, collection, PUBKEY_LEN);
	core_asset_create(&asset, &state);
	chain_seed(world->chain, at(tx, SOLANA_EXECUTE_ASSET), 1, &state);
}

static void prepare(struct world *world, const struct solana_tx *tx)
{
	for (size_t i = 0; i < tx->n_signers; i++)
		give(world, solana_tx_key(tx, i), SOL);
	give(world, at(tx, SOLANA_EXECUTE_SIGNER), SOL);
	put_asset(world, tx);
}

static size_t read_vector(const json_t *vector, uint8_t *bytes, struct solana_tx *tx)
{
	struct error err = {0};
	size_t len = vectors_hex(vector, "signed_tx_hex", bytes, SOLANA_TX_MAX);

	if (solana_tx_parse(bytes, len, tx, &err) != 0)
		fail_msg("%s: %s", vectors_str(vector, "name"), err.text);
	return len;
}

static void check_vector(const json_t *vector)
{
	uint8_t bytes[SOLANA_TX_MAX];
	struct world *world;
	struct solana_tx tx;
	struct run run;
	void *state = NULL;

	if (open_world(&state) != 0 || !state)
		abort();
	world = state;
	read_vector(vector, bytes, &tx);
	assert_int_equal(solana_tx_verify(&tx, NULL), 0);
	prepare(world, &tx);
	run_transaction(&run, &tx, world->chain, UINT64_MAX);
	if (run.error[0])
		fail_msg("%s: %s", vectors_str(vector, "name"), run.error);
	for (size_t i = 0; i < run.n; i++) {
		const struct run_account *account = &run.account[i];
		const uint8_t *key = account->key;
		int64_t change =
		    (int64_t)account->state.lamports - (int64_t)account->before.lamports;
		int64_t want = 0;

		if (memcmp(key, at(&tx, execution_of(&tx)->n_accounts - 1), PUBKEY_LEN) == 0)
			want += SENT;
		if (memcmp(key, at(&tx, SOLANA_EXECUTE_SIGNER), PUBKEY_LEN) == 0)
			want -= SENT;
		if (memcmp(key, at(&tx, SOLANA_EXECUTE_ASSET), PUBKEY_LEN) == 0)
			want += EXECUTE_FEE;
		if (i == 0)
			want -= (int64_t)run.fee;
		if (memcmp(key, at(&tx, SOLANA_EXECUTE_PAYER), PUBKEY_LEN) == 0)
			want -= EXECUTE_FEE;
		assert_int_equal(change, want);
	}
	run_close(&run);
	close_world(&state);
}

static void runs_the_vectors_as_the_real_programs_did(void **state)
{
	scoped_json json_t *vectors = vectors_solana();
	const json_t *list = json_object_get(json_object_get(vectors, "transactions"), "list");
	const json_t *vector;
	size_t i;

	(void)state;
	assert_int_equal(json_array_size(list), 8);
	json_array_foreach(list, i, vector) check_vector(vector);
}

/* ---- a transfer of our own ---- */

struct payment {
	uint8_t from[crypto_sign_PUBLICKEYBYTES], secret[crypto_sign_SECRETKEYBYTES];
	uint8_t to[PUBKEY_LEN];
	uint8_t bytes[SOLANA_TX_MAX];
	struct solana_tx tx;
};

/* A legacy transfer, by hand: payer, destination, System Program. */
static void pay(struct world *world, struct payment *payment, uint64_t lamports, uint64_t height)
{
	uint8_t *message = payment->bytes + 1 + SIGNATURE_LEN, *out = message;
	static const uint8_t tail[] = {1, 2, 2, 0, 1, 12, 2, 0, 0, 0};

	payment->bytes[0] = 1;
	memcpy(out, ((uint8_t[]){1, 0, 1, 3}), 4);
	memcpy(out + 4, payment->from, PUBKEY_LEN);
	memcpy(out + 36, payment->to, PUBKEY_LEN);
	memset(out + 68, 0, PUBKEY_LEN);
	bank_blockhash(&world->bank, height, out + 100);
	memcpy(out + 132, tail, sizeof(tail));
	out += 132 + sizeof(tail);
	for (size_t i = 0; i < 8; i++)
		*out++ = (uint8_t)(lamports >> (8 * i));
	crypto_sign_detached(
	    payment->bytes + 1, NULL, message, (size_t)(out - message), payment->secret);
	assert_int_equal(
	    solana_tx_parse(payment->bytes, (size_t)(out - payment->bytes), &payment->tx, NULL), 0);
}

static struct payment new_payment(struct world *world)
{
	struct payment payment = {0};

	crypto_sign_keypair(payment.from, payment.secret);
	fill_key(payment.to, 7);
	give(world, payment.from, SOL);
	return payment;
}

static uint64_t tip(const struct world *world)
{
	struct view view;

	chain_view(world->chain, 0, &view);
	return view.height[PROCESSED];
}

static void takes_a_transaction_once(void **state)
{
	struct world *world = *state;
	struct payment payment = new_payment(world);

	pay(world, &payment, SENT, tip(world));
	assert_true(bank_send(&world->bank, &payment.tx));
	assert_false(bank_send(&world->bank, &payment.tx));
	assert_int_equal(lamports_of(world, payment.to), SENT);
	assert_int_equal(lamports_of(world, payment.from), SOL - SENT - 5000);
	assert_int_equal(world->changes, 1);
	assert_int_equal(chain_find_landed(world->chain, payment.tx.signatures)->slot, 1001);
}

static void takes_nothing_that_was_not_signed(void **state)
{
	struct world *world = *state;
	struct payment payment = new_payment(world);

	pay(world, &payment, SENT, tip(world));
	payment.bytes[20] ^= 1;
	assert_false(bank_send(&world->bank, &payment.tx));
	assert_int_equal(lamports_of(world, payment.from), SOL);
}

static void knows_a_blockhash_for_150_blocks(void **state)
{
	struct world *world = *state;
	struct payment payment = new_payment(world);

	uint64_t height = tip(world);
	pay(world, &payment, SENT, height);
	for (int i = 0; i < 149; i++)
		chain_tick(world->chain, 1700000000000);
	assert_true(bank_is_recent(&world->bank, payment.tx.blockhash, tip(world)));
	chain_tick(world->chain, 1700000000000);
	assert_false(bank_is_recent(&world->bank, payment.tx.blockhash, tip(world)));
	assert_false(bank_send(&world->bank, &payment.tx));
}

static void keeps_a_failure_with_its_fee(void **state)
{
	struct world *world = *state;
	struct payment payment = new_payment(world);

	pay(world, &payment, 2 * (uint64_t)SOL, tip(world));
	assert_true(bank_send(&world->bank, &payment.tx));
	assert_string_equal(chain_find_landed(world->chain, payment.tx.signatures)->error,
	    "{\"InstructionError\":[0,{\"Custom\":1}]}");
	assert_int_equal(lamports_of(world, payment.from), SOL - 5000);
	assert_int_equal(lamports_of(world, payment.to), 0);
}

static void leaves_nobody_between_nothing_and_rent(void **state)
{
	static const struct {
		uint64_t lamports;
		const char *error;
	} rows[] = {
	    {890879, "{\"InsufficientFundsForRent\":{\"account_index\":1}}"},
	    {890880, ""},
	    {SOL - 5000 - 890880, ""},
	    {SOL - 5000 - 890879, "{\"InsufficientFundsForRent\":{\"account_index\":0}}"},
	    {SOL - 5000, ""},
	};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct payment payment = new_payment(world);
		struct run run;

		pay(world, &payment, rows[i].lamports, tip(world));
		run_transaction(&run, &payment.tx, world->chain, UINT64_MAX);
		assert_string_equal(run.error, rows[i].error);
		run_close(&run);
	}
}

static void a_payer_who_cannot_pay_leaves_no_trace(void **state)
{
	static const struct {
		uint64_t has;
		const char *error;
	} rows[] = {
	    {0, "\"AccountNotFound\""},
	    {4999, "\"InsufficientFundsForFee\""},
	    {890880 + 4999, "{\"InsufficientFundsForRent\":{\"account_index\":0}}"},
	};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct payment payment = {0};
		struct run run;

		crypto_sign_keypair(payment.from, payment.secret);
		fill_key(payment.to, 7);
		give(world, payment.from, rows[i].has);
		pay(world, &payment, 1, tip(world));
		run_transaction(&run, &payment.tx, world->chain, UINT64_MAX);
		assert_string_equal(run.error, rows[i].error);
		assert_false(run.charged);
		run_close(&run);
		assert_false(bank_send(&world->bank, &payment.tx));
		assert_null(chain_find_landed(world->chain, payment.tx.signatures));
	}
}

static void a_fork_takes_a_transaction_back(void **state)
{
	struct world *world = *state;
	struct payment payment = new_payment(world);

	pay(world, &payment, SENT, tip(world));
	assert_true(bank_send(&world->bank, &payment.tx));
	chain_tick(world->chain, 1700000000000);
	assert_int_equal(chain_fork(world->chain, 1), 1);
	assert_null(chain_find_landed(world->chain, payment.tx.signatures));
	assert_int_equal(lamports_of(world, payment.to), 0);
	/* the same bytes land again */
	assert_true(bank_send(&world->bank, &payment.tx));
}

/* ---- bytes of others' programs ---- */

static void an_identity_lets_agents_execute_and_survives_a_transfer(void **state)
{
	static const char *const names[] = {"asset, standalone", "asset in collection, Attributes",
	    "same asset after transfer", "plugin zoo", "zoo after permanent-delegate transfer"};
	scoped_json json_t *vectors = vectors_solana();
	uint8_t to[PUBKEY_LEN], owner[PUBKEY_LEN];

	(void)state;
	fill_key(to, 5);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct account_state scoped_state asset = fixture(vectors, names[i]);
		uint64_t fees = asset.lamports - rent_exempt(asset.len);

		assert_false(core_asset_lets_agents_execute(&asset));
		assert_int_equal(core_asset_add_identity(&asset, "https://e.x", NULL), 0);
		assert_true(core_asset_lets_agents_execute(&asset));
		assert_int_equal(asset.lamports, rent_exempt(asset.len) + fees);
		assert_int_equal(core_asset_add_identity(&asset, "https://e.x", NULL), -1);
		assert_int_equal(core_transfer(&asset, to, NULL), 0);
		assert_true(core_asset_lets_agents_execute(&asset));
		assert_true(core_asset_owner(&asset, owner));
		assert_memory_equal(owner, to, PUBKEY_LEN);
	}
}

static void reads_a_record_it_made_and_nothing_shorter(void **state)
{
	struct agent_record record = {.bump = 254}, read;
	struct account_state scoped_state made = {0};

	(void)state;
	fill_key(record.profile, 1);
	fill_key(record.authority, 2);
	fill_key(record.asset, 3);
	agent_record_create(&record, &made);
	assert_int_equal(made.len, 104);
	assert_true(agent_record_read(&made, &read));
	assert_memory_equal(&read, &record, sizeof(read));
	made.data[0] = 1;
	assert_false(agent_record_read(&made, &read));
}

static void a_token_account_is_one_of_its_own_program_alone(void **state)
{
	const uint8_t *token = solana_program_key(SOLANA_PROGRAM_TOKEN);
	const uint8_t *token_2022 = solana_program_key(SOLANA_PROGRAM_TOKEN_2022);
	struct token wrote = {.amount = UINT64_MAX, .state = TOKEN_FROZEN, .has_closer = true},
		     read;
	struct account_state scoped_state made = {0}, mint = {0};
	uint8_t decimals = 0;

	(void)state;
	fill_key(wrote.owner, 1);
	fill_key(wrote.mint, 2);
	fill_key(wrote.closer, 3);
	token_create(token_2022, &wrote, &made);
	assert_int_equal(made.len, TOKEN_2022_LEN);
	assert_int_equal(made.lamports, rent_exempt(TOKEN_2022_LEN));
	assert_true(token_read(&made, token_2022, &read));
	assert_memory_equal(&read, &wrote, sizeof(read));
	assert_false(token_read(&made, token, &read));
	assert_false(token_mint_decimals(&made, token_2022, &decimals));
	token_mint_create(token, wrote.owner, 9, 1, &mint);
	assert_true(token_mint_decimals(&mint, token, &decimals));
	assert_int_equal(decimals, 9);
	assert_false(token_read(&mint, token, &read));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(runs_the_vectors_as_the_real_programs_did),
	    cmocka_unit_test_setup_teardown(takes_a_transaction_once, open_world, close_world),
	    cmocka_unit_test_setup_teardown(
		takes_nothing_that_was_not_signed, open_world, close_world),
	    cmocka_unit_test_setup_teardown(
		knows_a_blockhash_for_150_blocks, open_world, close_world),
	    cmocka_unit_test_setup_teardown(keeps_a_failure_with_its_fee, open_world, close_world),
	    cmocka_unit_test_setup_teardown(
		leaves_nobody_between_nothing_and_rent, open_world, close_world),
	    cmocka_unit_test_setup_teardown(
		a_payer_who_cannot_pay_leaves_no_trace, open_world, close_world),
	    cmocka_unit_test_setup_teardown(
		a_fork_takes_a_transaction_back, open_world, close_world),
	    cmocka_unit_test(an_identity_lets_agents_execute_and_survives_a_transfer),
	    cmocka_unit_test(reads_a_record_it_made_and_nothing_shorter),
	    cmocka_unit_test(a_token_account_is_one_of_its_own_program_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
