#include "services/sandbox/triggers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "services/sandbox/asking.h"
#include "services/sandbox/store_link.h"

#define AGAIN_MS 10000 /* a timer's snapshot that could not begin */

void triggers_changed(struct agent *agent)
{
	uint64_t now = clock_unix_ms();
	agent->change = now > agent->change ? now : agent->change + 1;
	asking_tell_snapshot(agent);
}

/* ---- before it sleeps, stops or moves */

uint64_t triggers_hold_ms(const struct agent *agent)
{
	const struct sandbox *sandbox = agent->sandbox;
	const struct saved *saved = &agent->record.saved;
	char why[160];
	bool is_to_last =
	    agent->machine.wish == MACHINE_ASLEEP || agent->machine.wish == MACHINE_DOWN;
	if (!is_to_last || !agent->record.wallet[0] || agent->record.placement_len == 0 ||
	    saved->is_stale || saved->must_fill ||
	    !store_link_is_ready(sandbox->store, why, sizeof(why)))
		return 0;
	return sandbox->snapshot_hold_s * 1000;
}

static enum snapshot_trigger why_held(const struct agent *agent)
{
	if (agent->moving_to[0])
		return SNAPSHOT_MOVE;
	return agent->machine.wish == MACHINE_ASLEEP ? SNAPSHOT_SLEEP : SNAPSHOT_STOP;
}

/* One that cannot begin for now is tried again for as long as the volume is held. */
static void save_held(struct agent *agent)
{
	struct error err;
	agent->is_to_save = false;
	if (snapshot_begin(agent, why_held(agent), &err) == 0)
		return;
	if (err.code == ERR_BUSY) {
		agent->is_to_save = true;
		return;
	}
	snapshot_note(agent, "failed", err.text);
	triggers_changed(agent);
	machine_want_release(&agent->machine);
}

void triggers_held(struct agent *agent)
{
	if (agent->saving)
		agent->is_to_save = true; /* once that one has ended */
	else
		save_held(agent);
}

/* ---- by the clock */

void triggers_tick(struct agent *agent, uint64_t now)
{
	uint64_t every = agent->sandbox->snapshot_interval_s * 1000;
	struct error err;
	if (agent->machine.is_held && agent->is_to_save && !agent->saving) {
		save_held(agent);
		agent_step(agent);
		return;
	}
	if (every == 0 || agent->machine.phase != MACHINE_RUNNING || agent->saving ||
	    now < agent->save_at_ms)
		return;
	if (snapshot_begin(agent, SNAPSHOT_TIMER, &err) != 0)
		log_debug("no snapshot now", "agent", agent->id, "why", err.text);
	agent->save_at_ms = now + (agent->saving || every < AGAIN_MS ? every : AGAIN_MS);
}

/* ---- what was handed over */

int triggers_accept(struct agent *agent, struct error *err)
{
	if (agent->machine.phase == MACHINE_RUNNING &&
	    snapshot_begin(agent, SNAPSHOT_DEMAND, err) != 0)
		return -1;
	agent->is_accepting = true;
	if (agent->machine.phase != MACHINE_RUNNING)
		machine_want_start(&agent->machine);
	return 0;
}

/* Saved as the new owner's own, it need not be offered any more. */
static void drop_handed(struct agent *agent)
{
	struct error err;
	agent->has_accepted = snapshot_begin_hand_over(agent, "", &err) != 0;
}

/* ---- what follows one */

void triggers_ended(struct agent *agent, enum snapshot_trigger trigger, bool is_good)
{
	struct machine *machine = &agent->machine;
	agent->save_at_ms = clock_boot_ms() + agent->sandbox->snapshot_interval_s * 1000;
	agent_save(agent, NULL, NULL);
	triggers_changed(agent);
	/* a restore that a crash had left in the dark is known now */
	bool is_outdated = agent->record.saved.must_fill && machine->phase == MACHINE_RUNNING &&
			   machine->wish == MACHINE_UP;
	if ((trigger == SNAPSHOT_RESTORE && is_good) || is_outdated)
		machine_want_restart(machine);
	else if (trigger == SNAPSHOT_DEMAND && agent->is_accepting && is_good)
		machine_want_restart(machine);
	else if (trigger == SNAPSHOT_DEMAND)
		agent->is_accepting = false;
	if (machine->is_held && agent->is_to_save && machine->wish != MACHINE_UP) {
		save_held(agent);
	} else if (machine->is_held) {
		if (is_good && trigger != SNAPSHOT_RESTORE && trigger != SNAPSHOT_HAND_OVER)
			agent->record.saved.is_unsaved = false;
		machine_want_release(machine);
		agent_save(agent, NULL, NULL);
	} else if (agent->has_accepted && is_good && trigger != SNAPSHOT_HAND_OVER) {
		drop_handed(agent);
	}
	agent_step(agent);
}

/* ---- to another host */

struct moving {
	struct sandbox *sandbox;
	char id[AGENT_ID_LEN + 1];
};

/* It could not be saved, or not be moved: it goes on here as before. */
static void stay(struct agent *agent)
{
	agent->moving_to[0] = '\0';
	if (agent->machine.wish == MACHINE_DOWN)
		agent->machine.wish = agent->wish_before_move;
	triggers_changed(agent);
}

static void on_moved(void *arg, const struct ledger_ended *out, const struct error *err)
{
	struct moving *moving = arg;
	struct sandbox *sandbox = moving->sandbox;
	struct agent *agent =
	    sandbox->is_stopping ? NULL : agents_find(sandbox->agents, moving->id);
	free(moving);
	if (!agent)
		return;
	if (err || !out->changed) {
		snapshot_note(
		    agent, "failed", err ? err->text : "the ledger has it on another host already");
		stay(agent);
		agent_step(agent);
		return;
	}
	agent->moving_to[0] = '\0';
	process_announce(sandbox->process, out->history, out->event, agent->record.asset);
	log_audit("agent", "outcome", "moved to another host", "asset", agent->record.asset);
	agent_is_elsewhere(agent);
}

static void move(struct agent *agent)
{
	struct moving *moving;
	if (agent->record.saved.is_unsaved) {
		stay(agent);
		return;
	}
	moving = calloc(1, sizeof(*moving));
	bug_if(!moving);
	moving->sandbox = agent->sandbox;
	memcpy(moving->id, agent->id, sizeof(moving->id));
	ledger_move(agent->sandbox->process->redis, agent->record.asset,
	    agent->sandbox->process->settings.replica, agent->moving_to, on_moved, moving);
}

void triggers_gone(struct agent *agent)
{
	bool was_to_save = agent->is_to_save;
	agent->is_driver_saving = agent->is_to_save = false;
	agent->is_quiet = agent->must_resume = false;
	agent->hook = AGENT_HOOK_NONE;
	snapshot_cancel_reading(agent, "it ended meanwhile");
	if (was_to_save && agent->record.saved.is_unsaved && agent->machine.wish != MACHINE_UP) {
		snapshot_note(agent, "failed", "others were saved until its time was over");
		triggers_changed(agent);
	}
	if (agent->moving_to[0])
		move(agent);
}

void triggers_move(struct agent *agent, const char *to)
{
	snprintf(agent->moving_to, sizeof(agent->moving_to), "%s", to);
	agent->wish_before_move = agent->machine.wish;
	machine_want_stop(&agent->machine);
	agent_step(agent);
	if (agent->machine.phase != MACHINE_NONE)
		return;
	move(agent);
	agent_step(agent);
}
