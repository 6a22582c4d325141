#include "services/sandbox/machine.h"

#include "services/sandbox/text.h"

void machine_init(
    struct machine *machine, const struct machine_rules *rules, enum machine_wish wish)
{
	*machine = (struct machine){.rules = rules, .wish = wish};
}

/* Words of warden and of the runtime may hold an image's own, any bytes: they travel, and are shown, as plain text. */
static void say(struct machine *machine, const char *why)
{
	text_copy(machine->why, sizeof(machine->why), why);
}

/* The owner's word, or a success: what went wrong before does not count any more. */
static void forgive(struct machine *machine)
{
	machine->is_failed = false;
	machine->again_at = machine->backoff_ms = 0;
	machine->ncrashes = 0;
	machine->restarts = 0;
	say(machine, "");
}

static void set_phase(struct machine *machine, enum machine_phase phase)
{
	machine->phase = phase;
	machine->patience_at = 0;
	if (phase == MACHINE_NONE)
		machine->must_cycle = machine->must_kill = machine->was_killed = machine->is_held =
		    machine->must_release = false;
}

/* ---- wishes */

void machine_want_start(struct machine *machine)
{
	forgive(machine);
	machine->wish = MACHINE_UP;
}

void machine_want_restart(struct machine *machine)
{
	forgive(machine);
	machine->wish = MACHINE_UP;
	machine->must_cycle =
	    machine->phase == MACHINE_STARTING || machine->phase == MACHINE_RUNNING;
}

void machine_want_stop(struct machine *machine)
{
	forgive(machine);
	machine->wish = MACHINE_DOWN;
}

void machine_want_sleep(struct machine *machine)
{
	if (machine->wish == MACHINE_UP)
		machine->wish = MACHINE_ASLEEP;
}

bool machine_want_wake(struct machine *machine)
{
	if (machine->is_failed || machine->wish == MACHINE_DOWN)
		return false;
	if (machine->wish != MACHINE_UP)
		forgive(machine);
	machine->wish = MACHINE_UP;
	return true;
}

void machine_want_kill(struct machine *machine, enum machine_wish wish, const char *why)
{
	forgive(machine);
	machine->wish = wish;
	machine->must_kill = machine->phase != MACHINE_NONE;
	say(machine, why);
}

/* ---- what the driver said */

static void back_off(struct machine *machine, uint64_t now)
{
	const struct machine_rules *rules = machine->rules;
	uint64_t next = machine->backoff_ms ? 2 * machine->backoff_ms : rules->backoff_ms;
	machine->backoff_ms = next > rules->backoff_max_ms ? rules->backoff_max_ms : next;
	machine->again_at = now + machine->backoff_ms;
}

static void forget_old_crashes(struct machine *machine, uint64_t now)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < machine->ncrashes; i++)
		if (now - machine->crash[i] < machine->rules->restarts_window_ms)
			machine->crash[kept++] = machine->crash[i];
	machine->ncrashes = kept;
}

static void crash(struct machine *machine, uint64_t now, const char *why)
{
	say(machine, why);
	if (machine->wish != MACHINE_UP)
		return;
	forget_old_crashes(machine, now);
	if (machine->ncrashes == 0)
		machine->backoff_ms = 0; /* it had run for long */
	if (machine->ncrashes < MACHINE_CRASHES_MAX)
		machine->crash[machine->ncrashes++] = now;
	if (machine->ncrashes > machine->rules->restarts_max ||
	    machine->ncrashes == MACHINE_CRASHES_MAX) {
		machine->is_failed = true;
		return;
	}
	machine->restarts++;
	back_off(machine, now);
}

void machine_started(struct machine *machine, uint64_t now)
{
	(void)now;
	if (machine->phase != MACHINE_STARTING)
		return;
	set_phase(machine, MACHINE_RUNNING);
	say(machine, "");
}

void machine_not_started(
    struct machine *machine, uint64_t now, enum machine_fault fault, const char *why)
{
	bool was_wanted = machine->phase == MACHINE_STARTING && !machine->must_kill;
	set_phase(machine, MACHINE_NONE);
	if (!was_wanted || machine->wish != MACHINE_UP)
		return;
	if (fault == MACHINE_BROKEN) {
		crash(machine, now, why);
		return;
	}
	if (fault == MACHINE_OTHERWISE)
		return;
	say(machine, why);
	if (fault == MACHINE_REFUSED)
		machine->wish = MACHINE_NEW;
	else
		back_off(machine, now);
}

void machine_ended(struct machine *machine, uint64_t now, bool was_asked, const char *why)
{
	if (machine->phase != MACHINE_STARTING && machine->phase != MACHINE_RUNNING)
		return;
	set_phase(machine, MACHINE_ENDING);
	if (!was_asked && !machine->must_cycle && !machine->must_kill)
		crash(machine, now, why);
}

void machine_held(struct machine *machine, uint64_t now, uint64_t until)
{
	machine_ended(machine, now, true, "");
	machine->is_held = true;
	machine->patience_at = until;
}

void machine_goes_on(struct machine *machine, uint64_t now)
{
	if (machine->phase == MACHINE_STARTING)
		machine->patience_at = now + machine->rules->start_max_ms;
}

void machine_want_release(struct machine *machine)
{
	machine->must_release = true;
}

void machine_gone(struct machine *machine, uint64_t now)
{
	machine_ended(machine, now, false, "it vanished");
	set_phase(machine, MACHINE_NONE);
}

void machine_found(struct machine *machine, bool is_killed)
{
	set_phase(machine, is_killed ? MACHINE_ENDING : MACHINE_RUNNING);
	machine->was_killed = is_killed;
}

/* ---- what to do */

static enum machine_action end(struct machine *machine, uint64_t now, enum machine_action action)
{
	machine->phase = MACHINE_ENDING;
	machine->patience_at = now + machine->rules->stop_max_ms;
	machine->was_killed = action == MACHINE_KILL;
	return action;
}

static bool has_no_patience(const struct machine *machine, uint64_t now)
{
	return machine->patience_at && now >= machine->patience_at;
}

static enum machine_action next_of_starting(struct machine *machine, uint64_t now)
{
	if (machine->must_kill || machine->must_cycle || machine->wish != MACHINE_UP)
		return end(machine, now, MACHINE_KILL);
	if (!has_no_patience(machine, now))
		return MACHINE_WAIT;
	crash(machine, now, "the start took too long");
	return end(machine, now, MACHINE_KILL);
}

enum machine_action machine_next(struct machine *machine, uint64_t now)
{
	switch (machine->phase) {
	case MACHINE_NONE:
		if (machine->wish != MACHINE_UP || machine->is_failed || now < machine->again_at)
			return MACHINE_WAIT;
		set_phase(machine, MACHINE_STARTING);
		machine->patience_at = now + machine->rules->start_max_ms;
		return MACHINE_START;
	case MACHINE_STARTING:
		return next_of_starting(machine, now);
	case MACHINE_RUNNING:
		if (machine->must_kill)
			return end(machine, now, MACHINE_KILL);
		if (machine->must_cycle || machine->wish != MACHINE_UP)
			return end(machine, now, MACHINE_STOP);
		return MACHINE_WAIT;
	case MACHINE_ENDING:
		if ((machine->must_kill && !machine->was_killed) || has_no_patience(machine, now))
			return end(machine, now, MACHINE_KILL);
		if (machine->is_held && (machine->must_release || machine->wish == MACHINE_UP)) {
			machine->is_held = machine->must_release = false;
			return end(machine, now, MACHINE_RELEASE);
		}
		return MACHINE_WAIT;
	}
	return MACHINE_WAIT;
}

static uint64_t until(uint64_t at, uint64_t now)
{
	return at > now ? at - now : 0;
}

uint64_t machine_wait_ms(const struct machine *machine, uint64_t now)
{
	if (machine->phase == MACHINE_NONE)
		return machine->wish == MACHINE_UP && !machine->is_failed
			   ? until(machine->again_at, now)
			   : UINT64_MAX;
	return machine->patience_at ? until(machine->patience_at, now) : UINT64_MAX;
}

const char *machine_state(const struct machine *machine)
{
	if (machine->is_failed)
		return "failed";
	if (machine->phase == MACHINE_RUNNING)
		return "running";
	if (machine->wish == MACHINE_UP)
		return "starting";
	return machine->wish == MACHINE_ASLEEP ? "sleeping" : "stopped";
}
