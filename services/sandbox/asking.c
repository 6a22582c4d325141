#include "services/sandbox/asking.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "services/sandbox/holder.h"

#define TRIES 6
#define WAITING_MAX 64 /* of one agent */

static void check_session(struct asking *asking);

/* ---- ends */

static void leave(struct asking *asking)
{
	if (asking->agent) {
		TAILQ_REMOVE(&asking->agent->waiting, asking, link);
		asking->agent->nwaiting--;
		evtimer_del(asking->timer);
	}
	asking->agent = NULL;
}

static void asking_free(struct asking *asking)
{
	leave(asking);
	event_free(asking->timer);
	sodium_memzero(asking, sizeof(*asking));
	free(asking);
}

void asking_reply(struct asking *asking, const void *rsp)
{
	bus_reply(asking->request, rsp);
	asking_free(asking);
}

void asking_fail(struct asking *asking, const struct error *err)
{
	bus_fail(asking->request, err);
	asking_free(asking);
}

/* What was learnt in another history, or before an event of the asset, counts for nothing. */
static void again(struct asking *asking)
{
	struct error err;
	if (asking->tries++ < TRIES) {
		check_session(asking);
		return;
	}
	error_refuse(&err, ERR_UNAVAILABLE, "service_unavailable", "overtaken by events");
	err.retry_after_s = 1;
	asking_fail(asking, &err);
}

static bool is_current(const struct asking *asking)
{
	return holder_is_current(
	    asking->sandbox->holder, asking->asset, asking->history, asking->position);
}

static int may_go_on(const struct asking *asking, struct error *err)
{
	if (clock_unix_ms() >= bus_request_deadline(asking->request))
		return error_refuse(
		    err, ERR_TIMEOUT, "too_late", "the caller does not wait any more");
	return sandbox_serves(asking->sandbox, err);
}

/* ---- 3. the call */

/* The agent as this caller may see it: what belongs to somebody else ends now. */
static struct agent *enter(struct asking *asking, struct agent *agent)
{
	if (agent && (asking->kind == ASK_STATE || asking->kind == ASK_LOGS ||
			 asking->kind == ASK_SNAPSHOTS))
		agent_end_others(agent, asking->wallet);
	else if (agent)
		agent_take_owner(agent, asking->wallet, asking->slot);
	return agent && agent->record.wallet[0] ? agent : NULL;
}

static void act(struct asking *asking, bool may_make)
{
	struct agents *agents = asking->sandbox->agents;
	struct agent *agent = agents_of(agents, asking->asset);
	struct error err;
	if (may_go_on(asking, &err) != 0) {
		asking_fail(asking, &err);
	} else if (!is_current(asking)) {
		again(asking);
	} else if (agent && agent->is_damaged) {
		error_refuse(&err, ERR_UNAVAILABLE, "record_damaged",
		    "the host's record of this agent is damaged: an operator has to look");
		asking_fail(asking, &err);
	} else {
		if (!agent && may_make)
			agent = agents_make(agents, asking->asset);
		agent = enter(asking, agent);
		if (asking->is_done)
			asking_answer(asking, agent);
		else
			asking_act(asking, agent);
	}
}

/* ---- 2. on which host */

static void answer_host(struct asking *asking, const char *host)
{
	struct sandbox_state_rsp state = {0};
	struct sandbox_reach_rsp reach = {0};
	struct sandbox_logs_rsp *logs;
	if (asking->kind >= ASK_SNAPSHOTS) {
		snapshots_answer_host(asking, host);
	} else if (asking->kind == ASK_REACH) {
		snprintf(reach.host, sizeof(reach.host), "%s", host);
		asking_reply(asking, &reach);
	} else if (asking->kind == ASK_LOGS) {
		logs = calloc(1, sizeof(*logs));
		bug_if(!logs);
		snprintf(logs->host, sizeof(logs->host), "%s", host);
		asking_reply(asking, logs);
		free(logs);
	} else {
		snprintf(state.host, sizeof(state.host), "%s", host);
		asking_reply(asking, &state);
	}
}

static bool claims(const struct asking *asking)
{
	return asking->kind == ASK_START || asking->kind == ASK_RESTART ||
	       asking->kind == ASK_REACH || asking->kind == ASK_ACCEPT;
}

static void on_place(void *arg, const char *host, const struct error *err)
{
	struct asking *asking = arg;
	const char *own = asking->sandbox->process->settings.replica;
	struct error failed;
	if (err) {
		failed = sandbox_no_ledger(err);
		asking_fail(asking, &failed);
	} else if (host[0] && strcmp(host, own) != 0) {
		answer_host(asking, host);
	} else if (!host[0] && claims(asking)) { /* not claimed: there was no room */
		error_refuse(&failed, ERR_BUSY, "host_full", "no room for one that is new here");
		failed.retry_after_s = 60;
		asking_fail(asking, &failed);
	} else {
		act(asking, claims(asking));
	}
}

/* A claim is for good: one that has no room leaves the agent to another host. */
static void locate(struct asking *asking)
{
	struct sandbox *sandbox = asking->sandbox;
	const struct agent *agent = agents_of(sandbox->agents, asking->asset);
	struct error full;
	/* of which only former periods are left, another host may have it */
	if (agent && (agent->is_damaged || agent->record.wallet[0]))
		act(asking, false);
	else
		ledger_place(sandbox->process->redis, asking->asset,
		    sandbox->process->settings.replica,
		    claims(asking) && agents_have_room(sandbox, &full) == 0, on_place, asking);
}

/* ---- 1. who asks */

static bool is_for(const struct asking *asking, const char *aud)
{
	uint8_t key[PUBKEY_LEN];
	char id[AGENT_ID_LEN + 1];
	if (strcmp(aud, "console") == 0)
		return true;
	if (asking->kind != ASK_REACH || pubkey_parse(asking->asset, key) != 0)
		return false;
	agent_id(key, id);
	return strncmp(aud, "agent:", 6) == 0 && strcmp(aud + 6, id) == 0;
}

static int take_session(
    struct asking *asking, const struct session_check_rsp *session, struct error *err)
{
	memcpy(asking->asset, session->asset, sizeof(session->asset));
	memcpy(asking->wallet, session->wallet, sizeof(session->wallet));
	memcpy(asking->history, session->history, sizeof(session->history));
	asking->slot = session->slot;
	if (!is_for(asking, session->aud))
		return error_refuse(
		    err, ERR_UNAUTHENTICATED, "session_invalid", "foreign audience");
	if (session->exp_ms <= clock_unix_ms())
		return error_refuse(err, ERR_UNAUTHENTICATED, "session_expired", "expired");
	if (event_id_parse(session->position, &asking->position) != 0)
		return error_refuse(err, ERR_INTERNAL, "answer_malformed",
		    "session answered with a malformed position");
	return 0;
}

static void on_session(void *arg, const void *rsp, const struct error *err)
{
	struct asking *asking = arg;
	struct error refused;
	if (err)
		asking_fail(asking, err);
	else if (take_session(asking, rsp, &refused) != 0)
		asking_fail(asking, &refused);
	else
		locate(asking);
}

static void check_session(struct asking *asking)
{
	struct session_check_req req = {0};
	struct error err;
	if (may_go_on(asking, &err) != 0) {
		asking_fail(asking, &err);
		return;
	}
	snprintf(req.token, sizeof(req.token), "%s", asking->token);
	bus_send(asking->sandbox->sessions, &session_check_call, &req,
	    bus_request_deadline(asking->request), bus_request_trace(asking->request), on_session,
	    asking);
	sodium_memzero(&req, sizeof(req));
}

/* ---- waiting */

static void resume(struct asking *asking)
{
	struct agent *agent = asking->agent;
	struct error err;
	bug_if(!agent);
	leave(asking);
	if (may_go_on(asking, &err) != 0)
		asking_fail(asking, &err);
	else if (!is_current(asking) || strcmp(agent->record.wallet, asking->wallet) != 0)
		again(asking);
	else
		asking_answer(asking, agent);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	resume(arg);
}

bool asking_wait(struct asking *asking, struct agent *agent)
{
	uint64_t now = clock_boot_ms();
	if (now >= asking->until_ms || agent->nwaiting >= WAITING_MAX)
		return false;
	uint64_t ms = asking->until_ms - now;
	const struct timeval wait = {
	    .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
	asking->is_done = true;
	asking->agent = agent;
	agent->nwaiting++;
	TAILQ_INSERT_TAIL(&agent->waiting, asking, link);
	evtimer_add(asking->timer, &wait);
	return true;
}

void asking_tell(struct agent *agent)
{
	bool is_settled = strcmp(machine_state(&agent->machine), "starting") != 0;
	struct asking *asking, *next;
	for (asking = TAILQ_FIRST(&agent->waiting); asking; asking = next) {
		next = TAILQ_NEXT(asking, link);
		if (asking->kind != ASK_REACH)
			continue;
		if (agent->has_failure)
			asking_fail(asking, &agent->failure);
		else if (is_settled)
			resume(asking);
	}
}

void asking_tell_log(struct agent *agent)
{
	struct asking *asking, *next;
	for (asking = TAILQ_FIRST(&agent->waiting); asking; asking = next) {
		next = TAILQ_NEXT(asking, link);
		if (asking->kind == ASK_LOGS)
			resume(asking);
	}
}

void asking_tell_snapshot(struct agent *agent)
{
	struct asking *asking, *next;
	for (asking = TAILQ_FIRST(&agent->waiting); asking; asking = next) {
		next = TAILQ_NEXT(asking, link);
		if (asking->kind == ASK_SNAPSHOTS ||
		    (asking->kind > ASK_SNAPSHOTS && !agent->saving))
			resume(asking);
	}
}

void asking_fail_all(struct agent *agent, const struct error *err)
{
	struct asking *asking;
	while ((asking = TAILQ_FIRST(&agent->waiting)))
		asking_fail(asking, err);
}

void asking_begin(struct sandbox *sandbox, enum asking_kind kind, const char *token,
    uint64_t wait_ms, uint64_t after, const void *more, struct bus_request *request)
{
	struct asking *asking = calloc(1, sizeof(*asking));
	bug_if(!asking);
	asking->sandbox = sandbox;
	asking->request = request;
	asking->kind = kind;
	asking->token = token;
	asking->until_ms = clock_boot_ms() + wait_ms;
	asking->after = after;
	asking->more = more;
	asking->timer = evtimer_new(sandbox->process->base, on_timer, asking);
	bug_if(!asking->timer);
	check_session(asking);
}
