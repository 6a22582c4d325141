/* Composing: the eight transactions that the real program executed, byte for byte, and each instruction's layout. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/scoped.h"
#include "common/solana_ix_agent.h"
#include "tests/unit/common/solana_world.h"
#include "tests/unit/common/vectors.h"

static struct world world;

static int init(void **state)
{
	(void)state;
	if (sodium_init() < 0)
		return -1;
	world_open(&world);
	return 0;
}

/* What vector i is, by the order of the file: legacy then v0; standalone, in the collection, paid by the service, with a budget. */
static struct raw compose_vector(size_t i)
{
	struct solana_instruction inner, instructions[3];
	uint8_t pda[PUBKEY_LEN];
	struct error err;
	size_t n = 0, kind = i % 4;
	const uint8_t *payer = kind == 2 ? world.service : world.owner;
	const struct solana_core_execute execute = {
	    .asset = kind == 0 ? world.standalone : world.asset,
	    .collection = kind == 0 ? NULL : world.collection,
	    .payer = payer,
	    .authority = kind == 2 ? world.owner : NULL};

	assert_int_equal(pubkey_asset_signer(execute.asset, pda, NULL), 0);
	if (kind == 3) {
		solana_ix_budget_limit(60000, &instructions[n++]);
		solana_ix_budget_price(1000, &instructions[n++]);
	}
	solana_ix_system_transfer(pda, world.destination, WORLD_LAMPORTS, &inner);
	assert_int_equal(solana_ix_core_execute(&execute, &inner, &instructions[n++], &err), 0);
	return world_compose(&world, i < 4 ? SOLANA_LEGACY : SOLANA_V0, payer, instructions, n);
}

static void composes_the_transactions_that_the_real_program_executed(void **state)
{
	scoped_json json_t *root = vectors_solana();
	json_t *vector, *list = json_object_get(json_object_get(root, "transactions"), "list");
	uint8_t want[SOLANA_TX_MAX];
	size_t i;

	(void)state;
	assert_int_equal(json_array_size(list), 8);
	json_array_foreach(list, i, vector)
	{
		struct raw raw = compose_vector(i);
		size_t n = 1 + raw.data[0] * (size_t)SIGNATURE_LEN,
		       len = vectors_hex(vector, "message_hex", want, sizeof(want));
		assert_int_equal(raw.len - n, len);
		assert_memory_equal(raw.data + n, want, len);
		assert_true(sodium_is_zero(raw.data + 1, n - 1));
		world_sign(&raw);
		assert_int_equal(vectors_hex(vector, "signed_tx_hex", want, sizeof(want)), raw.len);
		assert_memory_equal(raw.data, want, raw.len);
	}
}

/* "<letter of the key><flags>" each: w writable, s signer; keys by their letter below. */
static void is_instruction(const struct solana_instruction *ix, const uint8_t *program,
    const char *accounts, const char *data)
{
	char got[256] = "", hex[256];
	const struct {
		char letter;
		const uint8_t *key;
	} names[] = {{'P', world.pda}, {'O', world.owner}, {'D', world.destination},
	    {'A', world.asset}, {'C', world.collection}, {'M', world.mint}, {'Y', world.mallory},
	    {'X', world.service}, {'1', solana_program_key(SOLANA_PROGRAM_SYSTEM)},
	    {'K', solana_program_key(SOLANA_PROGRAM_CORE)},
	    {'T', solana_program_key(SOLANA_PROGRAM_TOKEN)},
	    {'2', solana_program_key(SOLANA_PROGRAM_TOKEN_2022)},
	    {'G', solana_program_key(SOLANA_PROGRAM_AGENT_TOOLS)}};

	for (size_t i = 0; i < ix->n_accounts; i++) {
		size_t at = strlen(got), name = 0;
		while (name < ARRAY_LEN(names) &&
		       memcmp(names[name].key, ix->accounts[i].key, PUBKEY_LEN) != 0)
			name++;
		snprintf(got + at, sizeof(got) - at, "%s%c%s%s", i ? " " : "",
		    name < ARRAY_LEN(names) ? names[name].letter : '?',
		    ix->accounts[i].flags & SOLANA_WRITE ? "w" : "",
		    ix->accounts[i].flags & SOLANA_SIGN ? "s" : "");
	}
	assert_memory_equal(ix->program, program, PUBKEY_LEN);
	assert_string_equal(got, accounts);
	sodium_bin2hex(hex, sizeof(hex), ix->data, ix->data_len);
	assert_string_equal(hex, data);
}

static void lays_out_every_instruction(void **state)
{
	const uint8_t *token = solana_program_key(SOLANA_PROGRAM_TOKEN),
		      *token_2022 = solana_program_key(SOLANA_PROGRAM_TOKEN_2022),
		      *core = solana_program_key(SOLANA_PROGRAM_CORE),
		      *tools = solana_program_key(SOLANA_PROGRAM_AGENT_TOOLS);
	const struct solana_token_transfer transfer = {
	    token_2022, world.mint, world.mallory, world.destination, world.pda, 1500000, 6};
	const struct solana_core_transfer nft = {
	    world.asset, world.collection, world.owner, world.pda, world.destination};
	const struct solana_core_transfer plain = {
	    .asset = world.asset, .payer = world.owner, .new_owner = world.destination};
	struct solana_instruction ix;

	(void)state;
	solana_ix_system_transfer(world.pda, world.destination, 1, &ix);
	is_instruction(
	    &ix, solana_program_key(SOLANA_PROGRAM_SYSTEM), "Pws Dw", "020000000100000000000000");
	solana_ix_token_transfer(&transfer, &ix);
	is_instruction(&ix, token_2022, "Yw M Dw Ps", "0c60e316000000000006");
	solana_ix_token_close(token, world.mallory, world.pda, world.owner, &ix);
	is_instruction(&ix, token, "Yw Pw Os", "09");
	solana_ix_token_revoke(token, world.mallory, world.pda, &ix);
	is_instruction(&ix, token, "Yw Ps", "05");
	assert_int_equal(
	    solana_ix_token_create_account(token, world.pda, world.destination, world.mint, &ix),
	    0);
	is_instruction(
	    &ix, solana_program_key(SOLANA_PROGRAM_ASSOCIATED_TOKEN), "Pws ?w D M 1 T", "01");
	solana_ix_core_transfer(&nft, &ix);
	is_instruction(&ix, core, "Aw C Ows Ps D K K", "0e00");
	solana_ix_core_transfer(&plain, &ix);
	is_instruction(&ix, core, "Aw K Ows K D K K", "0e00");
	solana_ix_agent_revoke(world.mallory, world.asset, world.destination, world.owner, &ix);
	is_instruction(&ix, tools, "Yw A Dw Ows G 1", "0200000000000000");
	solana_ix_budget_limit(60000, &ix);
	is_instruction(&ix, solana_program_key(SOLANA_PROGRAM_COMPUTE_BUDGET), "", "0260ea0000");
	solana_ix_budget_price(UINT64_MAX, &ix);
	is_instruction(
	    &ix, solana_program_key(SOLANA_PROGRAM_COMPUTE_BUDGET), "", "03ffffffffffffffff");
}

static void wraps_so_that_the_wallet_signs_only_inside(void **state)
{
	const struct solana_core_execute execute = {.asset = world.asset,
	    .collection = world.collection,
	    .payer = world.owner,
	    .record = world.mallory};
	struct solana_instruction inner, ix;
	struct error err;

	(void)state;
	solana_instruction_init(&inner, world.destination);
	solana_instruction_account(&inner, world.pda, SOLANA_SIGN_WRITE);
	solana_instruction_account(&inner, world.owner, SOLANA_SIGN);
	solana_instruction_account(&inner, world.mint, SOLANA_WRITE);
	solana_instruction_bytes(&inner, "\x01\x02", 2);
	assert_int_equal(solana_ix_core_execute(&execute, &inner, &ix, &err), 0);
	is_instruction(&ix, solana_program_key(SOLANA_PROGRAM_CORE), "Aw Cw P Ows K 1 D Y Pw Os Mw",
	    "1f020000000102");
}

static void refuses_to_wrap_what_needs_a_strangers_signature(void **state)
{
	const struct solana_core_execute execute = {.asset = world.asset, .payer = world.owner};
	struct solana_instruction inner, ix;
	struct error err;

	(void)state;
	solana_ix_system_transfer(world.mallory, world.destination, 1, &inner);
	assert_int_equal(solana_ix_core_execute(&execute, &inner, &ix, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_string_equal(err.reason, "inner_signer");
}

static void refuses(const struct solana_instruction *instructions, size_t n, const char *reason)
{
	const struct solana_message message = {
	    SOLANA_V0, world.owner, world.blockhash, instructions, n};
	uint8_t bytes[SOLANA_TX_MAX];
	struct error err;
	size_t len;

	assert_int_equal(solana_message_compose(&message, bytes, &len, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_string_equal(err.reason, reason);
}

static void refuses_what_does_not_fit_a_transaction(void **state)
{
	static struct solana_instruction many[SOLANA_INSTRUCTIONS_MAX + 1];
	struct solana_instruction ix;
	uint8_t key[PUBKEY_LEN] = {1};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		solana_ix_budget_limit(1, &many[i]);
	refuses(many, ARRAY_LEN(many), "tx_too_many");

	solana_instruction_init(&ix, world.mallory);
	for (uint8_t i = 0; i < SOLANA_KEYS_MAX; i++) {
		key[1] = i;
		solana_instruction_account(&ix, key, SOLANA_READ);
	}
	refuses(&ix, 1, "tx_too_many");

	solana_instruction_init(&ix, world.mallory);
	for (size_t i = 0; i < SOLANA_DATA_MAX; i++)
		solana_instruction_number(&ix, 1, 1);
	many[0] = many[1] = ix;
	refuses(many, 2, "tx_too_long");
	solana_instruction_number(&ix, 1, 1);
	refuses(&ix, 1, "tx_too_long");

	solana_instruction_init(&ix, world.mallory);
	for (size_t i = 0; i <= SOLANA_ACCOUNTS_MAX; i++)
		solana_instruction_account(&ix, world.mint, SOLANA_READ);
	refuses(&ix, 1, "tx_too_long");

	solana_instruction_init(&ix, world.owner);
	refuses(&ix, 1, "tx_index");
}

/* A transaction of every length up to the limit is composed and read back; one byte more is refused. */
static void fills_a_transaction_to_its_last_byte(void **state)
{
	struct solana_instruction ix;
	size_t last = 0;

	(void)state;
	for (size_t n = 0; n <= SOLANA_DATA_MAX; n++) {
		uint8_t bytes[SOLANA_TX_MAX];
		struct solana_message message = {
		    SOLANA_LEGACY, world.owner, world.blockhash, &ix, 1};
		struct error err;
		struct solana_tx tx;
		size_t len;
		solana_instruction_init(&ix, world.mallory);
		/* three accounts of 32 bytes bring the limit within reach */
		solana_instruction_account(&ix, world.mint, SOLANA_WRITE);
		solana_instruction_account(&ix, world.asset, SOLANA_READ);
		solana_instruction_account(&ix, world.pda, SOLANA_READ);
		for (size_t i = 0; i < n; i++)
			solana_instruction_number(&ix, i & 0xff, 1);
		if (solana_message_compose(&message, bytes, &len, &err) != 0) {
			assert_string_equal(err.reason, "tx_too_long");
			assert_int_equal(last, SOLANA_TX_MAX);
			return;
		}
		assert_int_equal(solana_tx_parse(bytes, len, &tx, &err), 0);
		assert_int_equal(tx.instructions[0].data_len, n);
		last = len;
	}
	fail_msg("the limit was never reached");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(composes_the_transactions_that_the_real_program_executed),
	    cmocka_unit_test(lays_out_every_instruction),
	    cmocka_unit_test(wraps_so_that_the_wallet_signs_only_inside),
	    cmocka_unit_test(refuses_to_wrap_what_needs_a_strangers_signature),
	    cmocka_unit_test(refuses_what_does_not_fit_a_transaction),
	    cmocka_unit_test(fills_a_transaction_to_its_last_byte),
	};

	return cmocka_run_group_tests(tests, init, NULL);
}
