#include "tests/sim/bugs.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/follow.h"
#include "common/follower.h"
#include "services/router/decision.h"
#include "tests/sim/world.h"

#define EDITS_MAX 3

static const struct bug {
	const char *name, *about;
	struct bug_edit edit[EDITS_MAX + 1]; /* none: one of the functions below */
} bugs[] = {
    {"lease-from-arrival", "the lease counts from an answer's arrival, not from the sending",
	{{0}}},
    {"lease-behind-head", "a read that did not reach the head gives a lease", {{0}}},
    {"bell-moves-cursor", "what is heard on the bell counts as handled", {{0}}},
    {"answer-not-held-against-marks", "session's answer counts from its arrival", {{0}}},
    {"answers-kept-over-history", "a new history drops no cached answer", {{0}}},
    {"no-lease-needed", "router decides without a lease", {{0}}},
    {"chain-age-ignored", "router decides however long ago the chain was read", {{0}}},
    {"star-not-marked", "an event of every asset marks none", {{0}}},
    {"other-history-heard-of-forgotten", "a bell of another history is not told to Redis", {{0}}},
    {"no-settling", "a new history gives leases at once",
	{{"local SETTLING_MS = 2000", "local SETTLING_MS = 0"}}},
    {"no-proof-of-loss", "an event that is gone proves nothing",
	{{"	if lost then return end", "	do return end"}}},
    {"history-not-compared", "an id that was given out again is taken for the one that was lost",
	{{"if found and found[2][2] == newest_history then return end",
	    "if found then return end"}}},
    {"read-is-no-write", "a demoted primary answers reads",
	{{"	redis.call('HSET', 'mc:replicas', name,",
	     "	if false then redis.call('HSET', 'mc:replicas', name,"},
	    {"open and open ~= '' and open or '-'}, ' '))",
		"open and open ~= '' and open or '-'}, ' ')) end"}}},
    {"trimming-unnoticed", "events that were trimmed before they were read are passed over",
	{{"return cursor ~= '0-0' or redis.call('XLEN', 'mc:events') >= EVENTS_KEPT",
	    "return false"}}},
    {"only-newest-kept", "a late observation of somebody else is nothing",
	{{"	if slot > rec[3] then -- third case", "	if false then -- third case"}}},
    {"tie-is-nothing", "somebody else at the very slot of proof is nothing",
	{{"or not (s[3] > rec[2]) then return 'ended' end",
	     "or s[3] < rec[2] then return 'ended' end"},
	    {"not (slot > rec[2]) or slot > rec[3] then", "slot < rec[2] or slot > rec[3] then"}}},
    {"sign-in-bypasses-observe", "a sign-in is granted on a reading that nobody wrote down",
	{{"rec[1] ~= wallet or not (slot > rec[2]) or slot > rec[3] then", "false then"}}},
    {"end-without-event", "a logout tells nobody",
	{{"	return add_event(asset, kind)\nend\n\nlocal ops",
	    "	return nil\nend\n\nlocal ops"}}},
    {"child-outlives-parent", "an agent's session goes on when the console's has ended",
	{{"	for _, child in ipairs(redis.call('ZRANGE', children, 0, -1)) do redis.call('DEL', "
	  "'mc:session:' .. child) end\n",
	     ""},
	    {"	if s[13] and redis.call('EXISTS', 'mc:session:' .. s[13]) == 0 then return 'ended' "
	     "end\n",
		""}}},
};

static const struct bug *find(const char *name)
{
	for (size_t i = 0; name && i < ARRAY_LEN(bugs); i++)
		if (strcmp(bugs[i].name, name) == 0)
			return &bugs[i];
	return NULL;
}

const struct bug_edit *bug_edits(void)
{
	const struct bug *bug = find(world.bug);

	return bug ? bug->edit : NULL;
}

bool bugs_know(const char *name)
{
	return find(name) != NULL;
}

void bugs_list(void)
{
	for (size_t i = 0; i < ARRAY_LEN(bugs); i++)
		printf("%-34s %s\n", bugs[i].name, bugs[i].about);
}

/* ---- in the place of production functions */

struct follow_verdict __real_follow_judge(const struct follow *follow,
    const struct follow_read *read, const struct ledger_follow *answer);
struct follow_verdict __wrap_follow_judge(const struct follow *follow,
    const struct follow_read *read, const struct ledger_follow *answer);
bool __real_follow_heard(struct follow *follow, const char *history, struct event_id id);
bool __wrap_follow_heard(struct follow *follow, const char *history, struct event_id id);
bool __real_decision_put(struct decision_table *table, const uint8_t key[DECISION_KEY_LEN],
    const struct decision_answer *answer, const struct decision_moment *now);
bool __wrap_decision_put(struct decision_table *table, const uint8_t key[DECISION_KEY_LEN],
    const struct decision_answer *answer, const struct decision_moment *now);
enum decision_verdict __real_decision_lookup(struct decision_table *table,
    const uint8_t key[DECISION_KEY_LEN], const char *agent, const struct decision_moment *now,
    const struct decision_entry **found_r);
enum decision_verdict __wrap_decision_lookup(struct decision_table *table,
    const uint8_t key[DECISION_KEY_LEN], const char *agent, const struct decision_moment *now,
    const struct decision_entry **found_r);
void __real_decision_restart(struct decision_table *table, uint32_t history, struct event_id head);
void __wrap_decision_restart(struct decision_table *table, uint32_t history, struct event_id head);
void __real_decision_mark(
    struct decision_table *table, const uint8_t asset[PUBKEY_LEN], struct event_id id);
void __wrap_decision_mark(
    struct decision_table *table, const uint8_t asset[PUBKEY_LEN], struct event_id id);
bool __real_follower_has_lease(const struct follower *follower);
bool __wrap_follower_has_lease(const struct follower *follower);
uint64_t __real_follower_chain_age_ms(const struct follower *follower);
uint64_t __wrap_follower_chain_age_ms(const struct follower *follower);

struct follow_verdict __wrap_follow_judge(
    const struct follow *follow, const struct follow_read *read, const struct ledger_follow *answer)
{
	struct follow_read late = *read;

	if (world_bug("lease-from-arrival"))
		late.sent_ms = clock_boot_ms();
	struct follow_verdict verdict = __real_follow_judge(follow, &late, answer);
	if (world_bug("lease-behind-head") && verdict.act == FOLLOW_GO_ON && !answer->settling_ms)
		verdict.lease_until_ms = read->sent_ms + FOLLOW_LEASE_MS;
	return verdict;
}

bool __wrap_follow_heard(struct follow *follow, const char *history, struct event_id id)
{
	bool is_own = strcmp(history, follow->history) == 0;

	if (world_bug("other-history-heard-of-forgotten") && !is_own)
		return false;
	bool is_news = __real_follow_heard(follow, history, id);
	if (world_bug("bell-moves-cursor") && is_own && event_id_compare(id, follow->cursor) > 0)
		follow->cursor = id;
	return is_news;
}

bool __wrap_decision_put(struct decision_table *table, const uint8_t key[DECISION_KEY_LEN],
    const struct decision_answer *answer, const struct decision_moment *now)
{
	struct decision_answer other = *answer;
	struct decision_moment moment = *now;

	/* as if everything that is marked by now had been there when session looked */
	for (unsigned shift = 1; world_bug("answer-not-held-against-marks") && shift < 64 &&
				 decision_is_void(table, other.asset, other.position);
	     shift++)
		other.position.ms += UINT64_C(1) << (shift < 20 ? shift : 20);
	if (world_bug("answers-kept-over-history"))
		other.history = moment.history = 1;
	return __real_decision_put(table, key, &other, &moment);
}

enum decision_verdict __wrap_decision_lookup(struct decision_table *table,
    const uint8_t key[DECISION_KEY_LEN], const char *agent, const struct decision_moment *now,
    const struct decision_entry **found_r)
{
	struct decision_moment moment = *now;

	if (world_bug("answers-kept-over-history") && moment.history != 0)
		moment.history = 1;
	return __real_decision_lookup(table, key, agent, &moment, found_r);
}

void __wrap_decision_restart(struct decision_table *table, uint32_t history, struct event_id head)
{
	if (world_bug("answers-kept-over-history") && history > 1)
		return;
	__real_decision_restart(table, history, head);
}

void __wrap_decision_mark(
    struct decision_table *table, const uint8_t asset[PUBKEY_LEN], struct event_id id)
{
	if (!world_bug("star-not-marked") || asset)
		__real_decision_mark(table, asset, id);
}

bool __wrap_follower_has_lease(const struct follower *follower)
{
	return world_bug("no-lease-needed") || __real_follower_has_lease(follower);
}

uint64_t __wrap_follower_chain_age_ms(const struct follower *follower)
{
	return world_bug("chain-age-ignored") ? 0 : __real_follower_chain_age_ms(follower);
}
