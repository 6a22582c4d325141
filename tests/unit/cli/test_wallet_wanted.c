/* Is what the service built what was asked for? Each way in which it can differ, one by one; and what it may choose. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "common/solana_ix_agent.h"
#include "services/cli/wallet_wanted.h"
#include "tests/unit/common/solana_world.h"

#define UNITS 1250000 /* 1.25 with 6 decimals */

static struct world world;
static uint8_t record[PUBKEY_LEN];

static int init(void **state)
{
	(void)state;
	if (sodium_init() < 0)
		return -1;
	world_open(&world);
	memset(record, 77, sizeof(record));
	return 0;
}

static struct wallet_wanted want(enum wallet_want kind, const char *amount)
{
	struct wallet_wanted wanted = {
	    .want = kind, .amount = amount, .max_priority_lamports = 100000};

	memcpy(wanted.asset, world.asset, PUBKEY_LEN);
	memcpy(wanted.owner, world.owner, PUBKEY_LEN);
	memcpy(wanted.to, world.destination, PUBKEY_LEN);
	memcpy(wanted.what, world.mint, PUBKEY_LEN);
	return wanted;
}

/* What becomes of it: "" if it is what was wanted, else the text of the refusal. */
static const char *judge(
    const struct wallet_wanted *wanted, const struct solana_instruction *instructions, size_t n)
{
	static struct error err;
	struct raw raw = world_compose(&world, SOLANA_LEGACY, world.owner, instructions, n);
	struct solana_tx tx;

	err = (struct error){.code = ERR_NONE};
	assert_int_equal(solana_tx_parse(raw.data, raw.len, &tx, &err), 0);
	if (wallet_wanted_check(wanted, &tx, &err) == 0)
		return "";
	assert_true(err.code == ERR_DENIED || err.code == ERR_INVALID);
	assert_true(err.text[0]);
	return err.text;
}

#define TAKEN(wanted, list, n) assert_string_equal(judge(wanted, list, n), "")
#define REFUSED(wanted, list, n) assert_string_not_equal(judge(wanted, list, n), "")

static struct solana_instruction send_sol(const uint8_t *to, uint64_t lamports)
{
	struct solana_instruction inner, ix;

	solana_ix_system_transfer(world.pda, to, lamports, &inner);
	world_execute(&world, &inner, &ix);
	return ix;
}

static void sol_goes_to_whom_and_as_much_as_was_typed(void **state)
{
	struct wallet_wanted wanted = want(WALLET_WANT_SOL, "0.01");
	struct solana_instruction list[3] = {send_sol(world.destination, 10000000)};

	(void)state;
	TAKEN(&wanted, list, 1);
	list[0] = send_sol(world.mallory, 10000000);
	REFUSED(&wanted, list, 1);
	list[0] = send_sol(world.destination, 10000001);
	REFUSED(&wanted, list, 1);
	list[0] = send_sol(world.destination, 9999999);
	REFUSED(&wanted, list, 1);
	/* the owner's own SOL instead of the agent's */
	solana_ix_system_transfer(world.owner, world.destination, 10000000, &list[0]);
	REFUSED(&wanted, list, 1);
	/* something besides */
	list[0] = send_sol(world.destination, 10000000);
	list[1] = send_sol(world.mallory, 1);
	REFUSED(&wanted, list, 2);
	list[1] = list[0];
	REFUSED(&wanted, list, 2);
	solana_ix_system_transfer(world.owner, world.mallory, 1, &list[1]);
	REFUSED(&wanted, list, 2);
}

/* May the service choose this byte? Its signature's place, the blockhash, the collection's key. */
static bool is_free(const struct solana_tx *tx, const uint8_t *byte, const uint8_t *bytes)
{
	const uint8_t *collection = solana_tx_key(tx, solana_tx_find(tx, world.collection));

	return byte - bytes < 1 + SIGNATURE_LEN ||
	       (byte >= tx->blockhash && byte < tx->blockhash + SOLANA_BLOCKHASH_LEN) ||
	       (byte >= collection && byte < collection + PUBKEY_LEN);
}

static void no_other_byte_can_be_another(void **state)
{
	struct wallet_wanted wanted = want(WALLET_WANT_SOL, "0.01");
	struct solana_instruction ix = send_sol(world.destination, 10000000);
	struct raw raw = world_compose(&world, SOLANA_LEGACY, world.owner, &ix, 1), mutant;
	struct solana_tx tx, changed;
	struct error err;

	(void)state;
	assert_int_equal(solana_tx_parse(raw.data, raw.len, &tx, &err), 0);
	for (size_t at = 0; at < raw.len; at++) {
		if (is_free(&tx, raw.data + at, raw.data))
			continue;
		for (unsigned value = 0; value < 256; value++) {
			mutant = raw;
			mutant.data[at] = (uint8_t)value;
			if (value != raw.data[at] &&
			    solana_tx_parse(mutant.data, mutant.len, &changed, &err) == 0 &&
			    wallet_wanted_check(&wanted, &changed, &err) == 0)
				fail_msg("byte %zu may be %u", at, value);
		}
	}
}

static void all_is_what_the_service_knows_but_not_to_whom(void **state)
{
	struct wallet_wanted wanted = want(WALLET_WANT_SOL, NULL);
	struct solana_instruction list[1] = {send_sol(world.destination, 123456789)};

	(void)state;
	TAKEN(&wanted, list, 1);
	list[0] = send_sol(world.mallory, 123456789);
	REFUSED(&wanted, list, 1);
}

static void another_agents_wallet_pays_for_nothing(void **state)
{
	struct wallet_wanted wanted = want(WALLET_WANT_SOL, "0.01");
	struct solana_instruction list[1] = {send_sol(world.destination, 10000000)};

	(void)state;
	memcpy(wanted.asset, world.standalone, PUBKEY_LEN);
	REFUSED(&wanted, list, 1);
}

static void somebody_else_pays_no_fee_and_signs_nothing(void **state)
{
	struct wallet_wanted wanted = want(WALLET_WANT_SOL, "0.01");
	struct solana_instruction list[2] = {send_sol(world.destination, 10000000)};

	(void)state;
	memcpy(wanted.owner, world.service, PUBKEY_LEN);
	REFUSED(&wanted, list, 1);
	wanted = want(WALLET_WANT_SOL, "0.01");
	solana_instruction_account(&list[0], world.service, SOLANA_SIGN);
	REFUSED(&wanted, list, 1);
	list[0] = send_sol(world.destination, 10000000);
	list[0].accounts[1].flags = SOLANA_READ; /* the collection, less than its program needs */
	REFUSED(&wanted, list, 1);
}

static void a_fee_within_the_maximum_may_be_added(void **state)
{
	struct wallet_wanted wanted = want(WALLET_WANT_SOL, "0.01");
	struct solana_instruction list[3] = {[2] = send_sol(world.destination, 10000000)};

	(void)state;
	solana_ix_budget_limit(100000, &list[0]);
	solana_ix_budget_price(1000000, &list[1]); /* 100,000 lamports */
	TAKEN(&wanted, list, 3);
	wanted.max_priority_lamports = 99999;
	REFUSED(&wanted, list, 3);
}

static void token_account(const uint8_t *wallet, const uint8_t *program, uint8_t *account)
{
	assert_int_equal(solana_pda_associated_token(wallet, program, world.mint, account), 0);
}

struct token_sending {
	const uint8_t *program, *mint, *to;
	uint64_t amount;
	uint8_t decimals;
};

static struct solana_instruction send_token(const struct token_sending *sending)
{
	uint8_t source[PUBKEY_LEN], destination[PUBKEY_LEN];
	struct solana_instruction inner, ix;

	token_account(world.pda, sending->program, source);
	token_account(sending->to, sending->program, destination);
	const struct solana_token_transfer transfer = {sending->program, sending->mint, source,
	    destination, world.pda, sending->amount, sending->decimals};
	solana_ix_token_transfer(&transfer, &inner);
	world_execute(&world, &inner, &ix);
	return ix;
}

static void tokens_go_to_whom_and_as_many_as_were_typed(void **state)
{
	struct wallet_wanted wanted = want(WALLET_WANT_TOKEN, "1.25");
	const uint8_t *token = solana_program_key(SOLANA_PROGRAM_TOKEN),
		      *token_2022 = solana_program_key(SOLANA_PROGRAM_TOKEN_2022);
	struct solana_instruction list[2], inner;

	(void)state;
	list[0] =
	    send_token(&(struct token_sending){token, world.mint, world.destination, UNITS, 6});
	TAKEN(&wanted, list, 1);
	list[0] = send_token(
	    &(struct token_sending){token_2022, world.mint, world.destination, UNITS, 6});
	TAKEN(&wanted, list, 1);
	/* other decimals would make it another amount: the token's program refuses wrong ones */
	list[0] =
	    send_token(&(struct token_sending){token, world.mint, world.destination, UNITS, 5});
	REFUSED(&wanted, list, 1);
	list[0] = send_token(
	    &(struct token_sending){token, world.mint, world.destination, UNITS * 10, 6});
	REFUSED(&wanted, list, 1);
	list[0] = send_token(&(struct token_sending){token, world.mint, world.mallory, UNITS, 6});
	REFUSED(&wanted, list, 1);
	list[0] = send_token(
	    &(struct token_sending){token, world.standalone, world.destination, UNITS, 6});
	REFUSED(&wanted, list, 1);
	/* more digits than the token has */
	wanted.amount = "1.2500001";
	list[0] =
	    send_token(&(struct token_sending){token, world.mint, world.destination, UNITS, 6});
	REFUSED(&wanted, list, 1);
	wanted.amount = "1.25";
	/* the recipient's account first, whoever of ours pays it */
	list[1] = list[0];
	solana_ix_token_create_account(token, world.owner, world.destination, world.mint, &list[0]);
	TAKEN(&wanted, list, 2);
	solana_ix_token_create_account(token, world.pda, world.destination, world.mint, &inner);
	world_execute(&world, &inner, &list[0]);
	TAKEN(&wanted, list, 2);
	solana_ix_token_create_account(token, world.owner, world.mallory, world.mint, &list[0]);
	REFUSED(&wanted, list, 2);
	/* and nothing else */
	solana_ix_token_create_account(token, world.owner, world.destination, world.mint, &list[0]);
	REFUSED(&wanted, list, 1);
}

static void an_nft_goes_to_whom_was_typed(void **state)
{
	struct wallet_wanted wanted = want(WALLET_WANT_NFT, NULL);
	struct solana_core_transfer transfer = {
	    world.mint, world.collection, world.owner, world.pda, world.destination};
	struct solana_instruction inner, list[1];

	(void)state;
	solana_ix_core_transfer(&transfer, &inner);
	world_execute(&world, &inner, &list[0]);
	TAKEN(&wanted, list, 1);
	transfer.collection = NULL;
	solana_ix_core_transfer(&transfer, &inner);
	world_execute(&world, &inner, &list[0]);
	TAKEN(&wanted, list, 1);
	transfer.new_owner = world.mallory;
	solana_ix_core_transfer(&transfer, &inner);
	world_execute(&world, &inner, &list[0]);
	REFUSED(&wanted, list, 1);
	/* the agent itself, which the owner holds */
	transfer = (struct solana_core_transfer){
	    world.asset, world.collection, world.owner, NULL, world.destination};
	solana_ix_core_transfer(&transfer, &list[0]);
	REFUSED(&wanted, list, 1);
	/* a token of that name is another thing */
	list[0] = send_token(&(struct token_sending){
	    solana_program_key(SOLANA_PROGRAM_TOKEN), world.mint, world.destination, 1, 0});
	REFUSED(&wanted, list, 1);
}

static struct solana_instruction close_of(const uint8_t *account, const uint8_t *to)
{
	struct solana_instruction inner, ix;

	solana_ix_token_close(
	    solana_program_key(SOLANA_PROGRAM_TOKEN), account, to, world.pda, &inner);
	world_execute(&world, &inner, &ix);
	return ix;
}

static void accounts_are_closed_for_owner_or_agent_and_each_once(void **state)
{
	struct wallet_wanted wanted = want(WALLET_WANT_CLOSE, NULL);
	uint8_t keys[2][PUBKEY_LEN];
	struct solana_instruction list[3];

	(void)state;
	memset(keys[0], 21, PUBKEY_LEN);
	memset(keys[1], 22, PUBKEY_LEN);
	wanted.keys = (const uint8_t(*)[PUBKEY_LEN])keys;
	wanted.n_keys = 2;
	list[0] = close_of(keys[1], world.pda);
	list[1] = close_of(keys[0], world.owner);
	TAKEN(&wanted, list, 2);
	REFUSED(&wanted, list, 1);
	list[1] = list[0];
	REFUSED(&wanted, list, 2);
	list[1] = close_of(world.mallory, world.pda);
	REFUSED(&wanted, list, 2);
	list[1] = close_of(keys[0], world.mallory);
	REFUSED(&wanted, list, 2);
	list[1] = close_of(keys[0], world.pda);
	list[2] = send_sol(world.mallory, 1);
	REFUSED(&wanted, list, 3);
	list[2] = send_token(&(struct token_sending){
	    solana_program_key(SOLANA_PROGRAM_TOKEN), world.mint, world.mallory, 1, 0});
	REFUSED(&wanted, list, 3);
}

static void a_delegate_is_revoked_and_nothing_else(void **state)
{
	struct wallet_wanted wanted = want(WALLET_WANT_REVOKE_RECORD, NULL);
	struct solana_instruction list[2], inner;
	const uint8_t *token = solana_program_key(SOLANA_PROGRAM_TOKEN);

	(void)state;
	memcpy(wanted.what, record, PUBKEY_LEN);
	solana_ix_agent_revoke(record, world.asset, world.owner, world.owner, &list[0]);
	TAKEN(&wanted, list, 1);
	solana_ix_agent_revoke(record, world.asset, world.pda, world.owner, &list[0]);
	TAKEN(&wanted, list, 1);
	solana_ix_agent_revoke(record, world.asset, world.mallory, world.owner, &list[0]);
	REFUSED(&wanted, list, 1);
	solana_ix_agent_revoke(world.mint, world.asset, world.owner, world.owner, &list[0]);
	REFUSED(&wanted, list, 1);
	solana_ix_agent_revoke(record, world.standalone, world.owner, world.owner, &list[0]);
	REFUSED(&wanted, list, 1);
	list[0] = send_sol(world.destination, 1);
	REFUSED(&wanted, list, 1);

	wanted = want(WALLET_WANT_REVOKE_TOKEN, NULL);
	memcpy(wanted.what, record, PUBKEY_LEN);
	solana_ix_token_revoke(token, record, world.pda, &inner);
	world_execute(&world, &inner, &list[0]);
	TAKEN(&wanted, list, 1);
	solana_ix_token_revoke(token, world.mint, world.pda, &inner);
	world_execute(&world, &inner, &list[0]);
	REFUSED(&wanted, list, 1);
	list[0] = close_of(record, world.mallory);
	REFUSED(&wanted, list, 1);
}

static void raw_instructions_are_those_that_were_typed(void **state)
{
	struct wallet_wanted wanted = want(WALLET_WANT_INSTRUCTIONS, NULL);
	struct solana_instruction raw, list[2];

	(void)state;
	solana_instruction_init(&raw, world.mallory);
	solana_instruction_account(&raw, world.pda, SOLANA_SIGN_WRITE);
	solana_instruction_account(&raw, world.mint, SOLANA_WRITE);
	solana_instruction_bytes(&raw, "\1\2\3", 3);
	wanted.instructions = &raw;
	wanted.n_instructions = 1;
	world_execute(&world, &raw, &list[0]);
	TAKEN(&wanted, list, 1);
	list[1] = send_sol(world.destination, 1);
	REFUSED(&wanted, list, 2);
	list[0].data[list[0].data_len - 1] ^= 1;
	REFUSED(&wanted, list, 1);
	list[0] = raw;
	REFUSED(&wanted, list, 0 + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sol_goes_to_whom_and_as_much_as_was_typed),
	    cmocka_unit_test(no_other_byte_can_be_another),
	    cmocka_unit_test(all_is_what_the_service_knows_but_not_to_whom),
	    cmocka_unit_test(another_agents_wallet_pays_for_nothing),
	    cmocka_unit_test(somebody_else_pays_no_fee_and_signs_nothing),
	    cmocka_unit_test(a_fee_within_the_maximum_may_be_added),
	    cmocka_unit_test(tokens_go_to_whom_and_as_many_as_were_typed),
	    cmocka_unit_test(an_nft_goes_to_whom_was_typed),
	    cmocka_unit_test(accounts_are_closed_for_owner_or_agent_and_each_once),
	    cmocka_unit_test(a_delegate_is_revoked_and_nothing_else),
	    cmocka_unit_test(raw_instructions_are_those_that_were_typed),
	};
	return cmocka_run_group_tests(tests, init, NULL);
}
