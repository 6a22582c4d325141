#include "services/sandbox/agent.h"

#include <arpa/inet.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/scoped.h"
#include "services/sandbox/asking.h"
#include "services/sandbox/exec.h"
#include "services/sandbox/files.h"
#include "services/sandbox/gateway_link.h"
#include "services/sandbox/holder.h"
#include "services/sandbox/offer.h"
#include "services/sandbox/restore.h"
#include "services/sandbox/start.h"
#include "services/sandbox/triggers.h"

/* ---- what is known of it */

bool agent_runs(const struct agent *agent)
{
	return agent->machine.phase == MACHINE_RUNNING && agent->upstream[0] &&
	       agent->gateway_token;
}

const char *agent_origin(const struct agent *agent, char *buf, size_t size)
{
	snprintf(buf, size, "%s%s.%s", agent->sandbox->scheme, agent->id,
	    agent->sandbox->process->settings.agents_domain);
	return buf;
}

static void token_text(char text[BOOT_TOKEN_LEN + 1], const struct secret *token)
{
	memcpy(text, secret_bytes(token), BOOT_TOKEN_LEN);
	text[BOOT_TOKEN_LEN] = '\0';
}

int agent_finish_files(const struct agent *agent, struct files *files, const char *kind,
    bool is_search, int *fd_r, struct error *err)
{
	const struct sandbox *sandbox = agent->sandbox;
	const struct record *record = &agent->record;
	scoped_secret struct secret *gateway =
	    boot_token(BOOT_TOKEN_GATEWAY, record->placement, record->placement_len, record->boot);
	scoped_secret struct secret *llm =
	    boot_token(BOOT_TOKEN_LLM, record->placement, record->placement_len, record->boot);
	char origin[512], gateway_text[BOOT_TOKEN_LEN + 1], llm_text[BOOT_TOKEN_LEN + 1], at[32];
	inet_ntop(AF_INET, &sandbox->resolver, at, sizeof(at));
	snprintf(at + strlen(at), sizeof(at) - strlen(at), ":%u", (unsigned)sandbox->llm_port);
	token_text(gateway_text, gateway);
	token_text(llm_text, llm);
	const struct files_own own = {.token = gateway_text,
	    .origin = agent_origin(agent, origin, sizeof(origin)),
	    .is_openclaw = strcmp(kind, "openclaw") == 0,
	    .is_search = is_search,
	    .providers = record->gateway_grant_len > 0 ? sandbox->providers : NULL,
	    .llm_token = llm_text,
	    .llm_address = at};
	int rc = files_finish(files, &own, fd_r, err);
	sodium_memzero(gateway_text, sizeof(gateway_text));
	sodium_memzero(llm_text, sizeof(llm_text));
	return rc;
}

static int has_room_beside(const struct sandbox *sandbox, size_t others, struct error *err)
{
	if (others < sandbox->agents_max && others < sandbox->slots)
		return 0;
	error_refuse(err, ERR_BUSY, "host_full", "%zu agents run on this host", others);
	err->retry_after_s = 60;
	return -1;
}

int agents_have_room(const struct sandbox *sandbox, struct error *err)
{
	return has_room_beside(sandbox, agents_active(sandbox->agents), err);
}

int agent_has_room(const struct agent *agent, struct error *err)
{
	const struct sandbox *sandbox = agent->sandbox;
	return has_room_beside(
	    sandbox, agents_active(sandbox->agents) - (agent->machine.phase != MACHINE_NONE), err);
}

/* What is to be so after a restart of this process, too: a move is not. */
static enum machine_wish lasting_wish(const struct agent *agent)
{
	return triggers_is_moving(agent) ? agent->moving_wish : agent->machine.wish;
}

void agent_save(struct agent *agent, records_done done, void *arg)
{
	agent->record.wish = lasting_wish(agent);
	records_write(agent->sandbox->records, agent->id, &agent->record, done, arg);
}

/* ---- telling */

/* Lost if Redis is not there: then no router has a lease either, and asks anew later. */
void agent_announce(const struct agent *agent, const char *kind)
{
	process_add_event(agent->sandbox->process, agent->record.asset, kind, NULL, NULL);
}

static void show(struct agent *agent)
{
	const char *state = machine_state(&agent->machine);
	if (agent->is_damaged || strcmp(agent->shown, state) == 0)
		return;
	log_info("agent", "agent", agent->id, "state", state, "was", agent->shown, "why",
	    agent->machine.why[0] ? agent->machine.why : NULL);
	snprintf(agent->shown, sizeof(agent->shown), "%s", state);
	agent_announce(agent, "agent");
}

/* ---- doing */

static void forget_boot(struct agent *agent)
{
	agent->boot[0] = agent->upstream[0] = '\0';
	agent_set_address(agent, (struct in_addr){0});
	agent->started_ms = 0;
	secret_destroy(&agent->gateway_token);
}

static void begin(struct agent *agent)
{
	struct error err;
	agent->has_failure = false;
	agent->starting_us = clock_boot_us();
	if (sandbox_serves(agent->sandbox, &err) != 0 || agent_has_room(agent, &err) != 0) {
		agent_start_failed(
		    agent, agent->record.placement_len ? MACHINE_LATER : MACHINE_REFUSED, &err);
		return;
	}
	start_new(agent);
}

/* Nobody but this process knows of it yet: nothing is to be killed. */
static void drop_start(struct agent *agent)
{
	start_cancel(&agent->start);
	machine_gone(&agent->machine, clock_boot_ms());
	forget_boot(agent);
}

static void end(struct agent *agent, enum machine_action action)
{
	struct sandbox *sandbox = agent->sandbox;
	const struct driver_boot of = {agent->id, agent->boot};
	struct error err;
	gateway_link_settle(agent); /* it is told, not waited for */
	if (agent->start) {
		drop_start(agent);
		return;
	}
	/* without a driver: it is found again, and this is done then */
	int rc;
	if (action == MACHINE_KILL) {
		rc = sandbox->driver->kill(sandbox->driven, &of, &err);
		metric_add(sandbox->metrics.kills, 1);
	} else if (action == MACHINE_RELEASE) {
		rc = sandbox->driver->release(sandbox->driven, &of, &err);
	} else {
		rc = sandbox->driver->stop(
		    sandbox->driven, &of, sandbox->grace_ms, triggers_hold_ms(agent), &err);
	}
	if (action != MACHINE_STOP) /* nothing good comes of it any more */
		snapshot_cancel_reading(agent, "the agent was needed, or ended, meanwhile");
	if (rc != 0)
		log_warn("an agent could not be stopped now", "agent", agent->id, "why", err.text);
	agent->upstream[0] = '\0';
}

static void arm(struct agent *agent)
{
	uint64_t ms = machine_wait_ms(&agent->machine, clock_boot_ms());
	if (ms == UINT64_MAX) {
		evtimer_del(agent->timer);
		return;
	}
	const struct timeval wait = {
	    .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000 + 1000)};
	evtimer_add(agent->timer, &wait);
}

/* An unserved wish waits until its driver is there; what is to end is ended at once. */
static bool may_act(const struct agent *agent)
{
	return !agent->sandbox->is_stopping && agent->sandbox->is_driver_ready &&
	       !(agent->is_damaged && agent->machine.phase == MACHINE_NONE);
}

static void act(struct agent *agent)
{
	enum machine_action action;
	unsigned steps = 0;
	while (may_act(agent) && steps++ < 8 &&
	       (action = machine_next(&agent->machine, clock_boot_ms())) != MACHINE_WAIT) {
		if (action == MACHINE_START)
			begin(agent);
		else
			end(agent, action);
	}
	if (may_act(agent))
		arm(agent);
}

void agent_step(struct agent *agent)
{
	if (agent->sandbox->is_stopping)
		return;
	act(agent);
	gateway_link_settle(agent);
	if (agent->record.wish != lasting_wish(agent) && agent->record.wallet[0] &&
	    !agent->is_damaged)
		agent_save(agent, NULL, NULL);
	show(agent);
	holder_settle(agent);
	asking_tell(agent);
}

void agent_start_failed(struct agent *agent, enum machine_fault fault, const struct error *err)
{
	const char *name = fault == MACHINE_BROKEN    ? "broken"
			   : fault == MACHINE_REFUSED ? "refused"
						      : "unavailable";
	char labels[32];
	snprintf(labels, sizeof(labels), "reason=\"%s\"", name);
	metric_add(metrics_counter(agent->sandbox->process->metrics,
		       "multiclaw_sandbox_start_failures_total",
		       "Starts that came to nothing, by reason.", labels),
	    1);
	log_warn("an agent did not start", "agent", agent->id, "why", err->text);
	agent->failure = *err;
	agent->has_failure = fault != MACHINE_BROKEN;
	if (fault != MACHINE_OTHERWISE)
		agent->is_accepting = false;
	forget_boot(agent);
	machine_not_started(&agent->machine, clock_boot_ms(), fault, err->text);
}

/* ---- owners */

static void forget_period(struct agent *agent)
{
	restore_destroy(&agent->restore);
	offer_destroy(&agent->offer);
	agent->moving_until_ms = 0;
	agent->refused_path[0] = agent->refused_kind[0] = '\0';
	agent->is_accepting = agent->has_accepted = agent->is_to_save = false;
	secret_destroy(&agent->owner_token);
	secret_destroy(&agent->gateway_token);
	agent->upstream[0] = '\0';
	journal_destroy(&agent->journal);
	agent->machine.wish = MACHINE_NEW;
	agent_save(agent, NULL, NULL);
}

void agent_is_over(struct agent *agent)
{
	struct error err;
	if (!agent->record.wallet[0])
		return;
	machine_want_kill(&agent->machine, MACHINE_NEW, "");
	agent->has_failure = false;
	error_refuse(&err, ERR_UNAUTHENTICATED, "session_revoked",
	    "somebody else was seen to own the asset since");
	act(agent); /* the KILL goes first */
	snapshot_cancel(agent, "somebody else was seen to own the asset since");
	log_audit("agent", "outcome", "owner is another", "asset", agent->record.asset, "wallet",
	    agent->record.wallet);
	asking_fail_all(agent, &err);
	exec_fail(agent, &err);
	record_end_period(&agent->record, clock_unix_ms());
	forget_period(agent);
	agent_step(agent);
}

void agent_is_elsewhere(struct agent *agent)
{
	struct error err;
	if (!agent->record.wallet[0])
		return;
	machine_want_kill(&agent->machine, MACHINE_NEW, "");
	agent->has_failure = false;
	act(agent); /* the KILL goes first */
	snapshot_cancel(agent, "another host has it");
	log_audit("agent", "outcome", "another host has it", "asset", agent->record.asset);
	error_refuse(&err, ERR_UNAVAILABLE, "service_unavailable", "another host has it");
	asking_fail_all(agent, &err);
	exec_fail(agent, &err);
	record_move_away(&agent->record, clock_unix_ms());
	forget_period(agent);
	agent_step(agent);
}

void agent_is_unvouched(struct agent *agent)
{
	enum machine_wish wish = agent->machine.wish;
	struct error err;
	if (agent->machine.phase == MACHINE_NONE && wish != MACHINE_UP)
		return;
	machine_want_kill(&agent->machine, wish == MACHINE_UP ? MACHINE_ASLEEP : wish,
	    "nobody vouches for its owner");
	act(agent);
	log_audit("agent", "outcome", "nobody vouches for its owner", "asset", agent->record.asset,
	    "wallet", agent->record.wallet);
	error_refuse(&err, ERR_UNAUTHENTICATED, "session_revoked", "nobody vouches for the owner");
	asking_fail_all(agent, &err);
	exec_fail(agent, &err);
	agent_step(agent);
}

void agent_is_revoked(struct agent *agent, const char *epoch)
{
	struct record *record = &agent->record;
	enum machine_wish wish = agent->machine.wish;
	struct error err;
	snprintf(record->epoch, sizeof(record->epoch), "%s", epoch);
	record_drop_placement(record);
	secret_destroy(&agent->owner_token);
	machine_want_kill(
	    &agent->machine, wish == MACHINE_DOWN ? wish : MACHINE_NEW, "all sessions were ended");
	act(agent); /* the KILL goes first */
	log_audit("agent", "outcome", "all sessions were ended", "asset", record->asset, "wallet",
	    record->wallet);
	/* who asked with a session made since comes again */
	error_refuse(&err, ERR_UNAVAILABLE, "service_unavailable", "all sessions were ended");
	asking_fail_all(agent, &err);
	exec_fail(agent, &err);
	agent_save(agent, NULL, NULL);
	agent_step(agent);
}

void agent_end_others(struct agent *agent, const char *wallet)
{
	if (agent->record.wallet[0] && strcmp(agent->record.wallet, wallet) != 0)
		agent_is_over(agent);
}

void agent_take_owner(struct agent *agent, const char *wallet, uint64_t slot)
{
	struct record *record = &agent->record;
	agent_end_others(agent, wallet);
	if (!record->wallet[0]) {
		snprintf(record->wallet, sizeof(record->wallet), "%s", wallet);
		record->slot = slot;
	} else if (slot > record->slot && agent->machine.phase == MACHINE_NONE) {
		record->slot = slot;
	}
}
