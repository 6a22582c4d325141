/* sandbox.agents, halt, wake, exec, move - what an operator may do with the agents of this host. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "services/sandbox/agent.h"
#include "services/sandbox/exec.h"
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
	} else {
		error_refuse(
		    &failed, ERR_NOT_FOUND, "agent_unknown", "no agent of this asset is here");
		bus_fail(errand->request, &failed);
	}
	free(errand);
}

/* NULL: the call is answered, or will be. */
static struct agent *find(struct sandbox *self, const char *asset,
    void (*reply)(struct bus_request *, const char *), struct bus_request *request)
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
	*errand = (struct errand){.sandbox = self, .request = request, .reply = reply};
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
	struct agent *agent = find(self, req->asset, reply_host, request);
	if (!agent)
		return;
	note("halted by an operator", agent, request);
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
	return agent->machine.phase == MACHINE_NONE ? agent_has_room(agent, err) : 0;
}

void sandbox_wake(
    struct sandbox *self, const struct sandbox_wake_req *req, struct bus_request *request)
{
	struct agent *agent = find(self, req->asset, reply_host, request);
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
	struct agent *agent = find(self, req->asset, reply_exec_host, request);
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

static void on_taken(void *arg, const struct ledger_ended *out, const struct error *err)
{
	struct errand *errand = arg;
	struct error failed;
	if (err) {
		failed = sandbox_no_ledger(err);
		bus_fail(errand->request, &failed);
	} else if (!out->changed) {
		error_refuse(&failed, ERR_CONFLICT, "agent_moved", "another host has it since");
		bus_fail(errand->request, &failed);
	} else {
		process_announce(errand->sandbox->process, out->history, out->event, errand->asset);
		reply_moved(errand->request, true);
	}
	free(errand);
}

static void on_lost_place(void *arg, const char *host, const struct error *err)
{
	struct errand *errand = arg;
	const char *own = errand->sandbox->process->settings.replica;
	struct error failed;
	if (!err && host[0] && strcmp(host, own) != 0) {
		ledger_move(
		    errand->sandbox->process->redis, errand->asset, host, own, on_taken, errand);
		return;
	}
	if (err) {
		failed = sandbox_no_ledger(err);
		bus_fail(errand->request, &failed);
	} else if (host[0]) {
		reply_moved(errand->request, true);
	} else {
		error_refuse(&failed, ERR_NOT_FOUND, "agent_unknown", "no host has this agent");
		bus_fail(errand->request, &failed);
	}
	free(errand);
}

/* The old host is gone, says the operator. If it is not, it hears of it and kills what it has. */
static void take_lost(
    struct sandbox *self, const struct sandbox_move_req *req, struct bus_request *request)
{
	struct errand *errand = calloc(1, sizeof(*errand));
	bug_if(!errand);
	*errand = (struct errand){.sandbox = self, .request = request};
	snprintf(errand->asset, sizeof(errand->asset), "%s", req->asset);
	log_audit("agent", "outcome", "taken from a lost host", "asset", errand->asset, "operator",
	    bus_request_peer(request), "trace", bus_request_trace(request));
	ledger_place(self->process->redis, errand->asset, self->process->settings.replica, false,
	    on_lost_place, errand);
}

static bool is_replica(const char *name)
{
	return name[0] && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				       "0123456789-_.") == strlen(name);
}

static int may_move(const struct agent *agent, struct error *err)
{
	const struct saved *saved = &agent->record.saved;
	if (sandbox_serves(agent->sandbox, err) != 0)
		return -1;
	if (agent->machine.phase == MACHINE_NONE && saved->is_unsaved)
		return error_refuse(err, ERR_CONFLICT, "snapshot_needed",
		    "it has files that are not saved%s%s: its owner has to start it, or it is "
		    "moved as lost",
		    saved->why[0] ? ": " : "", saved->why);
	return 0;
}

void sandbox_move(
    struct sandbox *self, const struct sandbox_move_req *req, struct bus_request *request)
{
	const char *own = self->process->settings.replica;
	bool is_to_here = strcmp(req->to, own) == 0;
	uint8_t key[PUBKEY_LEN];
	struct error err;
	if (pubkey_parse(req->asset, key) != 0)
		error_refuse(&err, ERR_INVALID, "asset_invalid", "asset is not an address");
	else if (!is_replica(req->to) || (req->lost && !is_to_here))
		error_refuse(&err, ERR_INVALID, "host_invalid",
		    "to has to be the name of a sandbox; with lost, of the one that is asked");
	else if (req->lost) {
		take_lost(self, req, request);
		return;
	} else {
		struct agent *agent = find(self, req->asset, reply_move_host, request);
		if (!agent)
			return;
		if (is_to_here) {
			reply_moved(request, true);
			return;
		}
		if (may_move(agent, &err) == 0) {
			if (!agent->moving_to[0]) {
				note("moved by an operator", agent, request);
				triggers_move(agent, req->to);
			}
			reply_moved(request, false);
			return;
		}
	}
	bus_fail(request, &err);
}
