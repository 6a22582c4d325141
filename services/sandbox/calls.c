/* sandbox.state, start, stop, restart, reach, logs - what an owner may do. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "services/sandbox/asking.h"
#include "services/sandbox/triggers.h"

#define GOOD_MS 5000

void sandbox_state(
    struct sandbox *self, const struct sandbox_state_req *req, struct bus_request *request)
{
	asking_begin(self, ASK_STATE, req->token, 0, 0, NULL, request);
}

void sandbox_start(
    struct sandbox *self, const struct sandbox_start_req *req, struct bus_request *request)
{
	asking_begin(self, ASK_START, req->token, 0, 0, NULL, request);
}

void sandbox_stop(
    struct sandbox *self, const struct sandbox_stop_req *req, struct bus_request *request)
{
	asking_begin(self, ASK_STOP, req->token, 0, 0, NULL, request);
}

void sandbox_restart(
    struct sandbox *self, const struct sandbox_restart_req *req, struct bus_request *request)
{
	asking_begin(self, ASK_RESTART, req->token, 0, 0, NULL, request);
}

void sandbox_reach(
    struct sandbox *self, const struct sandbox_reach_req *req, struct bus_request *request)
{
	asking_begin(self, ASK_REACH, req->token, req->wait_ms, 0, NULL, request);
}

void sandbox_logs(
    struct sandbox *self, const struct sandbox_logs_req *req, struct bus_request *request)
{
	asking_begin(self, ASK_LOGS, req->token, req->wait_ms, req->after, NULL, request);
}

/* ---- answers */

void agent_describe(const struct agent *agent, struct sandbox_state_rsp *rsp_r)
{
	*rsp_r = (struct sandbox_state_rsp){0};
	if (!agent) {
		snprintf(rsp_r->state, sizeof(rsp_r->state), "stopped");
		return;
	}
	snprintf(rsp_r->state, sizeof(rsp_r->state), "%s", machine_state(&agent->machine));
	snprintf(rsp_r->why, sizeof(rsp_r->why), "%s",
	    triggers_is_moving(agent) ? "it is being moved to another host" : agent->machine.why);
	const struct saved *saved = &agent->record.saved;
	rsp_r->started_ms = agent_runs(agent) ? agent->started_ms : 0;
	memcpy(rsp_r->boot_id, agent->record.boot, sizeof(agent->record.boot));
	snprintf(rsp_r->image, sizeof(rsp_r->image), "%s", agent->record.image);
	rsp_r->snapshot = saved->number;
	rsp_r->snapshot_ms = saved->versions.n > 0 ? saved->versions.item[0].created_ms : 0;
	snprintf(rsp_r->snapshot_why, sizeof(rsp_r->snapshot_why), "%s", saved->why);
}

static void answer_state(struct asking *asking, const struct agent *agent)
{
	struct sandbox_state_rsp rsp;
	agent_describe(agent, &rsp);
	asking_reply(asking, &rsp);
}

/* Whoever uses it asks again before it would be put to sleep. */
static uint64_t good_ms(const struct sandbox *sandbox)
{
	uint64_t half_ms = sandbox->idle_s * 1000 / 2;
	return half_ms > 0 && half_ms < GOOD_MS ? half_ms : GOOD_MS;
}

static void answer_reach(struct asking *asking, const struct agent *agent)
{
	struct sandbox_reach_rsp rsp = {0};
	struct sandbox_state_rsp state;
	agent_describe(agent, &state);
	memcpy(rsp.state, state.state, sizeof(rsp.state));
	memcpy(rsp.why, state.why, sizeof(rsp.why));
	memcpy(rsp.boot_id, state.boot_id, sizeof(rsp.boot_id));
	memcpy(rsp.image, state.image, sizeof(rsp.image));
	rsp.started_ms = state.started_ms;
	if (agent && agent_runs(agent)) {
		memcpy(rsp.upstream, agent->upstream, sizeof(rsp.upstream));
		memcpy(rsp.agent_token, secret_bytes(agent->gateway_token),
		    secret_len(agent->gateway_token));
		rsp.good_ms = good_ms(agent->sandbox);
		rsp.workers = agent->record.allows_workers;
	}
	asking_reply(asking, &rsp);
	sodium_memzero(&rsp, sizeof(rsp));
}

static void answer_logs(struct asking *asking, const struct agent *agent)
{
	struct sandbox_logs_rsp *rsp = calloc(1, sizeof(*rsp));
	bug_if(!rsp);
	rsp->next = asking->after;
	if (agent && agent->journal) {
		const struct ring_part part = ring_read(journal_ring(agent->journal), asking->after,
		    rsp->bytes.data, sizeof(rsp->bytes.data));
		rsp->bytes.len = part.len;
		rsp->next = part.next;
		rsp->lost = part.is_lost;
	}
	asking_reply(asking, rsp);
	sodium_memzero(rsp, sizeof(*rsp));
	free(rsp);
}

void asking_answer(struct asking *asking, struct agent *agent)
{
	if (asking->kind >= ASK_SNAPSHOTS)
		snapshots_answer(asking, agent);
	else if (asking->kind == ASK_REACH)
		answer_reach(asking, agent);
	else if (asking->kind == ASK_LOGS)
		answer_logs(asking, agent);
	else
		answer_state(asking, agent);
}

/* ---- what they do */

void asking_keep_token(const struct asking *asking, struct agent *agent)
{
	secret_destroy(&agent->owner_token);
	agent->owner_token = secret_new(asking->token, strlen(asking->token));
}

static bool is_idle(const struct agent *agent)
{
	return agent->machine.phase == MACHINE_NONE || agent->machine.phase == MACHINE_ENDING;
}

static void do_start(struct asking *asking, struct agent *agent, bool is_restart)
{
	struct error err;
	if (triggers_may_start(agent, &err) != 0 ||
	    (agent->machine.phase == MACHINE_NONE && agent_has_room(agent, &err) != 0)) {
		asking_fail(asking, &err);
		return;
	}
	agent->used_ms = clock_boot_ms();
	if (is_restart || is_idle(agent))
		asking_keep_token(asking, agent);
	if (is_restart)
		machine_want_restart(&agent->machine);
	else
		machine_want_start(&agent->machine);
	agent_step(agent);
	answer_state(asking, agent);
}

static void on_stop_saved(void *arg, const struct error *err)
{
	struct asking *asking = arg;
	if (err)
		asking_fail(asking, err);
	else
		answer_state(asking, agents_of(asking->sandbox->agents, asking->asset));
}

/* Answered once it is written down: a crash must not take the owner's word back. */
static void do_stop(struct asking *asking, struct agent *agent)
{
	if (!agent) {
		answer_state(asking, NULL);
		return;
	}
	triggers_stay(agent);
	machine_want_stop(&agent->machine);
	agent_step(agent);
	agent_save(agent, on_stop_saved, asking);
}

static void do_reach(struct asking *asking, struct agent *agent)
{
	const struct machine *machine = &agent->machine;
	struct error err;
	bool is_new = machine->wish == MACHINE_NEW || machine->wish == MACHINE_ASLEEP;
	bool must_start = is_new && machine->phase == MACHINE_NONE && !machine->is_failed;
	if (must_start && agent_has_room(agent, &err) != 0) {
		asking_fail(asking, &err);
		return;
	}
	agent->used_ms = clock_boot_ms();
	if (is_new && is_idle(agent))
		asking_keep_token(asking, agent);
	if (machine_want_wake(&agent->machine))
		agent_step(agent);
	if (must_start && agent->has_failure)
		asking_fail(asking, &agent->failure);
	else if (agent_runs(agent) || strcmp(machine_state(machine), "starting") != 0 ||
		 !asking_wait(asking, agent))
		answer_reach(asking, agent);
}

static void do_logs(struct asking *asking, struct agent *agent)
{
	bool has_new =
	    agent && agent->journal &&
	    (asking->after == 0 || ring_next(journal_ring(agent->journal)) != asking->after);
	if (has_new || !agent || !asking_wait(asking, agent))
		answer_logs(asking, agent);
}

void asking_act(struct asking *asking, struct agent *agent)
{
	switch (asking->kind) {
	case ASK_STATE:
		answer_state(asking, agent);
		break;
	case ASK_START:
	case ASK_RESTART:
		do_start(asking, agent, asking->kind == ASK_RESTART);
		break;
	case ASK_STOP:
		do_stop(asking, agent);
		break;
	case ASK_REACH:
		do_reach(asking, agent);
		break;
	case ASK_LOGS:
		do_logs(asking, agent);
		break;
	case ASK_SNAPSHOTS:
	case ASK_SNAPSHOT:
	case ASK_RESTORE:
	case ASK_DISCARD:
	case ASK_HAND_OVER:
	case ASK_ACCEPT:
		snapshots_act(asking, agent);
		break;
	}
}
