#include "services/secret-vault/asking.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/pubkey.h"
#include "services/secret-vault/answers.h"
#include "services/secret-vault/holder.h"

#define TRIES 3

struct task {
	struct asking asking; /* first: what the handler sees */
	const struct asking_plan *plan;
	const char *token; /* of req */
	uint64_t deadline; /* Unix ms */
	unsigned tries;
	bool is_limited;               /* the token bucket was taken from */
	bool is_filled;                /* the answer, by work that succeeded */
	char history[HISTORY_MAX + 1]; /* of this try; "" before the first look */
	struct event_id position;      /* the earliest of this try's looks */
};

static void begin_try(struct task *task);

/* ---- ends */

static void wipe_answer(struct task *task)
{
	struct asking *asking = &task->asking;
	if (asking->rsp)
		answers_give(
		    asking->vault->answers, task->plan->call->rsp, asking->rsp, !task->is_filled);
	asking->rsp = NULL;
	task->is_filled = false;
}

static void end(struct task *task)
{
	wipe_answer(task);
	if (task->asking.extra)
		sodium_memzero(task->asking.extra, task->asking.extra_size);
	free(task->asking.extra);
	sodium_memzero(task, sizeof(*task));
	free(task);
}

static void fail(struct task *task, const struct error *err)
{
	bus_fail(task->asking.request, err);
	end(task);
}

/* Before each step: is there still somebody who waits, and something to answer with? */
static int may_go_on(const struct task *task, struct error *err)
{
	if (clock_unix_ms() >= task->deadline)
		return error_set(err, ERR_TIMEOUT, "the caller does not wait any more");
	return vault_serves(task->asking.vault, err);
}

static int refuse_ended(struct error *err)
{
	return error_refuse(err, ERR_UNAUTHENTICATED, "session_revoked",
	    "somebody else was seen to own the asset since");
}

/* What was learnt in another history, or before an event of the asset, counts for nothing. */
static void again(struct task *task)
{
	struct error err;
	if (task->tries < TRIES) {
		begin_try(task);
		return;
	}
	error_refuse(&err, ERR_UNAVAILABLE, "service_unavailable", "overtaken by events");
	err.retry_after_s = 1;
	fail(task, &err);
}

/* ---- 5. the answer */

static void answer(struct task *task)
{
	struct asking *asking = &task->asking;
	struct error err;
	bool releases = task->plan->releases;
	bus_request_judged(asking->request);
	if (releases && may_go_on(task, &err) != 0) {
		fail(task, &err);
	} else if (releases && !holder_is_current(asking->vault->holder, asking->holding.asset,
				   task->history, task->position)) {
		again(task);
	} else if (task->plan->finish && task->plan->finish(asking, &err) != 0) {
		task->is_filled = false;
		fail(task, &err);
	} else {
		bus_reply(asking->request, asking->rsp);
		end(task);
	}
}

static void on_told(void *arg, const struct error *err)
{
	(void)err; /* it is stored; gateways follow when the key that they have is old */
	answer(arg);
}

static void tell(struct task *task)
{
	struct asking *asking = &task->asking;
	if (!asking->has_changed) {
		answer(task);
		return;
	}
	asking->has_changed = false;
	process_add_event(asking->vault->process, asking->holding.asset, "secret", on_told, task);
}

static void on_held(void *arg, const struct ledger_owner *out, const struct error *err)
{
	struct task *task = arg;
	const struct holding *holding = &task->asking.holding;
	struct error refused;
	if (err) {
		fail(task, err); /* the period is there; the holder notes it when it looks */
	} else if (!ledger_owner_vouches(out, holding->wallet, holding->slot)) {
		refuse_ended(&refused);
		fail(task, &refused);
	} else {
		tell(task);
	}
}

/* ---- 4. the work */

/* Not before it is this one's turn: a page of files takes 200 KiB, and thousands may wait. */
static int make_answer(struct task *task, struct error *err)
{
	task->asking.rsp = answers_take(task->asking.vault->answers, task->plan->call->rsp);
	return task->asking.rsp ? 0
				: error_set(err, ERR_UNAVAILABLE, "out of memory for an answer");
}

static int work(void *arg, struct desk *desk, struct error *err)
{
	struct task *task = arg;
	if (desk->now_ms >= task->deadline)
		return error_set(err, ERR_TIMEOUT, "the caller does not wait any more");
	if (make_answer(task, err) != 0)
		return -1;
	return task->plan->work(&task->asking, desk, err);
}

static void worked(void *arg, const struct error *err)
{
	struct task *task = arg;
	struct vault *vault = task->asking.vault;
	const char *asset = task->asking.holding.asset;
	task->is_filled = !err;
	if (err) {
		if (!vault->is_stopping && strcmp(err->reason, "vault_period_locked") == 0)
			holder_look_at(vault->holder, asset);
		fail(task, err);
	} else if (task->asking.has_made) {
		task->asking.has_made = false;
		ledger_hold(vault->process->redis, asset, "vault", on_held, task);
		if (!vault->is_stopping)
			holder_look_at(vault->holder, asset);
	} else {
		tell(task);
	}
}

void asking_go_on(struct asking *asking, const struct error *failed)
{
	struct task *task = (struct task *)asking;
	struct error err;
	if (failed)
		fail(task, failed);
	else if (may_go_on(task, &err) != 0)
		fail(task, &err);
	else
		worker_do(asking->vault->worker, task->plan->kind, work, worked, task);
}

/* ---- 3. before the work */

static void prepare(struct task *task)
{
	wipe_answer(task);
	if (task->plan->before)
		task->plan->before(&task->asking);
	else
		asking_go_on(&task->asking, NULL);
}

static void on_limit(void *arg, const struct ledger_wait *out, const struct error *err)
{
	struct task *task = arg;
	struct error busy;
	if (err) {
		fail(task, err);
	} else if (out->wait_ms > 0) {
		error_refuse(&busy, ERR_BUSY, "rate_limited", "too many, next in %llu ms",
		    (unsigned long long)out->wait_ms);
		busy.retry_after_s =
		    (unsigned)(out->wait_ms > 86400000 ? 86400 : (out->wait_ms + 999) / 1000);
		fail(task, &busy);
	} else {
		task->is_limited = true;
		prepare(task);
	}
}

static void take_limit(struct task *task)
{
	struct vault *vault = task->asking.vault;
	if (!task->plan->limit_kind || task->is_limited) {
		prepare(task);
		return;
	}
	char key[PUBKEY_TEXT_MAX + 1 + Z85_KEY_LEN + 1];
	/* what a host shows is counted apart: one that was taken cannot use up what owners may */
	snprintf(key, sizeof(key), "%s%s%s", task->asking.holding.asset, task->token ? "" : "/",
	    task->token ? "" : bus_request_peer(task->asking.request));
	const struct ledger_limit limit = {.kind = task->plan->limit_kind,
	    .key = key,
	    .per_minute = vault->puts_per_minute,
	    .burst = vault->puts_per_minute};
	ledger_limit(vault->process->redis, &limit, 1, on_limit, task);
}

/* ---- 2. who holds the asset, and which host its agent */

/* A grant or placement is one of the host that had the agent when it was made. */
static int take_place(struct task *task, const char *host, struct error *err)
{
	struct holding *holding = &task->asking.holding;
	uint8_t place[PLACE_LEN];
	bug_if(crypto_generichash(place, PLACE_LEN, (const uint8_t *)host, strlen(host), NULL, 0) !=
	       0);
	if (!task->token && memcmp(place, holding->place, PLACE_LEN) != 0)
		return error_refuse(
		    err, ERR_DENIED, "grant_refused", "the agent was given to another host");
	memcpy(holding->place, place, PLACE_LEN);
	return 0;
}

static void on_owner(void *arg, const struct ledger_owner *out, const struct error *err)
{
	struct task *task = arg;
	struct holding *holding = &task->asking.holding;
	struct error refused;
	if (err) {
		fail(task, err);
		return;
	}
	if (task->history[0] && strcmp(task->history, out->history) != 0) {
		again(task);
		return;
	}
	if (!ledger_owner_vouches(out, holding->wallet, holding->slot)) {
		refuse_ended(&refused);
		fail(task, &refused);
		return;
	}
	if (take_place(task, out->place, &refused) != 0) {
		fail(task, &refused);
		return;
	}
	holding->other_slot = out->other_slot;
	if (!task->history[0] || event_id_compare(out->position, task->position) < 0)
		task->position = out->position;
	memcpy(task->history, out->history, sizeof(task->history));
	take_limit(task);
}

static void look_at_owner(struct task *task)
{
	struct error err;
	if (may_go_on(task, &err) != 0)
		fail(task, &err);
	else
		ledger_owner(
		    task->asking.vault->process->redis, task->asking.holding.asset, on_owner, task);
}

/* ---- 1. who asks */

static bool takes_audience(const struct asking_plan *plan, const struct session_check_rsp *session)
{
	static const char prefix[] = "agent:";
	uint8_t asset[PUBKEY_LEN];
	char own[sizeof(prefix) + AGENT_ID_LEN] = "agent:";
	if (strcmp(session->aud, "console") == 0)
		return true;
	if (!plan->takes_agents || pubkey_parse(session->asset, asset) != 0)
		return false;
	agent_id(asset, own + strlen(prefix));
	return strcmp(session->aud, own) == 0;
}

static int take_session(
    struct task *task, const struct session_check_rsp *session, struct error *err)
{
	struct asking *asking = &task->asking;
	if (!takes_audience(task->plan, session))
		return error_refuse(
		    err, ERR_UNAUTHENTICATED, "session_invalid", "foreign audience");
	if (session->exp_ms <= clock_unix_ms())
		return error_refuse(err, ERR_UNAUTHENTICATED, "session_expired", "expired");
	if (event_id_parse(session->position, &task->position) != 0)
		return error_set(err, ERR_INTERNAL, "session answered with a malformed position");
	asking->holding = (struct holding){.slot = session->slot};
	memcpy(asking->holding.asset, session->asset, sizeof(session->asset));
	memcpy(asking->holding.wallet, session->wallet, sizeof(session->wallet));
	memcpy(task->history, session->history, sizeof(session->history));
	snprintf(asking->by, sizeof(asking->by), "owner %s", session->wallet);
	return 0;
}

static void on_session(void *arg, const void *rsp, const struct error *err)
{
	struct task *task = arg;
	struct error refused;
	if (err)
		fail(task, err);
	else if (take_session(task, rsp, &refused) != 0)
		fail(task, &refused);
	else
		look_at_owner(task);
}

static void check_session(struct task *task)
{
	struct bus_request *request = task->asking.request;
	struct session_check_req req = {0};
	snprintf(req.token, sizeof(req.token), "%s", task->token);
	bus_send(task->asking.vault->sessions, &session_check_call, &req, task->deadline,
	    bus_request_trace(request), on_session, task);
	sodium_memzero(&req, sizeof(req));
}

static void begin_try(struct task *task)
{
	struct error err;
	wipe_answer(task);
	task->tries++;
	task->history[0] = '\0';
	task->asking.has_made = task->asking.has_changed = false;
	if (may_go_on(task, &err) != 0)
		fail(task, &err);
	else if (task->token)
		check_session(task);
	else
		look_at_owner(task);
}

void asking_begin(struct vault *vault, const struct asking_plan *plan, const char *token,
    const struct holding *holding, const void *req, struct bus_request *request, void *extra,
    size_t extra_size)
{
	struct task *task = calloc(1, sizeof(*task));
	bug_if(!task || (!token && !holding));
	task->asking = (struct asking){.vault = vault,
	    .request = request,
	    .req = req,
	    .extra = extra,
	    .extra_size = extra_size};
	task->plan = plan;
	task->token = token;
	task->deadline = bus_request_deadline(request);
	if (!token) {
		task->asking.holding = *holding;
		snprintf(task->asking.by, sizeof(task->asking.by), "%s %s",
		    bus_request_caller(request) & ROLE_GATEWAY ? "gateway" : "sandbox",
		    bus_request_peer(request));
	}
	begin_try(task);
}
