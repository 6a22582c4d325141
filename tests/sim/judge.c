#include "tests/sim/judge.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/ledger_parse.h"

#define BOUND_US (2 * SECOND)   /* I2 */
#define SETTLES_US (2 * SECOND) /* rule 16 */
#define SESSIONS_MAX 256
#define SIGHTINGS_MAX 32
#define TEXT_MAX 64

struct session {
	char jti[JTI_LEN + 1], asset[TEXT_MAX], wallet[TEXT_MAX];
	uint64_t slot;
	struct session *parent;
	bool exists, is_good;
	uint64_t ended; /* if it is not good */
	bool has_event;
	unsigned end_history;
	struct event_id end;
	unsigned told;   /* set of processes that have told that they handled the end */
	bool is_pending; /* the end was lost, and may yet be proven */
	bool is_owed;    /* it must be */
};
struct sighting { /* the highest slot at which the wallet was seen to own the asset */
	char asset[TEXT_MAX], wallet[TEXT_MAX];
	uint64_t slot;
};
struct banned {
	char wallet[TEXT_MAX];
};
struct truth {
	size_t nsessions, nsightings, nbanned;
	struct sighting sighting[SIGHTINGS_MAX];
	struct banned banned[SIGHTINGS_MAX];
	struct session session[SESSIONS_MAX];
};

static struct {
	struct truth now, snapshot;
	struct judge_known known[PROCS_MAX];
	unsigned nhistories, history;
	char histories[HISTORIES_MAX][HISTORY_MAX + 1];
	uint64_t history_began, chain_at, chain_grace;
	bool is_fresh; /* the process that serves has not yet run a script */
	const char *last_ended;
} own;
struct judge_count judge_count;

/* ---- names */

static unsigned history_number(const char *history)
{
	for (unsigned i = 0; i < own.nhistories; i++)
		if (strcmp(own.histories[i], history) == 0)
			return i;
	bug_if(own.nhistories == HISTORIES_MAX);
	snprintf(own.histories[own.nhistories], HISTORY_MAX + 1, "%s", history);
	return own.nhistories++;
}

static struct session *find(struct truth *truth, const char *jti)
{
	for (size_t i = 0; i < truth->nsessions; i++)
		if (strcmp(truth->session[i].jti, jti) == 0)
			return &truth->session[i];
	return NULL;
}

static uint64_t slot_of(const char *text)
{
	return strtoull(text, NULL, 10);
}

/* ---- what a process knows */

static void learn(const struct proc *proc, const char *history, const char *id)
{
	struct event_id event, *known = &own.known[proc->index].id[history_number(history)];

	if (event_id_parse(id, &event) == 0 && event_id_compare(event, *known) > 0)
		*known = event;
}

const struct judge_known *judge_known(const struct proc *proc)
{
	return &own.known[proc->index];
}

void judge_started(const struct proc *proc)
{
	own.known[proc->index] = (struct judge_known){0};
}

void judge_heard(const struct proc *proc, const char *history, const char *id)
{
	learn(proc, history, id);
}

static bool is_op(const char *op, const char *const *ops, size_t nops)
{
	for (size_t i = 0; i < nops; i++)
		if (strcmp(op, ops[i]) == 0)
			return true;
	return false;
}

void judge_answered(
    const struct proc *proc, int argc, const char *const *argv, const redisReply *reply)
{
	static const char *const tell[] = {"observe", "mint", "mint_child", "end", "end_all",
	    "end_everything", "ban", "announce", "reset", "move"};

	if (argc < 1 || reply->type != REDIS_REPLY_ARRAY)
		return;
	if (strcmp(argv[0], "follow") == 0) {
		const redisReply *events = reply->element[reply->elements - 1];
		for (size_t i = 0; i < events->elements; i++)
			learn(proc, events->element[i]->element[1]->str,
			    events->element[i]->element[0]->str);
	}
	if (!is_op(argv[0], tell, ARRAY_LEN(tell)))
		return;
	bool minted = strncmp(argv[0], "mint", 4) == 0;
	learn(proc, reply->element[0]->str, reply->element[minted ? 2 : 1]->str);
}

/* ---- I1 */

static struct sighting *sighting_of(const char *asset, const char *wallet)
{
	struct truth *truth = &own.now;

	for (size_t i = 0; i < truth->nsightings; i++)
		if (strcmp(truth->sighting[i].asset, asset) == 0 &&
		    strcmp(truth->sighting[i].wallet, wallet) == 0)
			return &truth->sighting[i];
	bug_if(truth->nsightings == SIGHTINGS_MAX);
	struct sighting *sighting = &truth->sighting[truth->nsightings++];
	*sighting = (struct sighting){.slot = 0};
	snprintf(sighting->asset, TEXT_MAX, "%s", asset);
	snprintf(sighting->wallet, TEXT_MAX, "%s", wallet);
	return sighting;
}

static bool is_banned(const char *wallet)
{
	for (size_t i = 0; i < own.now.nbanned; i++)
		if (strcmp(own.now.banned[i].wallet, wallet) == 0)
			return true;
	return false;
}

static bool is_good(const struct session *session)
{
	if (!session->exists || is_banned(session->wallet))
		return false;
	if (session->parent && !session->parent->exists)
		return false;
	for (size_t i = 0; i < own.now.nsightings; i++) {
		const struct sighting *seen = &own.now.sighting[i];
		if (strcmp(seen->asset, session->asset) == 0 &&
		    strcmp(seen->wallet, session->wallet) != 0 && seen->slot >= session->slot)
			return false;
	}
	return true;
}

static void add_session(const char *const *argv, const struct session *parent)
{
	bug_if(own.now.nsessions == SESSIONS_MAX);
	struct session *session = &own.now.session[own.now.nsessions++];
	*session = (struct session){.exists = true, .is_good = true};
	snprintf(session->jti, sizeof(session->jti), "%s", parent ? argv[3] : argv[5]);
	snprintf(session->asset, TEXT_MAX, "%s", parent ? parent->asset : argv[1]);
	snprintf(session->wallet, TEXT_MAX, "%s", parent ? parent->wallet : argv[2]);
	session->slot = parent ? parent->slot : slot_of(argv[3]);
	session->parent = parent ? find(&own.now, parent->jti) : NULL;
	if (!is_good(session))
		world_fail("I1: session %.8s was made, and somebody else was seen to own %.8s",
		    session->jti, session->asset);
	if (!parent && session->slot > sighting_of(session->asset, session->wallet)->slot)
		world_fail("I1 (rule 7): session %.8s was made on slot %" PRIu64
			   ", which nobody observed",
		    session->jti, session->slot);
}

static void end_session(struct session *session)
{
	if (session)
		session->exists = false;
}

static void end_all(const char *asset)
{
	for (size_t i = 0; i < own.now.nsessions; i++)
		if (!asset || strcmp(own.now.session[i].asset, asset) == 0)
			own.now.session[i].exists = false;
}

static void ban(const char *wallet, bool banned)
{
	struct truth *truth = &own.now;

	for (size_t i = 0; i < truth->nbanned; i++)
		if (strcmp(truth->banned[i].wallet, wallet) == 0)
			truth->banned[i--] = truth->banned[--truth->nbanned];
	if (banned)
		snprintf(truth->banned[truth->nbanned++].wallet, TEXT_MAX, "%s", wallet);
}

/* How an executed script changes what is true. */
static void apply(const char *const *argv, const redisReply *reply)
{
	const char *op = argv[0];
	const char *word =
	    reply->elements > 1 && reply->element[1]->str ? reply->element[1]->str : "";

	if (strcmp(op, "observe") == 0 && reply->element[2]->str[0]) {
		struct sighting *seen = sighting_of(argv[1], argv[2]);
		uint64_t slot = slot_of(argv[3]);
		seen->slot = slot > seen->slot ? slot : seen->slot;
	} else if (strcmp(op, "mint") == 0 && strcmp(word, "good") == 0) {
		if (argv[13][0])
			end_session(find(&own.now, argv[13]));
		add_session(argv, NULL);
	} else if (strcmp(op, "mint_child") == 0 && strcmp(word, "good") == 0) {
		add_session(argv, find(&own.now, argv[1]));
	} else if (strcmp(op, "end") == 0 && word[0]) {
		end_session(find(&own.now, argv[2]));
	} else if (strcmp(op, "end_all") == 0) {
		end_all(argv[1]);
	} else if (strcmp(op, "end_everything") == 0) {
		end_all(NULL);
	} else if (strcmp(op, "ban") == 0) {
		ban(argv[1], argv[2][0] == '1');
	}
}

static void note_end(struct session *session, const struct db *db)
{
	session->is_good = false;
	session->ended = world.now;
	session->told = 0;
	session->has_event = db->nadded > 0 && event_id_parse(db->added_id.s, &session->end) == 0;
	session->end_history = own.history;
	own.last_ended = session->jti;
	judge_count.ends++;
	world_trace("judge: %.8s of %.8s has ended: %s %s", session->jti, session->wallet,
	    db->nadded ? db->added_kind.s : "without an event", db->nadded ? db->added_id.s : "");
	if (db->nadded == 0)
		world_fail("I1: session %.8s ended, and no event says so", session->jti);
}

static void judge_sessions(const struct db *db)
{
	for (size_t i = 0; i < own.now.nsessions; i++) {
		struct session *session = &own.now.session[i];
		bool good = is_good(session);
		if (session->is_pending)
			continue;
		if (session->is_good && !good)
			note_end(session, db);
		session->is_good = good;
	}
}

static void judge_look(const char *jti, const redisReply *reply)
{
	const struct session *session = find(&own.now, jti);
	bool says_good = strcmp(reply->element[2]->str, "good") == 0;

	if (session && session->is_pending)
		return;
	if (says_good != (session && is_good(session)))
		world_fail("I1: a look says that session %.8s is %s", jti, reply->element[2]->str);
}

/* ---- I3 */

static bool knows_end(const struct judge_known *known, const struct session *session)
{
	return session->has_event &&
	       event_id_compare(known->id[session->end_history], session->end) >= 0;
}

/* The new history has settled: what nobody had to prove is not known any more, and was never reported by one who reached Redis. */
static void resolve(void)
{
	if (own.is_fresh || world.now < own.history_began + SETTLES_US)
		return;
	for (size_t i = 0; i < own.now.nsessions; i++) {
		struct session *session = &own.now.session[i];
		if (!session->is_pending)
			continue;
		session->is_pending = false;
		world_trace("judge: the end of %.8s was lost%s", session->jti,
		    session->is_owed ? ", and is owed" : "");
		if (session->is_owed && is_good(session))
			world_fail(
			    "I3: the end of session %.8s was known to one who reached Redis in "
			    "time, and is undone",
			    session->jti);
		session->is_good = is_good(session);
	}
}

static void prove(const struct db *db)
{
	if (db->nadded == 0 || strcmp(db->added_kind.s, "lost") != 0)
		return;
	world_trace("judge: lost writes are proven");
	end_all(NULL);
	for (size_t i = 0; i < own.now.nsessions; i++) {
		judge_count.proven_ends += own.now.session[i].is_pending;
		own.now.session[i].is_pending = false;
	}
}

static void judge_follow(const struct judge_call *call, const redisReply *reply)
{
	struct event_id cursor;
	bool is_own = strcmp(call->argv[3], reply->element[0]->str) == 0;
	bool has_cursor = is_own && event_id_parse(call->argv[4], &cursor) == 0;

	for (size_t i = 0; i < own.now.nsessions; i++) {
		struct session *session = &own.now.session[i];
		if (session->is_pending && knows_end(call->known, session)) {
			if (!session->is_owed)
				world_trace("judge: %s knows of the end of %.8s", call->proc->name,
				    session->jti);
			session->is_owed = true;
		}
		if (has_cursor && !session->is_good && session->has_event &&
		    session->end_history == own.history &&
		    event_id_compare(cursor, session->end) >= 0) {
			judge_count.receipts += !(session->told & 1u << call->proc->index);
			session->told |= 1u << call->proc->index;
		}
	}
}

void judge_snapshot(void)
{
	own.snapshot = own.now;
}

static void lose(struct session *session, const struct session *before)
{
	if (session->is_good)
		session->told = 0; /* of an earlier end, that was undone */
	if (!before) {
		session->exists = session->is_pending = false;
		if (session->is_good)
			own.last_ended = session->jti;
		session->ended = session->is_good ? world.now : session->ended;
		session->has_event &= !session->is_good;
		session->is_good = false;
		return;
	}
	session->exists = before->exists;
	bool was_good = session->is_good;
	session->is_good = is_good(session);
	if (!was_good && session->is_good) {
		session->is_pending = true;
		session->is_owed = false;
		session->is_good = false;
		judge_count.lost_ends++;
	} else if (was_good && !session->is_good) {
		session->ended = world.now;
		session->has_event = false;
	}
}

void judge_replaced(enum server_loss loss)
{
	const struct truth *before = &own.snapshot;
	struct truth *now = &own.now;

	judge_count.histories++;
	own.is_fresh = true;
	if (loss == LOSS_NOTHING)
		return;
	size_t kept = loss == LOSS_ALL ? 0 : before->nsessions;
	now->nsightings = loss == LOSS_ALL ? 0 : before->nsightings;
	memcpy(now->sighting, before->sighting, sizeof(now->sighting));
	now->nbanned = loss == LOSS_ALL ? 0 : before->nbanned;
	memcpy(now->banned, before->banned, sizeof(now->banned));
	for (size_t i = 0; i < now->nsessions; i++)
		if (i < kept)
			now->session[i].exists = before->session[i].exists;
	for (size_t i = 0; i < now->nsessions; i++)
		lose(&now->session[i], i < kept ? &before->session[i] : NULL);
}

void judge_set_back(void)
{
	own.history_began = world.now;
}

/* ---- */

void judge_begin(uint64_t chain_grace_us)
{
	memset(&own.known, 0, sizeof(own.known));
	own.now.nsessions = own.now.nsightings = own.now.nbanned = 0;
	own.nhistories = own.history = 0;
	own.history_began = own.chain_at = 0;
	own.chain_grace = chain_grace_us;
	own.is_fresh = true;
	own.last_ended = NULL;
}

static void note_history(const char *history)
{
	if (!own.is_fresh)
		return;
	own.is_fresh = false;
	own.history = history_number(history);
	own.history_began = world.now;
}

void judge_executed(const struct judge_call *call, const struct db *db, const redisReply *reply)
{
	const char *op = call->argv[0];

	judge_count.scripts++;
	if (!call->is_primary || reply->type != REDIS_REPLY_ARRAY)
		return;
	if (world.traces && strcmp(op, "follow") != 0)
		world_trace("redis: %s: %s %s %s", call->proc ? call->proc->name : "-", op,
		    call->argc > 1 ? call->argv[1] : "", call->argc > 2 ? call->argv[2] : "");
	note_history(reply->element[0]->str);
	resolve();
	prove(db);
	apply(call->argv, reply);
	judge_sessions(db);
	if (strcmp(op, "look") == 0)
		judge_look(call->argv[1], reply);
	else if (strcmp(op, "follow") == 0)
		judge_follow(call, reply);
	else if (strcmp(op, "chain") == 0 && strcmp(reply->element[1]->str, "counted") == 0)
		own.chain_at = world.now - strtoull(call->argv[2], NULL, 10) * MS;
}

static void judge_allow(const struct proc *router, const struct session *session)
{
	uint64_t since = world.now - session->ended;
	bool is_ended = !session->is_good;

	if (is_ended && session->told & 1u << router->index)
		world_fail("rule 15: %s allows session %.8s, of which it has told that its end is "
			   "enforced",
		    router->name, session->jti);
	else if (is_ended && since >= BOUND_US)
		world_fail("%s: %s allows session %.8s, %.3f ms after it ended",
		    session->is_owed ? "I3" : "I2", router->name, session->jti, (double)since / MS);
	if (is_ended)
		judge_count.late++;
	if (world.now > own.chain_at + own.chain_grace + MS) /* ages are whole ms */
		world_fail("rule 18: %s allows, and the last sweep began %.3f ms ago", router->name,
		    (double)(world.now - own.chain_at) / MS);
}

void judge_decided(const struct proc *router, const char *jti, bool is_allowed)
{
	const struct session *session = find(&own.now, jti);

	resolve();
	judge_count.allows += is_allowed;
	judge_count.denials += !is_allowed;
	if (is_allowed && !session)
		world_fail("I1: %s allows session %.8s, which was never made", router->name, jti);
	else if (is_allowed)
		judge_allow(router, session);
}

void judge_settled(const struct proc *router, const char *jti, int status)
{
	bool good = judge_is_good(jti);

	judge_decided(router, jti, status == 200);
	if (good && status != 200)
		world_fail(
		    "liveness: all is well, and %s answers %d to session %.8s, which is good",
		    router->name, status, jti);
	if (!good && status != 401)
		world_fail("liveness: all is well, and %s answers %d to session %.8s, which is not "
			   "good",
		    router->name, status, jti);
}

bool judge_is_good(const char *jti)
{
	const struct session *session = find(&own.now, jti);

	resolve();
	return session && session->is_good;
}

uint64_t judge_history_began(void)
{
	return own.is_fresh ? world.now : own.history_began;
}

const char *judge_last_ended(void)
{
	return own.last_ended;
}
