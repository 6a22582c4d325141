/* What people are told of a transaction, from its bytes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "common/solana_fee.h"
#include "common/solana_ix_agent.h"
#include "common/wallet_summary.h"
#include "tests/unit/common/solana_world.h"

#define WALLET "the agent's wallet E7v3Sj3gKJoapCRcmGX9GgrR1QHrTChrkUnLVXyfPGFf"
#define PDA "E7v3Sj3gKJoapCRcmGX9GgrR1QHrTChrkUnLVXyfPGFf"
#define OWNER "9hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu"
#define DESTINATION "AKkzLhjhyFtM9j7WAhbaqYpFe49cXeJBg2kzLRC2PnNa"
#define MALLORY "GmaDrppBC7P5ARKV8g3djiwP89vz1jLK23V2GBjuAEGB"
#define ASSET "8SFqwqnq4whPhs8icwHA2hQg3hUoN1qrCLK1SBx3WKwe"
#define COLLECTION "EdmxWPmx2WH6WgFfTdu9xfkYf3k1g5wD1zccTVySEEh1"
#define BY_ASSET " [signed by the wallet of asset " ASSET "]"
#define FEE "Network fee: 0.000005 SOL, from the fee payer " OWNER ": 0.000005 for 1 signatures"
#define NOBODY " (a program's address: nobody has its key)"

static struct world world;
static struct wallet_summary summary;
static char mint[PUBKEY_TEXT_MAX + 1];

static int init(void **state)
{
	(void)state;
	if (sodium_init() < 0)
		return -1;
	world_open(&world);
	pubkey_text(world.mint, mint);
	return 0;
}

static void summarise(const struct solana_instruction *instructions, size_t n, bool hinted)
{
	struct raw raw = world_compose(&world, SOLANA_V0, world.owner, instructions, n);
	const struct wallet_hints hints = {.asset = world.asset};
	struct solana_tx tx;

	assert_int_equal(solana_tx_parse(raw.data, raw.len, &tx, NULL), 0);
	wallet_summary_read(&tx, hinted ? &hints : NULL, &summary);
}

static void says(size_t line, bool warning, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void says(size_t line, bool warning, const char *fmt, ...)
{
	char want[WALLET_LINE_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(want, sizeof(want), fmt, args);
	va_end(args);
	assert_true(line < summary.n_lines);
	assert_string_equal(summary.lines[line].text, want);
	assert_int_equal(summary.lines[line].warning, warning);
}

static void tells_of_sol_sent_by_the_agents_wallet(void **state)
{
	struct solana_instruction inner, ix[3];

	(void)state;
	solana_ix_system_transfer(world.pda, world.destination, WORLD_LAMPORTS, &inner);
	world_execute(&world, &inner, &ix[0]);
	summarise(ix, 1, true);
	says(0, false, "Send 0.01 SOL from " WALLET " to " DESTINATION BY_ASSET);
	says(1, false,
	    "Metaplex Core's execute fee: about 0.00004872 SOL (1 times, by the rent), from their "
	    "payer");
	says(2, false, FEE);
	assert_int_equal(summary.n_lines, 3);
	assert_false(summary.warning);

	solana_ix_budget_limit(60000, &ix[1]);
	solana_ix_budget_price(1000, &ix[2]);
	summarise(ix, 3, false);
	says(0, false, "Send 0.01 SOL from " PDA " to " DESTINATION BY_ASSET);
	says(2, false,
	    "Network fee: 0.00000506 SOL, from the fee payer " OWNER
	    ": 0.000005 for 1 signatures, 0.00000006 priority fee (60000 compute units)");
}

static void warns_of_a_recipient_off_the_curve(void **state)
{
	struct solana_instruction inner, ix;
	char text[PUBKEY_TEXT_MAX + 1];
	uint8_t pda[PUBKEY_LEN];

	(void)state;
	assert_int_equal(pubkey_asset_signer(world.standalone, pda, NULL), 0);
	solana_ix_system_transfer(world.pda, pda, 1, &inner);
	world_execute(&world, &inner, &ix);
	summarise(&ix, 1, true);
	says(0, true, "Send 0.000000001 SOL from " WALLET " to %s" NOBODY BY_ASSET,
	    pubkey_text(pda, text));
	assert_true(summary.warning);

	/* funding the agent is not odd */
	solana_ix_system_transfer(world.owner, world.pda, 1, &ix);
	summarise(&ix, 1, true);
	says(0, false, "Send 0.000000001 SOL from the fee payer " OWNER " to " WALLET);
}

static void send_token(const uint8_t *program, const uint8_t *to, struct solana_instruction *ix)
{
	uint8_t source[PUBKEY_LEN], destination[PUBKEY_LEN];
	struct solana_instruction inner;

	solana_pda_associated_token(world.pda, program, world.mint, source);
	solana_pda_associated_token(to, program, world.mint, destination);
	const struct solana_token_transfer transfer = {
	    program, world.mint, source, destination, world.pda, 1500000, 6};
	solana_ix_token_transfer(&transfer, &inner);
	world_execute(&world, &inner, ix);
}

static void tells_whose_token_account_gets_a_token(void **state)
{
	const uint8_t *program = solana_program_key(SOLANA_PROGRAM_TOKEN_2022);
	char from[PUBKEY_TEXT_MAX + 1], to[PUBKEY_TEXT_MAX + 1];
	uint8_t account[PUBKEY_LEN];
	struct solana_instruction inner, ix[2];

	(void)state;
	solana_pda_associated_token(world.pda, program, world.mint, account);
	pubkey_text(account, from);
	solana_pda_associated_token(world.destination, program, world.mint, account);
	pubkey_text(account, to);
	assert_int_equal(solana_ix_token_create_account(
			     program, world.pda, world.destination, world.mint, &inner),
	    0);
	world_execute(&world, &inner, &ix[0]);
	send_token(program, world.destination, &ix[1]);
	summarise(ix, 2, true);
	says(0, false,
	    "Create token account %s of " DESTINATION " for token %s, if it is missing; " WALLET
	    " pays its rent, at least 0.00207408 SOL" BY_ASSET,
	    to, mint);
	says(1, false,
	    "Send 1.5 of token %s (6 decimals, Token-2022) of " WALLET
	    " from token account %s to " DESTINATION
	    ", token account %s, less what its mint withholds" BY_ASSET,
	    mint, from, to);

	assert_int_equal(solana_ix_token_create_account(solana_program_key(SOLANA_PROGRAM_TOKEN),
			     world.pda, world.destination, world.mint, &inner),
	    0);
	world_execute(&world, &inner, &ix[0]);
	summarise(ix, 1, true);
	assert_non_null(
	    strstr(summary.lines[0].text, WALLET " pays its rent, about 0.00203928 SOL" BY_ASSET));

	/* alone it does not say whose account that is */
	summarise(&ix[1], 1, true);
	says(0, true,
	    "Send 1.5 of token %s (6 decimals, Token-2022) of " WALLET
	    " from token account %s to token account %s, whose owner the transaction does not "
	    "name, less what its mint withholds" BY_ASSET,
	    mint, from, to);
}

static void believes_a_hint_only_if_the_bytes_confirm_it(void **state)
{
	const uint8_t *program = solana_program_key(SOLANA_PROGRAM_TOKEN),
		      *right[] = {world.mallory, world.destination}, *wrong[] = {world.mallory};
	struct wallet_hints hints = {world.asset, right, 2};
	struct solana_instruction ix;
	struct solana_tx tx;

	(void)state;
	send_token(program, world.destination, &ix);
	struct raw raw = world_compose(&world, SOLANA_LEGACY, world.owner, &ix, 1);
	assert_int_equal(solana_tx_parse(raw.data, raw.len, &tx, NULL), 0);
	wallet_summary_read(&tx, &hints, &summary);
	assert_non_null(strstr(summary.lines[0].text, " to " DESTINATION ", token account "));
	assert_false(summary.warning);
	hints = (struct wallet_hints){world.asset, wrong, 1};
	wallet_summary_read(&tx, &hints, &summary);
	assert_null(strstr(summary.lines[0].text, MALLORY));
	assert_true(summary.warning);
}

/* An account said to be created for an innocent wallet, at an address that is not that wallet's. */
static void is_not_fooled_by_an_account_created_for_somebody_else(void **state)
{
	const uint8_t *program = solana_program_key(SOLANA_PROGRAM_TOKEN);
	struct solana_instruction ix[2];

	(void)state;
	solana_ix_token_create_account(program, world.owner, world.mallory, world.mint, &ix[0]);
	memcpy(ix[0].accounts[2].key, world.destination, PUBKEY_LEN);
	send_token(program, world.mallory, &ix[1]);
	summarise(ix, 2, true);
	assert_non_null(strstr(summary.lines[0].text, "Unknown instruction of program AToken"));
	assert_true(summary.lines[0].warning);
	assert_null(strstr(summary.lines[1].text, DESTINATION));
	assert_true(summary.lines[1].warning);
}

static void tells_of_nfts_accounts_and_delegates(void **state)
{
	const struct solana_core_transfer nft = {
	    world.standalone, world.collection, world.owner, world.pda, world.destination};
	const struct solana_core_transfer itself = {
	    world.asset, NULL, world.owner, NULL, world.mallory};
	const uint8_t *token = solana_program_key(SOLANA_PROGRAM_TOKEN);
	struct solana_instruction inner, ix[4];
	char standalone[PUBKEY_TEXT_MAX + 1];

	(void)state;
	solana_ix_core_transfer(&nft, &inner);
	world_execute(&world, &inner, &ix[0]);
	solana_ix_core_transfer(&itself, &ix[1]);
	solana_ix_token_close(token, world.mint, world.pda, world.pda, &inner);
	world_execute(&world, &inner, &ix[2]);
	solana_ix_agent_revoke(world.mint, world.asset, world.owner, world.owner, &ix[3]);
	summarise(ix, 4, true);
	says(0, false, "Hand over NFT %s of collection " COLLECTION " to " DESTINATION BY_ASSET,
	    pubkey_text(world.standalone, standalone));
	says(1, true, "Hand over NFT " ASSET " to " MALLORY ": the agent itself, with its wallet");
	says(2, false,
	    "Close token account %s of " WALLET "; the SOL in it goes to " WALLET BY_ASSET, mint);
	says(3, false,
	    "Revoke execution delegate record %s of asset " ASSET
	    "; the SOL in it goes to the fee payer " OWNER,
	    mint);
}

static void one(const uint8_t *program, const uint8_t *accounts[], size_t n, const char *data,
    size_t len, const char *want)
{
	struct solana_instruction inner, ix;

	solana_instruction_init(&inner, program);
	for (size_t i = 0; i < n; i++)
		solana_instruction_account(&inner, accounts[i], SOLANA_WRITE);
	solana_instruction_bytes(&inner, data, len);
	world_execute(&world, &inner, &ix);
	summarise(&ix, 1, true);
	assert_true(summary.lines[0].warning);
	if (strncmp(summary.lines[0].text, want, strlen(want)) != 0)
		fail_msg("\"%s\" does not begin with \"%s\"", summary.lines[0].text, want);
}

static void warns_of_what_hands_over_control(void **state)
{
	const uint8_t *system = solana_program_key(SOLANA_PROGRAM_SYSTEM),
		      *token = solana_program_key(SOLANA_PROGRAM_TOKEN),
		      *core = solana_program_key(SOLANA_PROGRAM_CORE),
		      *tools = solana_program_key(SOLANA_PROGRAM_AGENT_TOOLS);
	const uint8_t *keys[] = {world.pda, world.mallory, world.mint, world.owner,
	    world.destination, world.collection, world.service};
	uint8_t data[64] = {0};

	(void)state;
	data[0] = 1;
	memcpy(data + 4, world.mallory, PUBKEY_LEN);
	one(system, keys, 1, (const char *)data, 36,
	    "Give " WALLET " to program " MALLORY ", which then decides over all it holds");
	one(system, keys, 1, "\x08\0\0\0\x50\0\0\0\0\0\0", 12, "Give " WALLET " 80 bytes of data");
	memset(data, 0, sizeof(data));
	one(system, keys, 2, (const char *)data, 52, "Create account " MALLORY " of program ");
	one(token, keys, 3, "\x03\xff\xff\xff\xff\xff\xff\xff\xff", 9,
	    "Send 18446744073709551615 smallest units of a token that is not named, of ");
	one(token, keys, 3, "\x04\1\0\0\0\0\0\0\0", 9, "Approve spending 1 smallest units");
	one(token, keys, 4, "\x0d\1\0\0\0\0\0\0\0\2", 10,
	    "Approve spending 0.01 of token " MALLORY);
	one(token, keys, 3, "\x08\1\0\0\0\0\0\0\0", 9, "Destroy 1 smallest units");
	one(token, keys, 3, "\x0f\1\0\0\0\0\0\0\0\0", 10, "Destroy 1 of token " MALLORY);
	one(token, keys, 2, "\x06\x02\0", 3,
	    "Change who controls " WALLET " (authority 2) to nobody");
	data[0] = 6;
	data[1] = 3;
	data[2] = 1;
	memcpy(data + 3, world.mallory, PUBKEY_LEN);
	one(token, keys, 2, (const char *)data, 35,
	    "Change who controls " WALLET " (authority 3) to " MALLORY);
	one(core, keys, 6, "\x0c\0", 2, "Destroy NFT " PDA " of collection " MALLORY);
	one(tools, keys, 7, "\x01\0\0\0\0\0\0\0", 8, "Let executive profile " PDA);
}

static void calls_unknown_what_it_does_not_know_to_the_last_byte(void **state)
{
	const uint8_t *system = solana_program_key(SOLANA_PROGRAM_SYSTEM),
		      *token = solana_program_key(SOLANA_PROGRAM_TOKEN),
		      *core = solana_program_key(SOLANA_PROGRAM_CORE);
	const uint8_t *keys[] = {world.pda, world.destination, world.mint, world.owner,
	    world.collection, world.asset, world.service, world.standalone};

	(void)state;
	/* its own transfer with a byte more, a byte less, an account more, an account less */
	one(system, keys, 2, "\2\0\0\0\1\0\0\0\0\0\0\0\0", 13,
	    "Unknown instruction of program 11111111111111111111111111111111 (System Program) with "
	    "2 "
	    "accounts (2 may be written, 0 sign), 13 bytes: it may do anything with them [");
	one(system, keys, 2, "\2\0\0\0\1\0\0\0\0\0\0", 11, "Unknown instruction");
	one(system, keys, 3, "\2\0\0\0\1\0\0\0\0\0\0\0", 12, "Unknown instruction");
	one(system, keys, 1, "\2\0\0\0\1\0\0\0\0\0\0\0", 12, "Unknown instruction");
	one(system, keys, 0, "", 0, "Unknown instruction");
	one(token, keys, 5, "\x0c\1\0\0\0\0\0\0\0\2", 10, "Unknown instruction");
	one(token, keys, 2, "\x06\x02\x01", 3, "Unknown instruction");
	one(token, keys, 0, "", 0, "Unknown instruction");
	one(core, keys, 7, "\x0e\1", 2, "Unknown instruction");       /* with a compression proof */
	one(core, keys, 8, "\x1f\0\0\0\0", 5, "Unknown instruction"); /* Execute in Execute */
	one(world.mallory, keys, 4, "abc", 3, "Unknown instruction of program " MALLORY " with 4 ");
}

static void says_so_if_it_is_another_agents_wallet(void **state)
{
	struct solana_instruction inner, ix;
	uint8_t pda[PUBKEY_LEN];
	const struct solana_core_execute execute = {
	    .asset = world.standalone, .payer = world.owner};

	(void)state;
	assert_int_equal(pubkey_asset_signer(world.standalone, pda, NULL), 0);
	solana_ix_system_transfer(pda, world.destination, 1, &inner);
	assert_int_equal(solana_ix_core_execute(&execute, &inner, &ix, NULL), 0);
	summarise(&ix, 1, true);
	assert_true(summary.lines[0].warning);
	assert_int_equal(strncmp(summary.lines[0].text, "From another agent's wallet ", 28), 0);
	summarise(&ix, 1, false);
	assert_false(summary.lines[0].warning);
	/* a signer that is not the asset's PDA is no ExecuteV1 that we know */
	memcpy(ix.accounts[SOLANA_EXECUTE_SIGNER].key, world.pda, PUBKEY_LEN);
	summarise(&ix, 1, true);
	assert_int_equal(strncmp(summary.lines[0].text, "Unknown instruction", 19), 0);
}

static void warns_of_money_that_is_not_the_agents(void **state)
{
	const uint8_t *program = solana_program_key(SOLANA_PROGRAM_TOKEN);
	struct solana_token_transfer transfer = {
	    program, world.mint, world.service, world.destination, world.owner, 1500000, 6};
	uint8_t account[PUBKEY_LEN];
	struct solana_instruction ix;

	(void)state;
	solana_ix_system_transfer(world.owner, world.destination, 1, &ix);
	summarise(&ix, 1, true);
	says(0, true,
	    "Send 0.000000001 SOL from the fee payer " OWNER
	    " (not the agent's money) to " DESTINATION);
	summarise(&ix, 1, false);
	assert_false(summary.warning);
	solana_ix_token_transfer(&transfer, &ix);
	summarise(&ix, 1, true);
	assert_non_null(
	    strstr(summary.lines[0].text, OWNER " (not the agent's money) from token "));
	/* a gift to the agent is nothing to warn of */
	solana_pda_associated_token(world.pda, program, world.mint, account);
	transfer.destination = account;
	solana_ix_token_transfer(&transfer, &ix);
	summarise(&ix, 1, true);
	assert_false(summary.warning);
}

static void sees_that_a_delegate_acts(void **state)
{
	struct solana_instruction inner, ix;
	uint8_t profile[PUBKEY_LEN], record[PUBKEY_LEN];
	struct solana_core_execute execute = {
	    .asset = world.asset, .collection = world.collection, .payer = world.owner};

	(void)state;
	assert_int_equal(solana_pda_executive_profile(world.owner, profile), 0);
	assert_int_equal(solana_pda_execution_delegate_record(profile, world.asset, record), 0);
	execute.record = record;
	solana_ix_system_transfer(world.pda, world.destination, WORLD_LAMPORTS, &inner);
	assert_int_equal(solana_ix_core_execute(&execute, &inner, &ix, NULL), 0);
	summarise(&ix, 1, true);
	says(0, true,
	    "By an execution delegate, not by the owner: Send 0.01 SOL from " WALLET
	    " to " DESTINATION BY_ASSET);
}

/* The bytes do not show that it is one, nor that the program takes it off: with one account too many nothing is known. */
static void calls_unknown_what_has_anothers_record_before_it(void **state)
{
	struct solana_instruction inner, ix;
	const struct solana_core_execute execute = {.asset = world.asset,
	    .collection = world.collection,
	    .payer = world.owner,
	    .record = world.mallory};

	(void)state;
	solana_ix_system_transfer(world.pda, world.destination, WORLD_LAMPORTS, &inner);
	assert_int_equal(solana_ix_core_execute(&execute, &inner, &ix, NULL), 0);
	summarise(&ix, 1, true);
	assert_non_null(strstr(summary.lines[0].text, "Unknown instruction of program 1111"));
	assert_true(summary.lines[0].warning);
}

static void names_every_further_signer(void **state)
{
	struct solana_instruction ix;

	(void)state;
	solana_ix_system_transfer(world.mallory, world.destination, 1, &ix);
	summarise(&ix, 1, true);
	says(2, false, "Also needs the signature of " MALLORY);
	assert_int_equal(summary.n_lines, 3);
}

static void a_transaction_full_of_instructions_has_a_line_for_each(void **state)
{
	static struct solana_instruction ix[SOLANA_INSTRUCTIONS_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ix); i++)
		solana_instruction_init(&ix[i], world.mallory);
	summarise(ix, ARRAY_LEN(ix), true);
	assert_int_equal(summary.n_lines, SOLANA_INSTRUCTIONS_MAX + 1);
}

static void fee_of(const struct solana_instruction *ix, size_t n, uint64_t priority)
{
	struct raw raw = world_compose(&world, SOLANA_V0, world.owner, ix, n);
	struct solana_fee fee;
	struct solana_tx tx;
	struct error err;

	assert_int_equal(solana_tx_parse(raw.data, raw.len, &tx, &err), 0);
	assert_int_equal(solana_fee_read(&tx, &fee, &err), 0);
	assert_int_equal(fee.priority_lamports, priority);
}

static void computes_the_priority_fee_as_a_node_does(void **state)
{
	struct solana_instruction ix[3];

	(void)state;
	solana_ix_system_transfer(world.owner, world.destination, 1, &ix[0]);
	solana_ix_budget_price(1, &ix[1]);
	fee_of(ix, 1, 0);
	fee_of(ix, 2, 1); /* 0.2 of a lamport, rounded up */
	solana_ix_budget_price(1000000, &ix[1]);
	fee_of(ix, 2, 200000);
	solana_ix_budget_limit(300, &ix[2]);
	fee_of(ix, 3, 300);
	solana_ix_budget_limit(UINT32_MAX, &ix[2]);
	fee_of(ix, 3, 1400000);
	solana_ix_budget_price(UINT64_MAX, &ix[1]);
	fee_of(ix, 3, UINT64_MAX); /* does not fit */
	summarise(ix, 3, true);
	assert_non_null(strstr(summary.lines[1].text, "18446744073.709551615"));
}

static void does_not_guess_a_fee_that_no_node_would_take(void **state)
{
	struct solana_instruction ix[2];

	(void)state;
	solana_ix_budget_price(1, &ix[0]);
	solana_ix_budget_price(1, &ix[1]);
	summarise(ix, 2, true);
	assert_int_equal(summary.n_lines, 3);
	assert_non_null(
	    strstr(summary.lines[0].text, "Unknown instruction of program ComputeBudget"));
	assert_non_null(strstr(summary.lines[2].text, "Network fee: unknown"));
	assert_true(summary.lines[2].warning);
	solana_instruction_number(&ix[0], 0, 1); /* a byte too long */
	summarise(ix, 1, true);
	assert_non_null(strstr(summary.lines[1].text, "Network fee: unknown"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(tells_of_sol_sent_by_the_agents_wallet),
	    cmocka_unit_test(warns_of_a_recipient_off_the_curve),
	    cmocka_unit_test(tells_whose_token_account_gets_a_token),
	    cmocka_unit_test(believes_a_hint_only_if_the_bytes_confirm_it),
	    cmocka_unit_test(is_not_fooled_by_an_account_created_for_somebody_else),
	    cmocka_unit_test(tells_of_nfts_accounts_and_delegates),
	    cmocka_unit_test(warns_of_what_hands_over_control),
	    cmocka_unit_test(calls_unknown_what_it_does_not_know_to_the_last_byte),
	    cmocka_unit_test(says_so_if_it_is_another_agents_wallet),
	    cmocka_unit_test(warns_of_money_that_is_not_the_agents),
	    cmocka_unit_test(sees_that_a_delegate_acts),
	    cmocka_unit_test(calls_unknown_what_has_anothers_record_before_it),
	    cmocka_unit_test(names_every_further_signer),
	    cmocka_unit_test(a_transaction_full_of_instructions_has_a_line_for_each),
	    cmocka_unit_test(computes_the_priority_fee_as_a_node_does),
	    cmocka_unit_test(does_not_guess_a_fee_that_no_node_would_take),
	};

	return cmocka_run_group_tests(tests, init, NULL);
}
