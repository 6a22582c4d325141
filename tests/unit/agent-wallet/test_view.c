/* Clean or captured, how old a delegate is, and a node that names records which cannot be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base58.h"
#include "common/error.h"
#include "common/solana_pda.h"
#include "services/agent-wallet/view.h"

#define PDA "CyGncWuo86i8HiPAMVobMNFGNZyqBvqCQamoLM4BHyR9"
#define SYSTEM "11111111111111111111111111111111"
#define OTHER "TLREGni9ZEyGC3vnPZtqUh95xQ8oPqJSvNjvB7FGK8S"

static uint8_t asset[PUBKEY_LEN];
static const struct view_owner owner = {PDA, asset};

static struct wallet_show_rsp *judge(
    struct wallet_show_rsp *rsp, const struct accounts_item *wallet)
{
	view_judge(&owner, wallet, rsp);
	return rsp;
}

static void an_account_is_clean_or_captured(void **state)
{
	static const struct {
		bool exists;
		const char *owner;
		uint64_t space;
		bool executable, is_clean;
	} cases[] = {{false, "", 0, false, true}, {true, SYSTEM, 0, false, true},
	    {true, SYSTEM, 80, false, false}, {true, SYSTEM, UINT64_MAX, false, false},
	    {true, OTHER, 0, false, false}, {true, SYSTEM, 0, true, false},
	    {true, "x", 0, false, false}};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct wallet_show_rsp *rsp = calloc(1, sizeof(*rsp));
		struct accounts_item wallet = {.exists = cases[i].exists,
		    .space = cases[i].space,
		    .executable = cases[i].executable};
		snprintf(wallet.owner, sizeof(wallet.owner), "%s", cases[i].owner);
		judge(rsp, &wallet);
		assert_int_equal(rsp->usable, cases[i].is_clean);
		assert_string_equal(rsp->state, cases[i].is_clean ? "clean" : "captured");
		assert_string_equal(rsp->address, cases[i].is_clean ? PDA : "");
		assert_int_equal(rsp->lines.len, cases[i].is_clean ? 0 : 1);
		free(rsp);
	}
}

/* A close authority of another's captures wrapped SOL only: the others can come from anybody. */
static void a_token_account_with_another_in_charge_captures(void **state)
{
	const struct accounts_item wallet = {0};
	(void)state;
	for (int i = 0; i < 8; i++) {
		struct wallet_show_rsp *rsp = calloc(1, sizeof(*rsp));
		struct holdings_item *holding = &rsp->holdings.item[rsp->holdings.len++];
		bool is_closer = i & 1, is_own = i & 2;
		holding->wrapped = i & 4;
		snprintf(is_closer ? holding->closer : holding->delegate, sizeof(holding->closer),
		    "%s", is_own ? PDA : OTHER);
		judge(rsp, &wallet);
		assert_true(rsp->usable);
		assert_string_equal(
		    rsp->state, is_own || (is_closer && !holding->wrapped) ? "clean" : "captured");
		assert_int_equal(rsp->lines.len, is_own ? 0 : 1);
		assert_true(is_own || rsp->lines.item[0].warning);
		free(rsp);
	}
}

/* What a former owner gave away is not among what the wallet holds: it is looked for by its address. */
static void an_associated_account_that_was_given_away_captures(void **state)
{
	static const char *const holders[] = {PDA, OTHER};
	struct view_place places[VIEW_PLACES_MAX];
	const struct accounts_item wallet = {0};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(holders); i++) {
		struct wallet_show_rsp *rsp = calloc(1, sizeof(*rsp));
		struct accounts_item account = {.exists = true, .data.len = 165};
		size_t n = view_places(&owner, rsp, places);
		assert_int_equal(n, 3);
		snprintf(account.owner, sizeof(account.owner),
		    "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
		account.data.data[108] = 1;
		assert_int_equal(pubkey_parse(holders[i], account.data.data + 32), 0);
		view_judge_place(&owner, &places[1], &account, rsp);
		judge(rsp, &wallet);
		assert_string_equal(rsp->state, i ? "captured" : "clean");
		assert_int_equal(rsp->lines.len, i);
		if (i) {
			assert_non_null(strstr(rsp->lines.item[0].text, OTHER));
			assert_non_null(strstr(rsp->lines.item[0].text,
			    "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"));
		}
		free(rsp);
	}
}

static void places_are_of_each_mint_once_and_not_those_that_are_listed(void **state)
{
	struct wallet_show_rsp *rsp = calloc(1, sizeof(*rsp));
	struct view_place places[VIEW_PLACES_MAX];
	(void)state;
	rsp->holdings.len = ARRAY_LEN(rsp->holdings.item);
	for (size_t i = 0; i < rsp->holdings.len; i++) {
		uint8_t mint[PUBKEY_LEN] = {1, (uint8_t)(i / 2)};
		pubkey_text(mint, rsp->holdings.item[i].mint);
		rsp->holdings.item[i].token_2022 = i >= 8;
	}
	assert_int_equal(view_places(&owner, rsp, places), 3 + 4);
	pubkey_text(places[6].account, rsp->holdings.item[7].account);
	assert_int_equal(view_places(&owner, rsp, places), 3 + 3);
	for (size_t i = 0; i < rsp->holdings.len; i++)
		rsp->holdings.item[i].token_2022 = false;
	assert_int_equal(view_places(&owner, rsp, places), VIEW_PLACES_MAX);
	free(rsp);
}

static void the_age_of_a_delegate_is_said_if_it_is_known(void **state)
{
	static const struct {
		uint64_t made, other, slot;
		const char *age;
	} cases[] = {{0, 5, 9, "unknown"}, {4, 5, 9, "before"}, {5, 5, 9, "before"},
	    {6, 5, 9, "unknown"}, {8, 5, 9, "unknown"}, {9, 5, 9, "after"}, {12, 5, 9, "after"}};
	struct delegates_item delegate;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		view_set_age(&delegate, cases[i].made, cases[i].other, cases[i].slot);
		assert_string_equal(delegate.age, cases[i].age);
	}
}

/* A node that forgot its past makes an old record young: it is not told as a fact, and not as the reader's own doing. */
static void the_age_of_a_delegate_is_a_nodes_word(void **state)
{
	static const struct {
		uint64_t made;
		const char *text;
	} cases[] = {{4, "former owner, as far as one node remembers"},
	    {9, "as far as one node remembers; not only owners could make it"},
	    {0, "Not known whether a former owner made it"}};
	const struct accounts_item wallet = {0};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct wallet_show_rsp *rsp = calloc(1, sizeof(*rsp));
		rsp->delegates.len = 1;
		view_set_age(&rsp->delegates.item[0], cases[i].made, 5, 9);
		judge(rsp, &wallet);
		assert_non_null(strstr(rsp->delegates.item[0].warning, cases[i].text));
		assert_null(strstr(rsp->delegates.item[0].warning, "you "));
		free(rsp);
	}
}

static void records_that_cannot_be_are_not_shown(void **state)
{
	struct chain_records_rsp *records = calloc(1, sizeof(*records));
	struct wallet_show_rsp *rsp = calloc(1, sizeof(*rsp));
	const struct accounts_item wallet = {0};
	uint8_t profile[PUBKEY_LEN] = {7}, record[PUBKEY_LEN];
	(void)state;
	assert_int_equal(solana_pda_execution_delegate_record(profile, asset, record), 0);
	records->nodes = 2;
	records->records.len = 2;
	for (int i = 0; i < 2; i++) {
		pubkey_text(profile, records->records.item[i].profile);
		pubkey_text(i ? profile : record, records->records.item[i].record);
		snprintf(records->records.item[i].authority, PUBKEY_TEXT_MAX + 1, "%s", OTHER);
	}
	assert_int_equal(view_add_delegates(records, asset, rsp), 1);
	judge(rsp, &wallet);
	assert_int_equal(rsp->delegates.len, 1);
	assert_int_equal(rsp->nodes, 2);
	assert_string_equal(rsp->state, "captured");
	assert_non_null(strstr(rsp->delegates.item[0].warning, OTHER));
	assert_non_null(strstr(rsp->lines.item[0].text, "as soon as the asset carries"));
	free(records);
	free(rsp);
}

static bool has_line(const struct wallet_show_rsp *rsp, const char *text)
{
	for (size_t i = 0; i < rsp->lines.len; i++)
		if (strstr(rsp->lines.item[i].text, text))
			return true;
	return false;
}

/* Frozen ones, which anybody can make, crowd out neither a delegate nor that there are more. */
static void an_asset_that_cannot_be_read_may_let_delegates_execute(void **state)
{
	static const char core[] = "CoREENxT6tW1HoK8ypY1SxRMZTcVPm7R94rH4PZNhX7d";
	struct chain_account_rsp *account = calloc(1, sizeof(*account));
	struct wallet_show_rsp *rsp = calloc(1, sizeof(*rsp));
	(void)state;
	view_add_asset(account, rsp);
	assert_true(rsp->identity); /* it is gone */
	account->exists = true;
	account->data.data[0] = 1;
	account->data.len = 34 + 9; /* key, owner, no authority, two empty names, no sequence */
	snprintf(account->owner, sizeof(account->owner), "%s", core);
	view_add_asset(account, rsp);
	assert_false(rsp->identity || rsp->execute_frozen);
	snprintf(account->owner, sizeof(account->owner), "%s", OTHER);
	view_add_asset(account, rsp);
	assert_true(rsp->identity); /* another program's: nothing is known of it */
	snprintf(account->owner, sizeof(account->owner), "%s", core);
	account->data.data[0] = 0;
	account->data.len = 1;
	view_add_asset(account, rsp);
	assert_true(rsp->identity); /* burned */
	free(account);
	free(rsp);
}

static void more_than_is_shown_is_said(void **state)
{
	struct wallet_show_rsp *rsp = calloc(1, sizeof(*rsp));
	const struct accounts_item wallet = {0};
	(void)state;
	rsp->more = rsp->more_delegates = rsp->execute_frozen = true;
	rsp->holdings.len = ARRAY_LEN(rsp->holdings.item);
	for (size_t i = 0; i < rsp->holdings.len; i++)
		rsp->holdings.item[i].frozen = true;
	snprintf(rsp->holdings.item[255].delegate, PUBKEY_TEXT_MAX + 1, "%s", OTHER);
	judge(rsp, &wallet);
	assert_int_equal(rsp->lines.len, ARRAY_LEN(rsp->lines.item));
	assert_true(has_line(rsp, "more token accounts"));
	assert_true(has_line(rsp, "more execution delegates"));
	assert_true(has_line(rsp, "blocks ExecuteV1"));
	assert_true(has_line(rsp, "has a delegate"));
	assert_string_equal(rsp->state, "captured");
	free(rsp);
}

static int init(void **state)
{
	(void)state;
	return sodium_init() < 0 ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_account_is_clean_or_captured),
	    cmocka_unit_test(a_token_account_with_another_in_charge_captures),
	    cmocka_unit_test(an_associated_account_that_was_given_away_captures),
	    cmocka_unit_test(places_are_of_each_mint_once_and_not_those_that_are_listed),
	    cmocka_unit_test(the_age_of_a_delegate_is_said_if_it_is_known),
	    cmocka_unit_test(the_age_of_a_delegate_is_a_nodes_word),
	    cmocka_unit_test(records_that_cannot_be_are_not_shown),
	    cmocka_unit_test(an_asset_that_cannot_be_read_may_let_delegates_execute),
	    cmocka_unit_test(more_than_is_shown_is_said),
	};
	return cmocka_run_group_tests(tests, init, NULL);
}
