#include "services/agent-wallet/asking.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/pubkey.h"

#define BURST_MIN 10 /* of calls at once */

static void end(struct asking *asking)
{
	LIST_REMOVE(asking, link);
	follower_release(asking->wallet->process->follower, &asking->ticket);
	free(asking);
}

void askings_overtake(struct wallet *wallet, const char *asset)
{
	struct follower *follower = wallet->process->follower;
	struct asking *asking;

	LIST_FOREACH(asking, &wallet->askings, link)
	{
		/* without an asset yet it may be of this one; who holds it is looked at later */
		if (strcmp(asset, "*") != 0 && asking->asset[0] &&
		    strcmp(asset, asking->asset) != 0)
			continue;
		uint64_t ticket = follower_hold(follower);
		follower_merge(follower, &asking->ticket, &ticket);
		asking->is_overtaken |= asking->asset[0] != '\0';
	}
}

int asking_still(const struct asking *asking, struct error *err)
{
	/* who has no lease may be silent, and not be waited for (rule 15) */
	if (!asking->is_overtaken && follower_has_lease(asking->wallet->process->follower))
		return 0;
	error_refuse(err, ERR_UNAVAILABLE, "service_unavailable",
	    "overtaken by an event, or without its lease");
	err->retry_after_s = 1;
	return -1;
}

void asking_refuse(struct asking *asking, const struct error *err)
{
	if (err->code == ERR_DENIED || err->code == ERR_CONFLICT) {
		metric_add(asking->wallet->refused, 1);
		log_audit("wallet", "act", "refuse", "why", err->reason, "asset", asking->asset,
		    "trace", bus_request_trace(asking->request));
	}
	bus_fail(asking->request, err);
	end(asking);
}

void asking_reply(struct asking *asking, const void *rsp)
{
	bus_reply(asking->request, rsp);
	end(asking);
}

void asking_ask(
    struct asking *asking, const struct proto_call *call, const void *req, bus_done done)
{
	bus_send(asking->wallet->oracles, call, req, bus_request_deadline(asking->request),
	    bus_request_trace(asking->request), done, asking);
}

/* ---- the owner, from the chain */

static int judge_owner(
    const struct asking *asking, const struct oracle_owner_rsp *read, struct error *err)
{
	if (strcmp(read->verdict, "owned") != 0)
		return error_refuse(
		    err, ERR_DENIED, "asset_refused", "the asset is %s", read->verdict);
	if (strcmp(read->owner, asking->owner) != 0)
		return error_refuse(err, ERR_DENIED, "not_owner", "somebody else owns the asset");
	return 0;
}

static void on_owner_read(void *arg, const void *rsp, const struct error *err)
{
	struct asking *asking = arg;
	struct error refused;
	if (err)
		asking_refuse(asking, err);
	else if (judge_owner(asking, rsp, &refused) != 0)
		asking_refuse(asking, &refused);
	else
		asking->owned(asking);
}

void asking_read_owner(struct asking *asking, void (*owned)(struct asking *asking))
{
	struct oracle_owner_req req = {0};
	asking->owned = owned;
	memcpy(req.asset, asking->asset, sizeof(req.asset));
	memcpy(req.wallet, asking->owner, sizeof(req.wallet));
	asking_ask(asking, &oracle_owner_call, &req, on_owner_read);
}

/* ---- 3. not too many */

static bool is_too_many(struct asking *asking)
{
	const struct asking *other;
	if (!asking->is_alone)
		return false;
	LIST_FOREACH(other, &asking->wallet->askings, link)
	if (other->has_turn && strcmp(other->asset, asking->asset) == 0)
		return true;
	asking->has_turn = true;
	return false;
}

static void on_limit(void *arg, const struct ledger_wait *out, const struct error *err)
{
	struct asking *asking = arg;
	struct error busy;
	if (err) {
		asking_refuse(asking, err);
	} else if (out->wait_ms > 0) {
		error_refuse(&busy, ERR_BUSY, "rate_limited", "too many, next in %llu ms",
		    (unsigned long long)out->wait_ms);
		busy.retry_after_s =
		    (unsigned)(out->wait_ms > 86400000 ? 86400 : (out->wait_ms + 999) / 1000);
		asking_refuse(asking, &busy);
	} else if (is_too_many(asking)) {
		error_refuse(
		    &busy, ERR_BUSY, "rate_limited", "the same is under way for this asset");
		busy.retry_after_s = 1;
		asking_refuse(asking, &busy);
	} else {
		asking->next(asking);
	}
}

/* ---- 2. who holds the asset */

static uint64_t burst_of(uint64_t per_minute)
{
	uint64_t burst = per_minute / 4 > BURST_MIN ? per_minute / 4 : BURST_MIN;
	return burst < per_minute ? burst : per_minute;
}

static void on_owner(void *arg, const struct ledger_owner *out, const struct error *err)
{
	struct asking *asking = arg;
	const struct wallet *wallet = asking->wallet;
	struct error refused;
	if (err) {
		asking_refuse(asking, err);
		return;
	}
	if (!ledger_owner_vouches(out, asking->owner, asking->slot)) {
		error_refuse(&refused, ERR_UNAUTHENTICATED, "session_revoked",
		    "somebody else was seen to own the asset since");
		asking_refuse(asking, &refused);
		return;
	}
	asking->other_slot = out->other_slot;
	uint64_t rate = asking->is_build ? wallet->builds_per_minute : wallet->calls_per_minute;
	const struct ledger_limit limit = {.kind = asking->is_build ? "wallet_build" : "wallet",
	    .key = asking->asset,
	    .per_minute = rate,
	    .burst = burst_of(rate)};
	ledger_limit(wallet->process->redis, &limit, 1, on_limit, asking);
}

/* ---- 1. who asks */

static int take_session(
    struct asking *asking, const struct session_check_rsp *session, struct error *err)
{
	if (strcmp(session->aud, "console") != 0)
		return error_refuse(
		    err, ERR_UNAUTHENTICATED, "session_invalid", "an agent's session");
	if (session->exp_ms <= clock_unix_ms())
		return error_refuse(err, ERR_UNAUTHENTICATED, "session_expired", "expired");
	if (pubkey_parse(session->asset, asking->asset_key) != 0 ||
	    pubkey_parse(session->wallet, asking->owner_key) != 0 ||
	    pubkey_asset_signer(asking->asset_key, asking->pda_key, NULL) != 0)
		return error_set(err, ERR_INTERNAL, "session answered with a malformed address");
	memcpy(asking->asset, session->asset, sizeof(asking->asset));
	memcpy(asking->owner, session->wallet, sizeof(asking->owner));
	pubkey_text(asking->pda_key, asking->pda);
	asking->slot = session->slot;
	return 0;
}

static void on_session(void *arg, const void *rsp, const struct error *err)
{
	struct asking *asking = arg;
	struct error refused;
	if (err)
		asking_refuse(asking, err);
	else if (take_session(asking, rsp, &refused) != 0)
		asking_refuse(asking, &refused);
	else
		ledger_owner(asking->wallet->process->redis, asking->asset, on_owner, asking);
}

void asking_begin(struct asking *asking, const char *token)
{
	struct session_check_req req = {0};
	LIST_INSERT_HEAD(&asking->wallet->askings, asking, link);
	snprintf(req.token, sizeof(req.token), "%s", token);
	bus_send(asking->wallet->sessions, &session_check_call, &req,
	    bus_request_deadline(asking->request), bus_request_trace(asking->request), on_session,
	    asking);
	sodium_memzero(&req, sizeof(req));
}
