/* vault.reinstate - opens a period that a wrong reading locked: only if record and chain, at finalized, name its wallet, and from that reading's slot on. */
#include <stdio.h>
#include <string.h>

#include "common/scoped.h"
#include "services/secret-vault/act.h"
#include "services/secret-vault/eraser_work.h"
#include "services/secret-vault/evidence.h"
#include "services/secret-vault/handover.h"
#include "services/secret-vault/holder.h"

/* ---- in the worker's thread */

struct pick {
	const struct act *act;
	const char *wallet;
	bool found;
	struct store_period row;   /* newest that is locked */
	struct store_period later; /* in use; the newest */
	size_t nlater;
};

static bool pick_row(void *arg, const struct store_period *row)
{
	struct pick *pick = arg;
	if (strcmp(row->period.wallet, pick->wallet) != 0)
		return true;
	if (row->state == PERIOD_LIVE && row->since > pick->act->other_slot && pick->nlater++ == 0)
		pick->later = *row;
	if (row->state == PERIOD_LOCKED && !pick->found) {
		pick->found = true;
		pick->row = *row;
	}
	return true;
}

/* since is part of what the data key is sealed to: it is wrapped anew. */
static int rewrap(struct desk *desk, struct store_period *row, uint64_t since, struct error *err)
{
	const struct master *old = keyset_find(desk, row->key_id), *now = keyset_wrapper(desk, err);
	scoped_secret struct secret *data_key = NULL;
	if (!now)
		return -1;
	if (!old)
		return error_refuse(
		    err, ERR_UNAVAILABLE, "vault_foreign_key", "its master key is not known here");
	data_key = data_key_unwrap(old, row, err);
	if (!data_key || eraser_note_trace(desk, row->wrapped, row->wrapped_len, err) != 0)
		return -1;
	row->since = since;
	data_key_wrap(now, data_key, row);
	return store_period_rewrap(desk->db, row, err);
}

/* Its key was destroyed: what the store has of it came out of a backup. */
static int check_is_not_gone(struct desk *desk, const struct store_period *row, struct error *err)
{
	uint64_t mark;
	if (highwater_get(desk->highwater, &row->period, "", "", &mark, err) != 0)
		return -1;
	return mark < HIGHWATER_GONE ? 0
				     : error_refuse(err, ERR_INTERNAL, "secret_rolled_back",
					   "the store has a period again whose key was destroyed");
}

static bool count_mark(void *arg, const char *kind, const char *name, uint64_t version)
{
	size_t *count = arg;
	(void)kind;
	(void)name;
	(void)version;
	++*count;
	return false;
}

/* A start of the agent begins a period, and an agent starts by itself: one in which nothing was ever stored makes room, with the volume that it may have. */
static int make_room(struct desk *desk, const struct pick *pick, struct error *err)
{
	enum handover_part part;
	uint64_t live = 0;
	size_t names = 0;
	if (pick->nlater == 0)
		return 0;
	if (store_count_records(desk->db, pick->later.id, &live, err) != 0 ||
	    highwater_records_of(desk->highwater, &pick->later.period, count_mark, &names, err) !=
		0)
		return -1;
	if (pick->nlater > 1 || live > 0 || names > 0)
		return error_refuse(err, ERR_CONFLICT, "period_live",
		    "this owner has a later period with secrets of its own");
	/* it is not destroyed because it was sold: what it gave is for nobody */
	if (handover_drop(desk, &pick->later.period, &part, err) != 0)
		return -1;
	return eraser_work(
	    desk, &pick->later, pick->act->by, "empty: an earlier one is reinstated", err);
}

static int open_again(void *arg, struct desk *desk, struct error *err)
{
	struct act *act = arg;
	const struct vault_reinstate_req *req = act->req;
	struct pick pick = {.act = act, .wallet = req->wallet};
	char period[PERIOD_TEXT_MAX + 1], detail[64];
	if (store_periods_of(desk->db, req->asset, pick_row, &pick, err) != 0)
		return -1;
	if (!pick.found)
		return error_refuse(
		    err, ERR_NOT_FOUND, "period_unknown", "no period of theirs is locked");
	if (check_is_not_gone(desk, &pick.row, err) != 0)
		return -1;
	if (act->slot <= pick.row.since)
		return error_refuse(
		    err, ERR_CONFLICT, "not_finalized", "the period began after what is finalized");
	if (handover_reopen(desk, &pick.row.period, err) != 0 || make_room(desk, &pick, err) != 0 ||
	    rewrap(desk, &pick.row, act->slot, err) != 0 ||
	    store_period_lock(desk->db, pick.row.id, PERIOD_LIVE, desk->now_ms, err) != 0)
		return -1;
	snprintf(detail, sizeof(detail), "since slot %llu", (unsigned long long)act->slot);
	const struct audit_note note = {.act = act->what, .by = act->by, .detail = detail};
	if (records_audit(desk, &pick.row.period, &note, err) != 0)
		return -1;
	return act_note(act, desk, period_text(&pick.row.period, period), err);
}

/* ---- on the loop */

static void on_told(void *arg, const struct error *err)
{
	struct act *act = arg;
	const struct vault_reinstate_req *req = act->req;
	struct vault_reinstate_rsp rsp = {.slot = act->slot};
	(void)err;
	act_reply(act, &rsp, req->asset);
}

/* With its LLM keys, in place of those that gateways may have. */
static void on_open_again(void *arg, const struct error *err)
{
	struct act *act = arg;
	const struct vault_reinstate_req *req = act->req;
	if (err) {
		act_fail(act, err);
		return;
	}
	if (!act->vault->is_stopping)
		holder_look_at(act->vault->holder, req->asset);
	process_add_event(act->vault->process, req->asset, "secret", on_told, act);
}

static int judge_reading(const struct act *act, const struct oracle_finalized_rsp *rsp,
    uint64_t min_slot, struct error *err)
{
	const struct vault_reinstate_req *req = act->req;
	if (evidence_judge(rsp, req->wallet, min_slot) != EVIDENCE_SAME)
		return error_refuse(err, ERR_CONFLICT, "not_owner",
		    "at finalized the chain does not name this wallet: %.24s", rsp->verdict);
	return 0;
}

static void on_finalized(void *arg, const void *message, const struct error *err)
{
	struct act *act = arg;
	const struct oracle_finalized_rsp *rsp = message;
	struct error refused;
	int result = 0;
	if (!err)
		result = judge_reading(act, rsp, act->slot, &refused);
	if (!err && result == 0)
		result = act_needs_keys(act, &refused);
	if (err || result != 0) {
		act_fail(act, err ? err : &refused);
		return;
	}
	act->slot = rsp->slot;
	worker_do(act->vault->worker, WORKER_WRITE, open_again, on_open_again, act);
}

/* A later reading than the last that named somebody else, and no earlier than what the record goes by. */
static void on_owner(void *arg, const struct ledger_owner *record, const struct error *err)
{
	struct act *act = arg;
	const struct vault_reinstate_req *req = act->req;
	struct oracle_finalized_req ask = {0};
	struct error refused;
	int result = 0;
	if (!err)
		result = act_needs_keys(act, &refused);
	if (!err && result == 0 && strcmp(record->owner, req->wallet) != 0)
		result = error_refuse(&refused, ERR_CONFLICT, "not_owner",
		    "the record does not name this wallet: a sign-in of the owner begins one");
	if (err || result != 0) {
		act_fail(act, err ? err : &refused);
		return;
	}
	act->other_slot = record->other_slot;
	act->slot =
	    record->seen_slot > record->other_slot ? record->seen_slot : record->other_slot + 1;
	memcpy(ask.asset, req->asset, sizeof(req->asset));
	ask.min_slot = act->slot;
	bus_send(act->vault->oracles, &oracle_finalized_call, &ask,
	    bus_request_deadline(act->request), bus_request_trace(act->request), on_finalized, act);
}

void vault_reinstate(
    struct vault *self, const struct vault_reinstate_req *req, struct bus_request *request)
{
	struct act *act = act_new(self, request, req, "reinstate");
	struct error err;
	if (act_needs_owner(act, req->asset, req->wallet, &err) != 0)
		act_fail(act, &err);
	else
		ledger_owner(self->process->redis, req->asset, on_owner, act);
}
