/* sandbox.agents, halt, wake, exec, move - what an operator may do with the agents of this host. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/suite_settings.h"
#include "services/sandbox/agent.h"
#include "services/sandbox/exec.h"
#include "services/sandbox/store_link.h"
#include "services/sandbox/triggers.h"

static void describe(const struct agent *agent, struct agents_item *item_r)
{
	memcpy(item_r->agent, agent->id, sizeof(item_r->agent));
	memcpy(item_r->asset, agent->record.asset, sizeof(agent->record.asset));
	memcpy(item_r->wallet, agent->record.wallet, sizeof(agent->record.wallet));
	item_r->slot = agent->record.slot;
	snprintf(item_r->state, sizeof(item_r->state), "%s", machine_state(&agent->machine));
	snprintf(item_r->why, sizeof(item_r->why), "%s", agent->machine.why);
	memcpy(item_r->boot_id, agent->record.boot, sizeof(agent->record.boot));
	memcpy(item_r->upstream, agent->upstream, sizeof(item_r->upstream));
	item_r->started_ms = agent->started_ms;
	item_r->restarts = agent->machine.restarts;
}

void sandbox_agents(
    struct sandbox *self, const struct sandbox_agents_req *req, struct bus_request *request)
{
	struct sandbox_agents_rsp *rsp = calloc(1, sizeof(*rsp));
	bug_if(!rsp);
	size_t i = agents_after(self->agents, req->after), n = agents_count(self->agents);
	for (; i < n && rsp->agents.len < ARRAY_LEN(rsp->agents.item); i++) {
		const struct agent *agent = agents_at(self->agents, i);
		if (!agent->is_damaged && agent->record.wallet[0])
			describe(agent, &rsp->agents.item[rsp->agents.len++]);
	}
	rsp->more = i < n;
	bus_reply(request, rsp);
	free(rsp);
}

/* ---- which agent */

struct errand {
	struct sandbox *sandbox;
	struct bus_request *request;
	char asset[PUBKEY_TEXT_MAX + 1];
	void (*reply)(struct bus_request *request, const char *host);
	void (*reply_empty)(struct bus_request *request); /* it is to be here; NULL: unknown */
};

static void reply_host(struct bus_request *request, const char *host)
{
	struct sandbox_state_rsp rsp = {0};
	snprintf(rsp.host, sizeof(rsp.host), "%s", host);
	bus_reply(request, &rsp);
}

static void reply_exec_host(struct bus_request *request, const char *host)
{
	struct sandbox_exec_rsp *rsp = calloc(1, sizeof(*rsp));
	bug_if(!rsp);
	snprintf(rsp->host, sizeof(rsp->host), "%s", host);
	bus_reply(request, rsp);
	free(rsp);
}

static void on_place(void *arg, const char *host, const struct error *err)
{
	struct errand *errand = arg;
	struct error failed;
	bool is_here = !err && strcmp(host, errand->sandbox->process->settings.replica) == 0;
	if (err) {
		failed = sandbox_no_ledger(err);
		bus_fail(errand->request, &failed);
	} else if (host[0] && !is_here) {
		errand->reply(errand->request, host);
	} else if (is_here && errand->reply_empty) {
		errand->reply_empty(errand->request);
	} else {
		error_refuse(
		    &failed, ERR_NOT_FOUND, "agent_unknown", "no agent of this asset is here");
		bus_fail(errand->request, &failed);
	}
	free(errand);
}

/* NULL: the call is answered, or will be. */
static struct agent *find(struct sandbox *self, const char *asset,
    void (*reply)(struct bus_request *, const char *), void (*reply_empty)(struct bus_request *),
    struct bus_request *request)
{
	struct agent *agent = agents_of(self->agents, asset);
	struct error err;
	uint8_t key[PUBKEY_LEN];
	if (pubkey_parse(asset, key) != 0) {
		error_refuse(&err, ERR_INVALID, "asset_invalid", "asset is not an address");
		bus_fail(request, &err);
		return NULL;
	}
	if (agent && !agent->is_damaged && agent->record.wallet[0])
		return agent;
	struct errand *errand = calloc(1, sizeof(*errand));
	bug_if(!errand);
	*errand = (struct errand){
	    .sandbox = self, .request = request, .reply = reply, .reply_empty = reply_empty};
	snprintf(errand->asset, sizeof(errand->asset), "%s", asset);
	ledger_place(self->process->redis, errand->asset, self->process->settings.replica, false,
	    on_place, errand);
	return NULL;
}

static void answer(const struct agent *agent, struct bus_request *request)
{
	struct sandbox_state_rsp rsp;
	agent_describe(agent, &rsp);
	bus_reply(request, &rsp);
}

static void note(const char *act, const struct agent *agent, struct bus_request *request)
{
	log_audit("agent", "outcome", act, "asset", agent->record.asset, "operator",
	    bus_request_peer(request), "trace", bus_request_trace(request));
}

/* ---- calls */

/* Also without a lease: stopping needs no knowledge. */
void sandbox_halt(
    struct sandbox *self, const struct sandbox_halt_req *req, struct bus_request *request)
{
	struct agent *agent = find(self, req->asset, reply_host, NULL, request);
	if (!agent)
		return;
	note("halted by an operator", agent, request);
	triggers_stay(agent);
	machine_want_kill(&agent->machine, MACHINE_DOWN, "halted by an operator");
	agent_step(agent);
	answer(agent, request);
}

static int may_wake(const struct agent *agent, struct error *err)
{
	if (sandbox_serves(agent->sandbox, err) != 0)
		return -1;
	if (agent->record.placement_len == 0)
		return error_refuse(
		    err, ERR_CONFLICT, "owner_needed", "its owner has not started it here");
	if (triggers_may_start(agent, err) != 0)
		return -1;
	return agent->machine.phase == MACHINE_NONE ? agent_has_room(agent, err) : 0;
}

void sandbox_wake(
    struct sandbox *self, const struct sandbox_wake_req *req, struct bus_request *request)
{
	struct agent *agent = find(self, req->asset, reply_host, NULL, request);
	struct error err;
	if (!agent)
		return;
	if (may_wake(agent, &err) != 0) {
		bus_fail(request, &err);
		return;
	}
	note("woken by an operator", agent, request);
	agent->used_ms = clock_boot_ms();
	machine_want_start(&agent->machine);
	agent_step(agent);
	answer(agent, request);
}

void sandbox_exec(
    struct sandbox *self, const struct sandbox_exec_req *req, struct bus_request *request)
{
	struct agent *agent = find(self, req->asset, reply_exec_host, NULL, request);
	struct error err;
	if (!agent)
		return;
	if (sandbox_serves(self, &err) != 0)
		bus_fail(request, &err);
	else
		exec_begin(agent, req, request);
}

/* ---- move */

static void reply_move_host(struct bus_request *request, const char *host)
{
	struct sandbox_move_rsp rsp = {0};
	snprintf(rsp.host, sizeof(rsp.host), "%s", host);
	bus_reply(request, &rsp);
}

static void reply_moved(struct bus_request *request, bool is_moved)
{
	struct sandbox_move_rsp rsp = {.moved = is_moved};
	if (!is_moved)
		snprintf(rsp.doing, sizeof(rsp.doing), "move");
	bus_reply(request, &rsp);
}

/* Nothing of it is here: there is nothing to save. */
static void reply_moved_empty(struct bus_request *request)
{
	reply_moved(request, true);
}

static int may_move(const struct agent *agent, struct error *err)
{
	const struct saved *saved = &agent->record.saved;
	char why[160];
	if (sandbox_serves(agent->sandbox, err) != 0)
		return -1;
	/* it would be stopped for nothing */
	if (agent->machine.phase != MACHINE_NONE &&
	    !store_link_is_ready(agent->sandbox->store, why, sizeof(why)))
		return error_refuse(err, ERR_UNAVAILABLE, "service_unavailable", "%s", why);
	if (agent->machine.phase == MACHINE_NONE && saved->is_unsaved)
		return error_refuse(err, ERR_CONFLICT, "snapshot_needed",
		    "it has files that are not saved%s%s: its owner has to start it, or it is "
		    "moved as lost",
		    saved->why[0] ? ": " : "", saved->why);
	return 0;
}

static int check_move(struct sandbox *self, const struct sandbox_move_req *req, struct error *err)
{
	const struct agent *agent;
	uint8_t key[PUBKEY_LEN];
	if (pubkey_parse(req->asset, key) != 0)
		return error_refuse(err, ERR_INVALID, "asset_invalid", "asset is not an address");
	if (!suite_settings_is_replica(req->to))
		return error_refuse(
		    err, ERR_INVALID, "host_invalid", "to has to be the name of a sandbox");
	agent = agents_of(self->agents, req->asset);
	if (agent && agent->is_damaged)
		return error_refuse(err, ERR_UNAVAILABLE, "record_damaged",
		    "this host's record of the agent is damaged: look at it first");
	return 0;
}

/* Each call keeps it stopped for longer. */
static void go_on_to_move(struct agent *agent, struct bus_request *request)
{
	struct error err;
	if (may_move(agent, &err) != 0) {
		if (err.code == ERR_CONFLICT)
			triggers_stay(agent);
		bus_fail(request, &err);
		return;
	}
	if (!triggers_is_moving(agent))
		note("to be moved, by an operator", agent, request);
	triggers_move(agent);
	reply_moved(request, agent->machine.phase == MACHINE_NONE && !agent->saving &&
				 !agent->record.saved.is_unsaved);
}

void sandbox_move(
    struct sandbox *self, const struct sandbox_move_req *req, struct bus_request *request)
{
	struct agent *agent;
	struct error err;
	if (check_move(self, req, &err) != 0) {
		bus_fail(request, &err);
		return;
	}
	agent = find(self, req->asset, reply_move_host, reply_moved_empty, request);
	if (!agent)
		return;
	if (strcmp(req->to, self->process->settings.replica) == 0)
		reply_moved(request, true); /* it stays */
	else
		go_on_to_move(agent, request);
}
