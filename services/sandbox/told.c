/* told - what the driver says of containers, matched with what this host holds: what is not known here, by agent and boot, is killed. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "services/sandbox/agent.h"
#include "services/sandbox/asking.h"
#include "services/sandbox/exec.h"
#include "services/sandbox/files.h"
#include "services/sandbox/gateway_link.h"
#include "services/sandbox/holder.h"
#include "services/sandbox/housekeeping.h"
#include "services/sandbox/names.h"
#include "services/sandbox/restore.h"
#include "services/sandbox/start.h"
#include "services/sandbox/triggers.h"

#define HOLD_SLACK_MS 10000 /* the driver ends a hold by itself */

/* NULL: not a boot that is known of. */
static struct agent *find(const struct sandbox *sandbox, const struct driver_boot *of)
{
	struct agent *agent = agents_find(sandbox->agents, of->agent);
	bool is_its =
	    agent && !agent->start && agent->boot[0] && strcmp(agent->boot, of->boot) == 0;
	if (!is_its)
		log_debug("the driver tells of a boot that is not known", "agent", of->agent,
		    "boot", of->boot);
	return is_its ? agent : NULL;
}

static void drop(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void on_grown(void *arg)
{
	asking_tell_log(arg);
}

static void follow_log(struct agent *agent, int fd)
{
	struct sandbox *sandbox = agent->sandbox;
	const struct journal_config config = {.bytes = sandbox->log_kb * 1024,
	    .bytes_per_s = sandbox->log_kb_s * 1024,
	    .lost = sandbox->metrics.log_lost,
	    .grown = on_grown,
	    .arg = agent};
	if (!agent->journal)
		agent->journal = journal_new(sandbox->process->base, &config);
	journal_follow(agent->journal, fd);
}

static void take_address(struct agent *agent, struct in_addr address, uint16_t port)
{
	char text[INET_ADDRSTRLEN];
	agent_set_address(agent, address);
	inet_ntop(AF_INET, &address, text, sizeof(text));
	snprintf(agent->upstream, sizeof(agent->upstream), "%s:%u", text, port);
}

/* ---- what there is */

/* Of a boot that this host never noted, or of an owner before: it may not live, whoever it is of. */
static void kill_stray(
    struct sandbox *sandbox, struct agent *agent, const struct driver_found *found)
{
	struct error err;
	log_audit("agent", "outcome", "a container that is not held is killed", "agent",
	    found->of.agent, "boot", found->of.boot);
	metric_add(sandbox->metrics.strays, 1);
	/* also what is said to end: a start under way would go on */
	if (sandbox->driver->kill(sandbox->driven, &found->of, &err) != 0)
		log_warn("a container could not be killed now", "agent", found->of.agent, "why",
		    err.text);
	if (!agent)
		return;
	/* nothing new of it before this one is gone */
	if (agent->start)
		start_cancel(&agent->start);
	snprintf(agent->boot, sizeof(agent->boot), "%s", found->of.boot);
	machine_found(&agent->machine, true);
	agent->is_found = true;
}

static bool is_held(const struct agent *agent, const struct driver_found *found)
{
	const struct record *record = &agent->record;
	return !agent->is_damaged && record->wallet[0] && record->has_period &&
	       record->placement_len > 0 && record->wish != MACHINE_DOWN &&
	       strcmp(record->boot, found->of.boot) == 0 &&
	       strcmp(record->wallet, found->wallet) == 0 && record->period == found->period &&
	       found->port != 0;
}

static void adopt(struct agent *agent, const struct driver_found *found, int log)
{
	const struct record *record = &agent->record;
	if (agent->start)
		start_cancel(&agent->start);
	snprintf(agent->boot, sizeof(agent->boot), "%s", found->of.boot);
	take_address(agent, found->address, found->port);
	agent->started_ms = found->started_ms;
	agent->used_ms = clock_boot_ms();
	secret_destroy(&agent->gateway_token);
	agent->gateway_token =
	    boot_token(BOOT_TOKEN_GATEWAY, record->placement, record->placement_len, record->boot);
	machine_found(&agent->machine, false);
	agent->is_found = true;
	saved_filled(&agent->record.saved, agent->boot);
	if (agent->record.saved.must_fill &&
	    record->wish == MACHINE_UP) /* it was to be started with other files */
		machine_want_restart(&agent->machine);
	agent->save_at_ms = clock_boot_ms() + agent->sandbox->snapshot_interval_s * 1000;
	follow_log(agent, log);
	log_info("a running agent was found", "agent", agent->id, "boot", agent->boot);
}

static void on_found(void *arg, const struct driver_found *found, int log)
{
	struct sandbox *sandbox = arg;
	struct agent *agent = agents_find(sandbox->agents, found->of.agent);
	if (agent && agent->is_found) {
		log_warn("the driver has an agent twice", "agent", found->of.agent);
		drop(log);
	} else if (agent && !found->is_ending && is_held(agent, found)) {
		adopt(agent, found, log);
	} else {
		drop(log);
		kill_stray(sandbox, agent, found);
	}
}

/* What the driver does not name is not there any more. */
static void settle(struct agent *agent)
{
	struct error err;
	if (agent->is_found || agent->start || agent->machine.phase == MACHINE_NONE)
		return;
	agent->boot[0] = agent->upstream[0] = '\0';
	agent_set_address(agent, (struct in_addr){0});
	if (agent->machine.phase == MACHINE_STARTING) {
		error_refuse(
		    &err, ERR_UNAVAILABLE, "start_failed", "the driver forgot it while it started");
		agent_start_failed(agent, MACHINE_LATER, &err);
	} else {
		machine_gone(&agent->machine, clock_boot_ms());
	}
}

static void on_ready(void *arg, const struct driver_ready *ready, int resolver)
{
	struct sandbox *sandbox = arg;
	sandbox->is_driver_ready = true;
	sandbox->slots = ready->slots;
	sandbox->resolver = ready->resolver;
	names_listen(sandbox->names, resolver);
	for (size_t i = 0; i < agents_count(sandbox->agents); i++)
		settle(agents_at(sandbox->agents, i));
	for (size_t i = 0; i < agents_count(sandbox->agents); i++) {
		struct agent *agent = agents_at(sandbox->agents, i);
		if (agent->must_resume)
			snapshot_resume(agent);
		holder_reset_again(agent);
		if (sandbox->found_ticket && agent->machine.phase != MACHINE_NONE)
			holder_look_at_found(agent, sandbox->found_ticket);
		agent_step(agent);
	}
	follower_release(sandbox->process->follower, &sandbox->found_ticket);
}

static void on_lost(void *arg)
{
	struct sandbox *sandbox = arg;
	struct error err;
	sandbox->is_driver_ready = false;
	error_refuse(&err, ERR_UNAVAILABLE, "service_unavailable", "the driver is gone");
	names_listen(sandbox->names, -1);
	for (size_t i = 0; i < agents_count(sandbox->agents); i++) {
		struct agent *agent = agents_at(sandbox->agents, i);
		agent->is_found = agent->is_erasing = agent->is_driver_saving = false;
		agent->must_resume |= agent->hook == AGENT_HOOK_RESUME;
		agent->is_quiet |= agent->must_resume;
		agent->hook = AGENT_HOOK_NONE;
		exec_fail(agent, &err);
		snapshot_cancel_reading(agent, err.text);
		if (!agent->start) /* a start that the driver was not told of goes on */
			restore_destroy(&agent->restore);
	}
}

/* ---- one of them */

/* What it asks while it starts is answered by its owner's list, not by guessing. */
static void on_starting(void *arg, const struct driver_boot *of, struct in_addr address)
{
	struct agent *agent = find(arg, of);
	if (agent && agent->machine.phase == MACHINE_STARTING)
		agent_set_address(agent, address);
	if (agent)
		gateway_link_settle(agent); /* before anything of it runs */
}

/* The volume is filled. What was to be taken over, and had to wait for that, is at the next start. */
static void take_restored(struct agent *agent)
{
	bool was_handed = agent->restore && restore_is_handed(agent->restore);
	agent->save_at_ms = clock_boot_ms() + agent->sandbox->snapshot_interval_s * 1000;
	if (!agent->restore)
		return;
	metric_add(agent->sandbox->metrics.restores, 1);
	log_info("a volume was filled", "agent", agent->id, "number",
	    log_u64(restore_version(agent->restore)->number));
	if (!agent->record.saved.is_stale)
		saved_filled(&agent->record.saved, agent->boot);
	restore_destroy(&agent->restore);
	agent->restored_bytes = agent->restore_bytes = 0;
	agent->has_accepted |= was_handed;
	agent->is_accepting &= !was_handed;
	if (was_handed)
		snapshot_note(agent, "accepted", "");
	agent_save(agent, NULL, NULL);
	triggers_changed(agent);
}

static void on_started(
    void *arg, const struct driver_boot *of, struct in_addr address, uint16_t port, int log)
{
	struct sandbox *sandbox = arg;
	struct agent *agent = find(sandbox, of);
	struct error err;
	if (!agent || agent->machine.phase != MACHINE_STARTING || port == 0) {
		log_warn("the driver started what was not asked for", "agent", of->agent);
		drop(log);
		sandbox->driver->kill(sandbox->driven, of, &err);
		return;
	}
	take_address(agent, address, port);
	agent->started_ms = clock_unix_ms();
	agent->used_ms = clock_boot_ms();
	follow_log(agent, log);
	histogram_observe_us(sandbox->metrics.start_time, clock_boot_us() - agent->starting_us);
	take_restored(agent);
	machine_started(&agent->machine, clock_boot_ms());
	agent_step(agent);
}

/* The volume that was to be there is not: the next start fills one. */
static bool was_volume_missed(struct agent *agent, enum warden_failure failure)
{
	struct saved *saved = &agent->record.saved;
	if (failure != WARDEN_FAILURE_NO_VOLUME || saved->must_fill || saved->number == 0)
		return false;
	saved->must_fill = true;
	saved->filling[0] = '\0';
	return true;
}

static void on_failed(
    void *arg, const struct driver_boot *of, const char *why, enum warden_failure failure)
{
	struct agent *agent = find(arg, of);
	struct error err;
	if (!agent || agent->machine.phase == MACHINE_RUNNING)
		return;
	if (failure == WARDEN_FAILURE_ARCHIVE && agent->restore) {
		restore_failed(agent, why);
		return;
	}
	restore_destroy(&agent->restore);
	error_refuse(&err, ERR_UNAVAILABLE, "start_failed", "%s", why);
	agent_start_failed(
	    agent, was_volume_missed(agent, failure) ? MACHINE_OTHERWISE : MACHINE_BROKEN, &err);
	agent_step(agent);
}

static void describe(const struct driver_ended *ended, char *buf, size_t size)
{
	if (ended->was_oom)
		snprintf(buf, size, "out of memory");
	else if (ended->status < 0)
		snprintf(buf, size, "it ended");
	else if (WIFSIGNALED(ended->status))
		snprintf(buf, size, "ended by signal %d", WTERMSIG(ended->status));
	else
		snprintf(buf, size, "ended with status %d", WEXITSTATUS(ended->status));
}

static void on_ended(void *arg, const struct driver_boot *of, const struct driver_ended *ended)
{
	struct sandbox *sandbox = arg;
	struct agent *agent = find(sandbox, of);
	struct error err;
	char why[MACHINE_WHY_MAX + 1];
	if (!agent)
		return;
	describe(ended, why, sizeof(why));
	if (!ended->was_asked) {
		metric_add(sandbox->metrics.crashes, 1);
		log_warn("an agent ended by itself", "agent", agent->id, "why", why);
	}
	histogram_observe_us(sandbox->metrics.end_time, ended->us);
	agent->upstream[0] = '\0';
	if (agent->journal)
		journal_follow(agent->journal, -1);
	error_refuse(&err, ERR_UNAVAILABLE, "agent_ended", "the agent ended");
	exec_fail(agent, &err);
	if (ended->is_held) {
		machine_held(&agent->machine, clock_boot_ms(),
		    clock_boot_ms() + sandbox->snapshot_hold_s * 1000 + HOLD_SLACK_MS);
		triggers_held(agent);
	} else {
		machine_ended(&agent->machine, clock_boot_ms(), ended->was_asked, why);
	}
	agent_step(agent);
}

static void on_gone(void *arg, const struct driver_boot *of, const char *left)
{
	struct agent *agent = find(arg, of);
	if (left[0])
		log_warn("the driver could not clean up", "agent", of->agent, "what", left);
	if (!agent)
		return;
	machine_gone(&agent->machine, clock_boot_ms());
	agent->boot[0] = agent->upstream[0] = '\0';
	agent_set_address(agent, (struct in_addr){0});
	secret_destroy(&agent->gateway_token);
	restore_destroy(&agent->restore);
	triggers_gone(agent);
	agent_step(agent);
}

static void on_counted(void *arg, const struct driver_boot *of, uint64_t connections)
{
	struct sandbox *sandbox = arg;
	struct agent *agent = find(sandbox, of);
	uint64_t now = clock_boot_ms();
	if (!agent || agent->machine.phase != MACHINE_RUNNING)
		return;
	if (connections > 0)
		agent->used_ms = now;
	if (now - agent->used_ms < sandbox->idle_s * 1000)
		return;
	machine_want_sleep(&agent->machine);
	agent_step(agent);
}

static void on_was_reset(void *arg, const struct driver_boot *of, const char *why)
{
	struct agent *agent = find(arg, of);
	if (agent)
		holder_was_reset(agent, why);
}

static void on_execed(
    void *arg, const struct driver_boot *of, int status, bool was_cut, const char *why, int output)
{
	struct agent *agent = find(arg, of);
	if (agent && agent->hook)
		snapshot_told_hook(agent, status, why);
	else if (agent)
		exec_done(agent, status, was_cut, why, output);
	drop(output);
}

static void on_erased(void *arg, const char *id, const char *why)
{
	const struct sandbox *sandbox = arg;
	struct agent *agent = agents_find(sandbox->agents, id);
	if (agent && agent->is_erasing)
		housekeeping_erased(agent, why);
}

static void on_allowed(void *arg, uint64_t ticket)
{
	const struct sandbox *sandbox = arg;
	names_allowed(sandbox->names, ticket);
}

static void on_saving(void *arg, const struct driver_boot *of, uint64_t bytes, uint64_t total_bytes)
{
	struct agent *agent = find(arg, of);
	if (!agent)
		return;
	if (!agent->restore) {
		snapshot_told_saving(agent, bytes, total_bytes);
		return;
	}
	if (bytes > agent->restored_bytes)
		machine_goes_on(&agent->machine, clock_boot_ms());
	agent->restored_bytes = bytes;
	agent->restore_bytes = restore_version(agent->restore)->bytes;
	triggers_changed(agent);
}

static void on_snapshotted(
    void *arg, const struct driver_boot *of, const struct driver_snapshotted *snapshotted)
{
	struct agent *agent = find(arg, of);
	if (agent)
		snapshot_told(agent, snapshotted);
}

static bool is_alive(void *arg)
{
	return sandbox_knows(arg);
}

const struct driver_told told_hooks = {.found = on_found,
    .ready = on_ready,
    .lost = on_lost,
    .starting = on_starting,
    .started = on_started,
    .failed = on_failed,
    .ended = on_ended,
    .gone = on_gone,
    .counted = on_counted,
    .was_reset = on_was_reset,
    .execed = on_execed,
    .erased = on_erased,
    .allowed = on_allowed,
    .saving = on_saving,
    .snapshotted = on_snapshotted,
    .is_alive = is_alive};
