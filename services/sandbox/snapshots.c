/* sandbox.snapshots, snapshot, restore, discard, hand_over, accept - an owner's calls about what is saved of the agent. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "services/sandbox/asking.h"
#include "services/sandbox/offer.h"
#include "services/sandbox/roots.h"
#include "services/sandbox/triggers.h"

void sandbox_snapshots(
    struct sandbox *self, const struct sandbox_snapshots_req *req, struct bus_request *request)
{
	asking_begin(self, ASK_SNAPSHOTS, req->token, req->wait_ms, req->after, req, request);
}

void sandbox_snapshot(
    struct sandbox *self, const struct sandbox_snapshot_req *req, struct bus_request *request)
{
	asking_begin(self, ASK_SNAPSHOT, req->token, req->wait_ms, 0, req, request);
}

void sandbox_restore(
    struct sandbox *self, const struct sandbox_restore_req *req, struct bus_request *request)
{
	asking_begin(self, ASK_RESTORE, req->token, 0, 0, req, request);
}

void sandbox_discard(
    struct sandbox *self, const struct sandbox_discard_req *req, struct bus_request *request)
{
	asking_begin(self, ASK_DISCARD, req->token, 0, 0, req, request);
}

void sandbox_hand_over(
    struct sandbox *self, const struct sandbox_hand_over_req *req, struct bus_request *request)
{
	asking_begin(self, ASK_HAND_OVER, req->token, req->wait_ms, 0, req, request);
}

void sandbox_accept(
    struct sandbox *self, const struct sandbox_accept_req *req, struct bus_request *request)
{
	asking_begin(self, ASK_ACCEPT, req->token, 0, 0, req, request);
}

#define OFFER_MS 4000 /* of an answer that would have come at once */

/* ---- answers */

/* The same fields in messages of several types. */
#define DESCRIBE(rsp, agent) \
	do { \
		const struct saved *of_saved = &(agent)->record.saved; \
		snprintf((rsp)->doing, sizeof((rsp)->doing), "%s", snapshot_doing(agent)); \
		snapshot_progress(agent, &(rsp)->done_bytes, &(rsp)->total_bytes); \
		(rsp)->change = (agent)->change; \
		snprintf((rsp)->outcome, sizeof((rsp)->outcome), "%s", of_saved->outcome); \
		snprintf((rsp)->why, sizeof((rsp)->why), "%s", of_saved->why); \
		memcpy((rsp)->path, (agent)->refused_path, sizeof((agent)->refused_path)); \
		memcpy((rsp)->kind, (agent)->refused_kind, sizeof((agent)->refused_kind)); \
	} while (0)

static void list(const struct versions *versions, struct sandbox_snapshots_rsp *rsp)
{
	for (size_t i = 0; i < versions->n; i++) {
		const struct version *version = &versions->item[i];
		struct snapshots_item *item = &rsp->snapshots.item[rsp->snapshots.len++];
		item->id = version->number;
		item->created_ms = version->created_ms;
		item->bytes = version->bytes;
		item->stored_bytes = version->stored_bytes;
		item->files = version->files;
		item->damaged = version->is_damaged;
		memcpy(item->trigger, version->trigger, sizeof(version->trigger));
		memcpy(item->boot_id, version->boot, sizeof(version->boot));
	}
}

static void answer_list(struct asking *asking, const struct agent *agent)
{
	struct sandbox_snapshots_rsp *rsp = calloc(1, sizeof(*rsp));
	bug_if(!rsp);
	const struct agent *offered = agents_of(asking->sandbox->agents, asking->asset);
	if (offered)
		offer_describe(offered, asking->wallet, rsp);
	if (agent) {
		DESCRIBE(rsp, agent);
		list(&agent->record.saved.versions, rsp);
	}
	asking_reply(asking, rsp);
	free(rsp);
}

static void answer_snapshot(struct asking *asking, const struct agent *agent)
{
	struct sandbox_snapshot_rsp rsp = {0};
	if (agent) {
		DESCRIBE(&rsp, agent);
		rsp.id = agent->saving ? 0 : agent->record.saved.number;
	}
	asking_reply(asking, &rsp);
}

static void answer_hand_over(struct asking *asking, const struct agent *agent)
{
	struct sandbox_hand_over_rsp rsp = {0};
	if (agent)
		DESCRIBE(&rsp, agent);
	asking_reply(asking, &rsp);
}

static void answer_state(struct asking *asking, const struct agent *agent)
{
	struct sandbox_state_rsp rsp;
	agent_describe(agent, &rsp);
	asking_reply(asking, &rsp);
}

void snapshots_answer(struct asking *asking, struct agent *agent)
{
	struct sandbox_discard_rsp none = {0};
	if (asking->kind == ASK_SNAPSHOTS)
		answer_list(asking, agent);
	else if (asking->kind == ASK_SNAPSHOT)
		answer_snapshot(asking, agent);
	else if (asking->kind == ASK_HAND_OVER)
		answer_hand_over(asking, agent);
	else if (asking->kind == ASK_DISCARD)
		asking_reply(asking, &none);
	else
		answer_state(asking, agent);
}

#define ANSWER_HOST(type) \
	do { \
		struct type *host_rsp = calloc(1, sizeof(*host_rsp)); \
		bug_if(!host_rsp); \
		snprintf(host_rsp->host, sizeof(host_rsp->host), "%s", host); \
		asking_reply(asking, host_rsp); \
		free(host_rsp); \
	} while (0)

void snapshots_answer_host(struct asking *asking, const char *host)
{
	if (asking->kind == ASK_SNAPSHOTS)
		ANSWER_HOST(sandbox_snapshots_rsp);
	else if (asking->kind == ASK_SNAPSHOT)
		ANSWER_HOST(sandbox_snapshot_rsp);
	else if (asking->kind == ASK_HAND_OVER)
		ANSWER_HOST(sandbox_hand_over_rsp);
	else if (asking->kind == ASK_DISCARD)
		ANSWER_HOST(sandbox_discard_rsp);
	else
		ANSWER_HOST(sandbox_state_rsp);
}

/* ---- what they do */

static int refuse_none(struct error *err)
{
	return error_refuse(err, ERR_CONFLICT, "agent_not_running",
	    "it was not started here by this owner: start it first");
}

static int begin(struct agent *agent, struct error *err)
{
	if (!agent)
		return refuse_none(err);
	/* one that is under way is as good as another */
	if (agent->saving && strcmp(snapshot_doing(agent), "snapshot") == 0)
		return 0;
	return snapshot_begin(agent, SNAPSHOT_DEMAND, err);
}

static int restore(struct asking *asking, struct agent *agent, struct error *err)
{
	const struct sandbox_restore_req *req = asking->more;
	if (!agent)
		return error_refuse(
		    err, ERR_NOT_FOUND, "snapshot_unknown", "no such snapshot is kept");
	if (triggers_may_start(agent, err) != 0)
		return -1;
	return snapshot_begin_restore(agent, req->id, err);
}

static int discard(struct asking *asking, struct agent *agent, struct error *err)
{
	const struct sandbox_discard_req *req = asking->more;
	struct version *found =
	    agent ? versions_find(&agent->record.saved.versions, req->id) : NULL;
	if (!found)
		return error_refuse(
		    err, ERR_NOT_FOUND, "snapshot_unknown", "no such snapshot is kept");
	if (found == agent->record.saved.versions.item)
		return error_refuse(
		    err, ERR_CONFLICT, "snapshot_newest", "the newest one cannot be deleted");
	if (agent->saving || agent->restore)
		return error_refuse(err, ERR_BUSY, "snapshot_busy", "another one is under way");
	const struct version version = *found;
	versions_remove(&agent->record.saved.versions, version.number);
	snapshot_discard_version(agent, &version);
	agent_save(agent, NULL, NULL);
	return 0;
}

static int hand_over(struct asking *asking, struct agent *agent, struct error *err)
{
	const struct sandbox_hand_over_req *req = asking->more;
	char roots[WARDEN_ROOTS_BYTES] = {0}, root[ROOT_MAX + 1];
	if (!agent)
		return refuse_none(err);
	for (size_t i = 0; i < req->roots.len; i++) {
		const char *text = req->roots.item[i].root;
		if (!root_parse(text, strlen(text), root) || !roots_add(roots, root))
			return error_refuse(err, ERR_INVALID, "root_invalid",
			    "root %zu is not a folder below /data", i + 1);
	}
	return snapshot_begin_hand_over(agent, roots, err);
}

static int accept_handed(struct asking *asking, struct agent *agent, struct error *err)
{
	const struct sandbox_accept_req *req = asking->more;
	if (!agent)
		return refuse_none(err);
	if (!req->wanted)
		return snapshot_begin_hand_over(agent, "", err);
	if (agent->machine.phase == MACHINE_NONE && agent_has_room(agent, err) != 0)
		return -1;
	if (agent->machine.phase != MACHINE_RUNNING)
		asking_keep_token(asking, agent);
	if (triggers_accept(agent, err) != 0)
		return -1;
	agent->used_ms = clock_boot_ms();
	agent_step(agent);
	return 0;
}

static int act(struct asking *asking, struct agent *agent, struct error *err)
{
	switch (asking->kind) {
	case ASK_SNAPSHOT:
		return begin(agent, err);
	case ASK_RESTORE:
		return restore(asking, agent, err);
	case ASK_DISCARD:
		return discard(asking, agent, err);
	case ASK_HAND_OVER:
		return hand_over(asking, agent, err);
	case ASK_ACCEPT:
		return accept_handed(asking, agent, err);
	default:
		return 0;
	}
}

static bool must_wait(const struct asking *asking, const struct agent *agent)
{
	if (!agent)
		return false;
	if (asking->kind == ASK_SNAPSHOTS)
		return asking->after == agent->change && asking->after != 0;
	return (asking->kind == ASK_SNAPSHOT || asking->kind == ASK_HAND_OVER) && agent->saving;
}

/* Also to an owner who has not started it yet. */
static bool waits_for_offer(struct asking *asking)
{
	struct agent *agent;
	if (asking->kind != ASK_SNAPSHOTS)
		return false;
	agent = agents_make(asking->sandbox->agents, asking->asset);
	if (!offer_ask(agent, asking->wallet, asking->token))
		return false;
	if (asking->until_ms < clock_boot_ms() + OFFER_MS)
		asking->until_ms = clock_boot_ms() + OFFER_MS;
	return asking_wait(asking, agent);
}

void snapshots_act(struct asking *asking, struct agent *agent)
{
	struct error err;
	if (waits_for_offer(asking))
		return;
	if (act(asking, agent, &err) != 0)
		asking_fail(asking, &err);
	else if (!must_wait(asking, agent) || !asking_wait(asking, agent))
		snapshots_answer(asking, agent);
}
