#include "services/agent-wallet/view.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base58.h"
#include "common/error.h"
#include "common/solana_pda.h"
#include "services/agent-wallet/compose.h"

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

/* ---- execution delegates */

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
	} ages[] = {{"before", "Left behind by a former owner"},
	    {"after", "Made since you are the owner"},
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
	bool captured = false;
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
