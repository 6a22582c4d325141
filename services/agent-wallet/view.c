#include "services/agent-wallet/view.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base58.h"
#include "common/error.h"
#include "common/solana_pda.h"
#include "common/solana_program.h"
#include "common/token_account.h"
#include "services/agent-wallet/compose.h"
#include "services/agent-wallet/core_asset.h"

__attribute__((format(printf, 3, 4))) static void say(
    struct wallet_show_rsp *rsp, bool warning, const char *fmt, ...)
{
	va_list args;
	if (rsp->lines.len == ARRAY_LEN(rsp->lines.item))
		return;
	struct lines_item *line = &rsp->lines.item[rsp->lines.len++];
	line->warning = warning;
	va_start(args, fmt);
	vsnprintf(line->text, sizeof(line->text), fmt, args);
	va_end(args);
}

/* ---- token accounts */

static bool has_closer(const struct view_owner *owner, const struct holdings_item *holding)
{
	return holding->closer[0] && strcmp(holding->closer, owner->pda) != 0;
}

/* True: somebody else has power over what is in it, and an owner gave it to him. */
static bool judge_holding(const struct view_owner *owner, const struct holdings_item *holding,
    struct wallet_show_rsp *rsp)
{
	bool taken = false;
	if (holding->delegate[0] && strcmp(holding->delegate, owner->pda) != 0) {
		say(rsp, true,
		    "Token account %s of mint %s has a delegate, %s, who may move %llu of it "
		    "(revoke_delegate takes that away)",
		    holding->account, holding->mint, holding->delegate,
		    (unsigned long long)holding->delegated);
		taken = true;
	}
	/* of wrapped SOL only an owner can have set it: when an account changes hands, that is where the program takes it off */
	if (holding->wrapped && has_closer(owner, holding)) {
		say(rsp, true,
		    "Token account %s of wrapped SOL can be closed by %s, who then gets what is in "
		    "it; nobody can take that away: put nothing into it",
		    holding->account, holding->closer);
		taken = true;
	}
	return taken;
}

/* Anybody can send such an account to any wallet, so it says nothing of the wallet. */
static void warn_of_closer(const struct view_owner *owner, const struct holdings_item *holding,
    struct wallet_show_rsp *rsp)
{
	if (!holding->wrapped && has_closer(owner, holding))
		say(rsp, true,
		    "Token account %s of mint %s can be closed by %s while it is empty, who then "
		    "gets its rent; nobody can take that away",
		    holding->account, holding->mint, holding->closer);
}

static void note_frozen(const struct holdings_item *holding, struct wallet_show_rsp *rsp)
{
	if (holding->frozen)
		say(rsp, false,
		    "Token account %s of mint %s is frozen: nothing moves till its mint's "
		    "authority thaws it",
		    holding->account, holding->mint);
}

/* ---- where others send tokens to */

static bool is_listed(const struct wallet_show_rsp *rsp, const char *account)
{
	for (size_t i = 0; i < rsp->holdings.len; i++)
		if (strcmp(rsp->holdings.item[i].account, account) == 0)
			return true;
	return false;
}

static size_t add_place(const struct view_owner *owner, const struct wallet_show_rsp *rsp,
    const char *mint, struct view_place *places, size_t n)
{
	uint8_t wallet[PUBKEY_LEN];
	char account[PUBKEY_TEXT_MAX + 1];
	struct view_place *place = &places[n];
	if (n == VIEW_PLACES_MAX || pubkey_parse(owner->pda, wallet) != 0 ||
	    pubkey_parse(mint, place->mint) != 0 ||
	    solana_pda_associated_token(wallet, solana_program_key(SOLANA_PROGRAM_TOKEN),
		place->mint, place->account) != 0 ||
	    is_listed(rsp, pubkey_text(place->account, account)))
		return n;
	for (size_t i = 0; i < n; i++)
		if (memcmp(places[i].account, place->account, PUBKEY_LEN) == 0)
			return n;
	return n + 1;
}

size_t view_places(const struct view_owner *owner, const struct wallet_show_rsp *rsp,
    struct view_place places_r[VIEW_PLACES_MAX])
{
	static const char *const common[] = {"So11111111111111111111111111111111111111112",
	    "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
	    "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB"};
	size_t n = 0;
	for (size_t i = 0; i < ARRAY_LEN(common); i++)
		n = add_place(owner, rsp, common[i], places_r, n);
	for (size_t i = 0; i < rsp->holdings.len; i++)
		if (!rsp->holdings.item[i].token_2022)
			n = add_place(owner, rsp, rsp->holdings.item[i].mint, places_r, n);
	return n;
}

void view_judge_place(const struct view_owner *owner, const struct view_place *place,
    const struct accounts_item *account, struct wallet_show_rsp *rsp)
{
	char at[PUBKEY_TEXT_MAX + 1], mint[PUBKEY_TEXT_MAX + 1], holder[PUBKEY_TEXT_MAX + 1];
	uint8_t program[PUBKEY_LEN];
	struct token_account token;
	if (!account->exists || pubkey_parse(account->owner, program) != 0 ||
	    solana_program_of(program) != SOLANA_PROGRAM_TOKEN ||
	    !token_account_read(account->data.data, account->data.len, &token) ||
	    strcmp(pubkey_text(token.owner, holder), owner->pda) == 0)
		return;
	say(rsp, true,
	    "The wallet's token account %s for mint %s was given to %s: whoever sends that token "
	    "to "
	    "the wallet may send it there",
	    pubkey_text(place->account, at), pubkey_text(place->mint, mint), holder);
}

/* ---- execution delegates */

void view_add_asset(const struct chain_account_rsp *account, struct wallet_show_rsp *rsp)
{
	uint8_t program[PUBKEY_LEN];
	struct core_asset asset = {.plugins_known = false};
	bool is_asset = pubkey_parse(account->owner, program) == 0 &&
			solana_program_of(program) == SOLANA_PROGRAM_CORE &&
			core_asset_read(account->data.data, account->data.len, &asset);
	rsp->identity = !is_asset || asset.identity || !asset.plugins_known;
	rsp->execute_frozen = is_asset && asset.execute_frozen;
}

size_t view_add_delegates(
    const struct chain_records_rsp *records, const uint8_t asset[32], struct wallet_show_rsp *rsp)
{
	size_t lies = 0;
	rsp->nodes = records->nodes;
	rsp->more_delegates = records->more;
	for (size_t i = 0; i < records->records.len; i++) {
		const struct records_item *record = &records->records.item[i];
		uint8_t profile[PUBKEY_LEN], expected[PUBKEY_LEN], address[PUBKEY_LEN];
		if (pubkey_parse(record->profile, profile) != 0 ||
		    pubkey_parse(record->record, address) != 0 ||
		    solana_pda_execution_delegate_record(profile, asset, expected) != 0 ||
		    memcmp(expected, address, PUBKEY_LEN) != 0) {
			lies++;
			continue;
		}
		struct delegates_item *delegate = &rsp->delegates.item[rsp->delegates.len++];
		memcpy(delegate->record, record->record, sizeof(delegate->record));
		memcpy(delegate->profile, record->profile, sizeof(delegate->profile));
		memcpy(delegate->authority, record->authority, sizeof(delegate->authority));
		snprintf(delegate->age, sizeof(delegate->age), "unknown");
	}
	return lies;
}

void view_set_age(
    struct delegates_item *delegate, uint64_t made_slot, uint64_t other_slot, uint64_t slot)
{
	const char *age = "unknown";
	if (made_slot > 0 && made_slot <= other_slot)
		age = "before";
	else if (made_slot > 0 && made_slot >= slot)
		age = "after";
	snprintf(delegate->age, sizeof(delegate->age), "%s", age);
}

static void warn_of(struct delegates_item *delegate, bool identity)
{
	static const struct {
		const char *age, *text;
	} ages[] = {{"before", "Left behind by a former owner, as far as one node remembers"},
	    {"after", "Not there before the present owner, as far as one node remembers; not "
		      "only owners could make it"},
	    {"unknown", "Not known whether a former owner made it"}};
	const char *when = "";
	for (size_t i = 0; i < ARRAY_LEN(ages); i++)
		if (strcmp(ages[i].age, delegate->age) == 0)
			when = ages[i].text;
	snprintf(delegate->warning, sizeof(delegate->warning),
	    "%s. %s can spend all that the wallet holds%s; a sale does not end that, "
	    "revoke_delegate does.",
	    when, delegate->authority,
	    identity ? "" : " as soon as the asset carries an AgentIdentity");
}

/* ---- all of it */

void view_judge(
    const struct view_owner *owner, const struct accounts_item *wallet, struct wallet_show_rsp *rsp)
{
	const char *why = NULL;
	bool captured = rsp->lines.len > 0;
	rsp->usable = compose_wallet_is_clean(wallet, &why);
	if (!rsp->usable) {
		say(rsp, true, "Captured: %s. Nothing is built for it.", why);
		captured = true;
	}
	/* before what there may be many of: there are so many lines and no more */
	if (rsp->more_delegates)
		say(rsp, true, "There are more execution delegates than are shown");
	if (rsp->more)
		say(rsp, true, "There are more token accounts than are shown");
	if (rsp->execute_frozen)
		say(rsp, true, "A plugin of the asset blocks ExecuteV1: nothing can be spent");
	for (size_t i = 0; i < rsp->delegates.len; i++) {
		struct delegates_item *delegate = &rsp->delegates.item[i];
		warn_of(delegate, rsp->identity);
		say(rsp, true, "Execution delegate %s: %s", delegate->record, delegate->warning);
		captured = true;
	}
	for (size_t i = 0; i < rsp->holdings.len; i++)
		captured |= judge_holding(owner, &rsp->holdings.item[i], rsp);
	for (size_t i = 0; i < rsp->holdings.len; i++)
		warn_of_closer(owner, &rsp->holdings.item[i], rsp);
	for (size_t i = 0; i < rsp->holdings.len; i++)
		note_frozen(&rsp->holdings.item[i], rsp);
	snprintf(rsp->state, sizeof(rsp->state), "%s", captured ? "captured" : "clean");
	if (!captured)
		snprintf(rsp->address, sizeof(rsp->address), "%s", owner->pda);
}
