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
	if (triggers_is_moving(agent))
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
	if (triggers_is_moving(agent) && now >= agent->moving_until_ms)
		triggers_stay(agent);
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
	if (triggers_may_start(agent, err) != 0)
		return -1;
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
	bool is_to_restart =
	    trigger == SNAPSHOT_RESTORE || (trigger == SNAPSHOT_DEMAND && agent->is_accepting);
	if (is_outdated || (is_to_restart && is_good && !triggers_is_moving(agent)))
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
}

/* ---- to another host */

bool triggers_is_moving(const struct agent *agent)
{
	return agent->moving_until_ms != 0;
}

void triggers_move(struct agent *agent)
{
	if (!triggers_is_moving(agent))
		agent->moving_wish = agent->machine.wish;
	agent->moving_until_ms = clock_boot_ms() + SANDBOX_MOVE_MS;
	machine_want_stop(&agent->machine);
	agent_step(agent);
}

void triggers_stay(struct agent *agent)
{
	if (!triggers_is_moving(agent))
		return;
	agent->moving_until_ms = 0;
	agent->machine.wish = agent->moving_wish;
	log_audit("agent", "outcome", "not moved", "asset", agent->record.asset);
	agent_step(agent);
}

int triggers_may_start(const struct agent *agent, struct error *err)
{
	if (!triggers_is_moving(agent))
		return 0;
	error_refuse(err, ERR_BUSY, "snapshot_busy", "it is being moved to another host");
	err->retry_after_s = 5;
	return -1;
}
