/* session.revoke, ban and place - an operator ends sessions, or gives an agent to another host; who it was is in the audit trail. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/suite_settings.h"
#include "services/session/session.h"

struct act {
	struct session *self;
	struct bus_request *request;
	const char *what;                   /* for the audit trail */
	char target[PUBKEY_TEXT_MAX + 1];   /* asset or wallet, or "*" */
	char announce[PUBKEY_TEXT_MAX + 1]; /* the asset whose sessions end, or "*" */
};

static struct act *act_new(struct session *self, struct bus_request *request, const char *what,
    const char *target, const char *announce)
{
	struct act *act = calloc(1, sizeof(*act));
	bug_if(!act);
	act->self = self;
	act->request = request;
	act->what = what;
	snprintf(act->target, sizeof(act->target), "%s", target);
	snprintf(act->announce, sizeof(act->announce), "%s", announce);
	return act;
}

static void done(void *arg, const struct ledger_ended *out, const struct error *err)
{
	struct act *act = arg;
	struct session_end_rsp rsp;
	char caller[128];
	if (err) {
		bus_fail(act->request, err);
	} else {
		role_text(bus_request_caller(act->request), caller, sizeof(caller));
		log_audit("operator", "act", act->what, "target", act->target, "caller", caller,
		    "trace", bus_request_trace(act->request));
		session_tell(act->self, out, act->announce, &rsp);
		bus_reply(act->request, &rsp);
	}
	free(act);
}

/* ---- all of a wallet's: asset after asset, whose events all come before the last one's */

struct sweep {
	struct act *act;
	struct ledger_owned part;
	size_t next;
	struct ledger_ended last;
};

static void sweep_end(struct sweep *sweep, const struct error *err)
{
	struct act *act = sweep->act;
	done(act, err ? NULL : &sweep->last, err);
	free(sweep->part.asset);
	free(sweep);
}

/* Another process serves: the cursor says nothing to it, and what ended before may be lost. Ends the sweep. */
static bool is_of_another(struct sweep *sweep, const char *history)
{
	struct error err;
	if (strcmp(history, sweep->last.history) == 0)
		return false;
	error_set(&err, ERR_UNAVAILABLE, "Redis was restarted meanwhile: do it again");
	sweep_end(sweep, &err);
	return true;
}

static void sweep_on(struct sweep *sweep);

static void on_swept(void *arg, const struct ledger_ended *out, const struct error *err)
{
	struct sweep *sweep = arg;
	if (err) {
		sweep_end(sweep, err);
		return;
	}
	if (is_of_another(sweep, out->history))
		return;
	const char *asset = sweep->part.asset[sweep->next - 1];
	process_announce(sweep->act->self->process, out->history, out->event, asset);
	snprintf(sweep->act->announce, sizeof(sweep->act->announce), "%s", asset);
	sweep->last = *out;
	sweep_on(sweep);
}

static void on_part(void *arg, const struct ledger_owned *out, const struct error *err)
{
	struct sweep *sweep = arg;
	if (err) {
		sweep_end(sweep, err);
		return;
	}
	if (sweep->part.cursor && is_of_another(sweep, out->history))
		return;
	memcpy(sweep->part.asset, out->asset, out->len * sizeof(*out->asset));
	sweep->part.cursor = out->cursor;
	sweep->part.len = out->len;
	sweep->next = 0;
	if (!sweep->last.changed)
		memcpy(sweep->last.history, out->history, sizeof(out->history));
	sweep_on(sweep);
}

static void sweep_on(struct sweep *sweep)
{
	struct redis *redis = sweep->act->self->process->redis;
	if (sweep->next < sweep->part.len)
		ledger_end_all(redis, sweep->part.asset[sweep->next++], "revoked", on_swept, sweep);
	else if (sweep->part.cursor)
		ledger_owned(redis, sweep->act->target, sweep->part.cursor, on_part, sweep);
	else
		sweep_end(sweep, NULL);
}

static void sweep_begin(struct act *act)
{
	struct sweep *sweep = calloc(1, sizeof(*sweep));
	bug_if(!sweep);
	sweep->act = act;
	sweep->part.asset = calloc(LEDGER_OWNED_MAX, sizeof(*sweep->part.asset));
	bug_if(!sweep->part.asset);
	ledger_owned(act->self->process->redis, act->target, 0, on_part, sweep);
}

/* ---- whichever it is */

static void nothing_ended(struct act *act, const char *history)
{
	struct ledger_ended none = {0};
	snprintf(none.history, sizeof(none.history), "%s", history);
	done(act, &none, NULL);
}

static void on_owner(void *arg, const struct ledger_owner *out, const struct error *err)
{
	struct act *act = arg;
	if (err)
		done(act, NULL, err);
	else if (out->owner[0])
		ledger_end_all(act->self->process->redis, act->target, "revoked", done, act);
	else
		sweep_begin(act);
}

static void on_look(void *arg, const struct ledger_look *out, const struct error *err)
{
	struct act *act = arg;
	if (err) {
		done(act, NULL, err);
	} else if (!out->asset[0]) {
		nothing_ended(act, out->history);
	} else {
		memcpy(act->announce, out->asset, sizeof(out->asset));
		ledger_end(
		    act->self->process->redis, out->asset, act->target, "revoked", done, act);
	}
}

static void revoke_what(struct session *self, const char *what, struct bus_request *request)
{
	struct redis *redis = self->process->redis;
	uint8_t key[PUBKEY_LEN];
	struct error err;
	if (token_jti_is_valid(what)) {
		ledger_look(redis, what, on_look, act_new(self, request, "revoke one", what, ""));
	} else if (pubkey_parse(what, key) == 0) {
		ledger_owner(
		    redis, what, on_owner, act_new(self, request, "revoke all", what, what));
	} else {
		error_set(&err, ERR_INVALID, "that is no address, and no session's jti");
		bus_fail(request, &err);
	}
}

static int check_revoke(const struct session_revoke_req *req, struct error *err)
{
	uint8_t key[PUBKEY_LEN];
	if (req->everything)
		return req->asset[0] || req->jti[0] || req->what[0]
			   ? error_set(err, ERR_INVALID, "everything takes nothing else")
			   : 0;
	if (req->what[0])
		return req->asset[0] || req->jti[0]
			   ? error_set(err, ERR_INVALID, "what takes neither asset nor jti")
			   : 0;
	if (pubkey_parse(req->asset, key) != 0)
		return error_refuse(
		    err, ERR_INVALID, "asset_invalid", "the asset is not a base58 address");
	if (req->jti[0] && !token_jti_is_valid(req->jti))
		return error_set(err, ERR_INVALID, "jti is not that of a session");
	return 0;
}

void session_revoke(
    struct session *self, const struct session_revoke_req *req, struct bus_request *request)
{
	struct redis *redis = self->process->redis;
	struct error err;
	if (check_revoke(req, &err) != 0)
		bus_fail(request, &err);
	else if (req->everything)
		ledger_end_everything(
		    redis, done, act_new(self, request, "revoke everything", "*", "*"));
	else if (req->what[0])
		revoke_what(self, req->what, request);
	else if (req->jti[0])
		ledger_end(redis, req->asset, req->jti, "revoked", done,
		    act_new(self, request, "revoke one", req->asset, req->asset));
	else
		ledger_end_all(redis, req->asset, "revoked", done,
		    act_new(self, request, "revoke all", req->asset, req->asset));
}

void session_ban(
    struct session *self, const struct session_ban_req *req, struct bus_request *request)
{
	uint8_t key[PUBKEY_LEN];
	struct error err;
	if (pubkey_parse(req->wallet, key) != 0) {
		error_refuse(
		    &err, ERR_INVALID, "wallet_invalid", "the wallet is not a base58 public key");
		bus_fail(request, &err);
		return;
	}
	ledger_ban(self->process->redis, req->wallet, req->banned, done,
	    act_new(self, request, req->banned ? "ban" : "lift a ban", req->wallet, "*"));
}

/* ---- place */

struct placing {
	struct session *self;
	struct bus_request *request;
	struct session_place_req req; /* from: who had it, once the ledger has said so */
};

static void answer_placing(struct placing *placing, bool is_moved, const char *was)
{
	struct session_place_rsp rsp = {.moved = is_moved};
	snprintf(rsp.was, sizeof(rsp.was), "%s", was);
	bus_reply(placing->request, &rsp);
	free(placing);
}

static void fail_placing(struct placing *placing, const struct error *err)
{
	bus_fail(placing->request, err);
	free(placing);
}

static void placed(void *arg, const struct ledger_ended *out, const struct error *err)
{
	struct placing *placing = arg;
	const struct session_place_req *req = &placing->req;
	char caller[128];
	if (err) {
		fail_placing(placing, err);
		return;
	}
	if (out->changed) {
		role_text(bus_request_caller(placing->request), caller, sizeof(caller));
		log_audit("operator", "act", "place", "target", req->asset, "from", req->from, "to",
		    req->to, "caller", caller, "trace", bus_request_trace(placing->request));
		process_announce(placing->self->process, out->history, out->event, req->asset);
	}
	answer_placing(placing, out->changed, req->from);
}

/* Asked again, because an answer was lost, it is done as well. */
static void on_place(void *arg, const char *host, const struct error *err)
{
	struct placing *placing = arg;
	struct session_place_req *req = &placing->req;
	bool is_there = !err && strcmp(host, req->to) == 0;
	if (err) {
		fail_placing(placing, err);
	} else if (is_there || !host[0] || (req->from[0] && strcmp(host, req->from) != 0)) {
		answer_placing(placing, is_there, host);
	} else {
		snprintf(req->from, sizeof(req->from), "%s", host);
		ledger_move(
		    placing->self->process->redis, req->asset, req->from, req->to, placed, placing);
	}
}

static int check_place(const struct session_place_req *req, struct error *err)
{
	uint8_t key[PUBKEY_LEN];
	if (pubkey_parse(req->asset, key) != 0)
		return error_refuse(
		    err, ERR_INVALID, "asset_invalid", "the asset is not a base58 address");
	if (!suite_settings_is_replica(req->to) ||
	    (req->from[0] && !suite_settings_is_replica(req->from)))
		return error_set(err, ERR_INVALID, "from and to have to be names of sandboxes");
	return 0;
}

void session_place(
    struct session *self, const struct session_place_req *req, struct bus_request *request)
{
	struct error err;
	if (check_place(req, &err) != 0) {
		bus_fail(request, &err);
		return;
	}
	struct placing *placing = calloc(1, sizeof(*placing));
	bug_if(!placing);
	*placing = (struct placing){.self = self, .request = request, .req = *req};
	ledger_place(self->process->redis, placing->req.asset, "", false, on_place, placing);
}
