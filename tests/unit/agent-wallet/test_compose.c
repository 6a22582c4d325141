/* What the chain says that a node of the development chain never would: extensions of mints, accounts that were given away, rents that make no sense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/pubkey.h"
#include "common/solana_program.h"
#include "services/agent-wallet/compose.h"

#define BOB "GyGKxMyg1p9SsHfm15MkNUu1u9TN2JtTspcdmrtGUdse"
#define MINT "EdmxWPmx2WH6WgFfTdu9xfkYf3k1g5wD1zccTVySEEh1"

struct world {
	uint8_t asset[PUBKEY_LEN], payer[PUBKEY_LEN], wallet[PUBKEY_LEN], collection[PUBKEY_LEN];
	struct wallet_build_req req;
	struct order order;
	struct accounts_item accounts[ORDER_ACCOUNTS_MAX];
	struct compose_facts facts;
	struct composed composed;
	struct error err;
};

static void own(struct accounts_item *account, enum solana_program program, size_t len)
{
	account->exists = true;
	account->lamports = 1000000000;
	account->space = account->data.len = len;
	pubkey_text(solana_program_key(program), account->owner);
}

/* A wallet with 100 of a Token-2022 mint that go to bob, who has no account for it yet. */
static int begin(void **state)
{
	if (sodium_init() < 0)
		return -1;
	struct world *w = calloc(1, sizeof(*w));
	assert_non_null(w);
	*state = w;
	memset(w->asset, 1, PUBKEY_LEN);
	memset(w->payer, 2, PUBKEY_LEN);
	assert_int_equal(pubkey_asset_signer(w->asset, w->wallet, NULL), 0);
	memset(w->collection, 4, PUBKEY_LEN);
	snprintf(w->req.operation, sizeof(w->req.operation), "transfer_token");
	snprintf(w->req.to, sizeof(w->req.to), BOB);
	snprintf(w->req.mint, sizeof(w->req.mint), MINT);
	w->req.amount = 100;
	const struct order_owner owner = {w->asset, w->payer, w->wallet, w->collection};
	if (order_read(&w->req, &owner, &w->order, &w->err) != 0)
		return -1;
	own(&w->accounts[ORDER_AT_PAYER], SOLANA_PROGRAM_SYSTEM, 0);
	struct accounts_item *mint = &w->accounts[ORDER_AT_MINT];
	own(mint, SOLANA_PROGRAM_TOKEN_2022, 82);
	mint->data.data[44] = 6;
	mint->data.data[45] = 1;
	struct accounts_item *source = &w->accounts[ORDER_AT_SOURCE + 1];
	own(source, SOLANA_PROGRAM_TOKEN_2022, 165);
	memcpy(source->data.data, w->order.keys[ORDER_AT_MINT], PUBKEY_LEN);
	memcpy(source->data.data + 32, w->wallet, PUBKEY_LEN);
	source->data.data[64] = 100;
	source->data.data[108] = 1;
	w->facts = (struct compose_facts){.accounts = w->accounts,
	    .rent_zero = 890880,
	    .rent_seven = 939600,
	    .rent_created = 2074080};
	*state = w;
	return 0;
}

static int end(void **state)
{
	free(*state);
	return 0;
}

static void composes(struct world *w)
{
	if (compose(&w->order, &w->facts, &w->composed, &w->err) != 0)
		fail_msg("%s", w->err.text);
}

static void refuses(struct world *w, enum error_code code, const char *reason)
{
	assert_int_equal(compose(&w->order, &w->facts, &w->composed, &w->err), -1);
	assert_int_equal(w->err.code, code);
	assert_string_equal(w->err.reason, reason);
}

static void extend(struct world *w, unsigned type, size_t len, uint8_t fill)
{
	struct accounts_item *mint = &w->accounts[ORDER_AT_MINT];
	uint8_t *at = mint->data.data + 166;
	mint->data.data[165] = 1;
	at[0] = (uint8_t)type;
	at[2] = (uint8_t)len;
	memset(at + 4, fill, len);
	mint->space = mint->data.len = 170 + len;
}

static void the_owner_pays_for_the_account_that_is_created(void **state)
{
	struct world *w = *state;
	assert_int_equal(compose_created_size(&w->order, w->accounts), 170);
	composes(w);
	assert_int_equal(w->composed.rent_lamports, 2074080);
	assert_int_equal(w->composed.execute_lamports, 48720);
	assert_int_equal(w->composed.fee_lamports, 5000);
	own(&w->accounts[ORDER_AT_TARGET], SOLANA_PROGRAM_TOKEN,
	    165); /* of the other program: no help */
	assert_int_equal(compose_created_size(&w->order, w->accounts), 170);
	w->accounts[ORDER_AT_PAYER].lamports = 2074080 + 48720 + 5000 - 1;
	refuses(w, ERR_INVALID, "payer_too_poor");
}

static void what_the_owner_keeps_is_exempt_from_rent(void **state)
{
	struct world *w = *state;
	uint64_t needs = 2074080 + 48720 + 5000, *has = &w->accounts[ORDER_AT_PAYER].lamports;
	*has = needs;
	composes(w); /* nothing is left */
	*has = needs + 1;
	refuses(w, ERR_INVALID, "payer_too_poor");
	assert_non_null(strstr(w->err.text, "2127801"));
	assert_non_null(strstr(w->err.text, "890880"));
	*has = needs + 890879;
	refuses(w, ERR_INVALID, "payer_too_poor");
	*has = needs + 890880;
	composes(w);
}

/* It gets the money in the same transaction, but the fee is taken before. */
static void an_owner_who_pays_himself_is_counted_once(void **state)
{
	struct world *w = *state;
	const struct order_owner owner = w->order.owner;
	uint64_t *has = &w->accounts[ORDER_AT_PAYER].lamports;
	w->req = (struct wallet_build_req){.operation = "transfer_sol", .amount = 900000};
	w->req.allow_off_curve = true;
	pubkey_text(w->payer, w->req.to);
	assert_int_equal(order_read(&w->req, &owner, &w->order, &w->err), 0);
	memset(w->accounts, 0, sizeof(w->accounts));
	own(&w->accounts[ORDER_AT_WALLET], SOLANA_PROGRAM_SYSTEM, 0);
	own(&w->accounts[ORDER_AT_PAYER], SOLANA_PROGRAM_SYSTEM, 0);
	own(&w->accounts[ORDER_AT_TO], SOLANA_PROGRAM_SYSTEM, 0);
	*has = 890880 + 5000;
	composes(w);
	*has = 890880 + 4999;
	refuses(w, ERR_INVALID, "payer_too_poor");
	*has = 53720; /* the fee leaves too little, before the money comes */
	refuses(w, ERR_INVALID, "payer_too_poor");
	w->req.amount = 1;
	*has = 890880 + 53720;
	composes(w);
	*has = 890880 + 53720 - 1;
	composes(w);
	*has = 890880 + 53720 - 2;
	refuses(w, ERR_INVALID, "payer_too_poor");
}

static void a_mint_with_fees_takes_larger_accounts(void **state)
{
	struct world *w = *state;
	extend(w, 1, 108, 0);
	assert_int_equal(compose_created_size(&w->order, w->accounts), 182);
	composes(w);
	assert_int_equal(w->composed.fee_bps, 0);
	uint8_t *fee = w->accounts[ORDER_AT_MINT].data.data + 170 + 90;
	fee[8] = 1;
	fee[16] = 50;
	composes(w);
	assert_int_equal(w->composed.fee_bps, 50);
}

static void a_mint_that_cannot_be_sent_simply_is_refused(void **state)
{
	struct world *w = *state;
	extend(w, 14, 64, 9);
	refuses(w, ERR_INVALID, "mint_refused");
	extend(w, 14, 64, 0);
	composes(w);
	extend(w, 9, 0, 0);
	refuses(w, ERR_INVALID, "mint_refused");
}

static void an_associated_account_that_was_given_away_gets_nothing(void **state)
{
	struct world *w = *state;
	struct accounts_item *target = &w->accounts[ORDER_AT_TARGET + 1];
	own(target, SOLANA_PROGRAM_TOKEN_2022, 165);
	target->data.data[108] = 1;
	memcpy(target->data.data + 32, w->order.keys[ORDER_AT_TOKEN_TO], PUBKEY_LEN);
	composes(w);
	assert_int_equal(w->composed.rent_lamports, 0);
	target->data.data[108] = 2; /* frozen */
	refuses(w, ERR_INVALID, "recipient_refused");
	target->data.data[108] = 1;
	target->data.data[40] ^= 1;
	refuses(w, ERR_INVALID, "recipient_refused");
}

static void only_a_wallet_is_a_recipient(void **state)
{
	struct world *w = *state;
	struct accounts_item *to = &w->accounts[ORDER_AT_TOKEN_TO];
	own(to, SOLANA_PROGRAM_SYSTEM, 0);
	composes(w);
	to->executable = true;
	refuses(w, ERR_INVALID, "recipient_refused");
	to->executable = false;
	own(to, SOLANA_PROGRAM_CORE, 1); /* a burned NFT */
	refuses(w, ERR_INVALID, "recipient_refused");
	own(to, SOLANA_PROGRAM_TOKEN, 165);
	refuses(w, ERR_INVALID, "recipient_refused");
	snprintf(to->owner, sizeof(to->owner), BOB); /* a program that is not known here */
	refuses(w, ERR_INVALID, "recipient_refused");
}

static void rents_that_make_no_sense_are_no_answer(void **state)
{
	struct world *w = *state;
	w->facts.rent_seven = w->facts.rent_zero - 1;
	refuses(w, ERR_UNAVAILABLE, "chain_unavailable");
	w->facts.rent_seven = UINT64_MAX;
	refuses(w, ERR_UNAVAILABLE, "chain_unavailable");
	w->facts.rent_seven = 939600;
	w->facts.rent_created = UINT64_MAX;
	refuses(w, ERR_UNAVAILABLE, "chain_unavailable");
}

static void a_wallet_with_data_spends_nothing(void **state)
{
	struct world *w = *state;
	own(&w->accounts[ORDER_AT_WALLET], SOLANA_PROGRAM_SYSTEM, 0);
	composes(w);
	own(&w->accounts[ORDER_AT_WALLET], SOLANA_PROGRAM_SYSTEM, 80);
	refuses(w, ERR_DENIED, "wallet_captured");
	own(&w->accounts[ORDER_AT_WALLET], SOLANA_PROGRAM_CORE, 0);
	refuses(w, ERR_DENIED, "wallet_captured");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		the_owner_pays_for_the_account_that_is_created, begin, end),
	    cmocka_unit_test_setup_teardown(what_the_owner_keeps_is_exempt_from_rent, begin, end),
	    cmocka_unit_test_setup_teardown(an_owner_who_pays_himself_is_counted_once, begin, end),
	    cmocka_unit_test_setup_teardown(a_mint_with_fees_takes_larger_accounts, begin, end),
	    cmocka_unit_test_setup_teardown(
		a_mint_that_cannot_be_sent_simply_is_refused, begin, end),
	    cmocka_unit_test_setup_teardown(
		an_associated_account_that_was_given_away_gets_nothing, begin, end),
	    cmocka_unit_test_setup_teardown(only_a_wallet_is_a_recipient, begin, end),
	    cmocka_unit_test_setup_teardown(rents_that_make_no_sense_are_no_answer, begin, end),
	    cmocka_unit_test_setup_teardown(a_wallet_with_data_spends_nothing, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
