#include "services/sandbox/holder.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"

#define LOOKS_MAX 256 /* under way at a time */
#define AGAIN_MS 250

struct holder {
	struct sandbox *sandbox;
	struct marks *marks;
	uint32_t history_number;
	struct agent_queue waiting;
	size_t under_way, left; /* left: of the look at all */
	bool has_looked;        /* at all of them, in this history */
	struct event *again;
};

/* Of one look; the agent may be gone when it ends. */
struct look {
	struct sandbox *sandbox;
	char id[AGENT_ID_LEN + 1];
};

static void pump(struct holder *holder);

static void queue(struct agent *agent, bool is_first)
{
	struct holder *holder = agent->sandbox->holder;
	if (agent->look.is_queued)
		return;
	agent->look.is_queued = true;
	if (is_first)
		TAILQ_INSERT_HEAD(&holder->waiting, agent, look.link);
	else
		TAILQ_INSERT_TAIL(&holder->waiting, agent, look.link);
}

static void unqueue(struct agent *agent)
{
	if (agent->look.is_queued)
		TAILQ_REMOVE(&agent->sandbox->holder->waiting, agent, look.link);
	agent->look.is_queued = false;
}

static void done_of_all(struct agent *agent)
{
	struct holder *holder = agent->sandbox->holder;
	if (!agent->look.is_of_all)
		return;
	agent->look.is_of_all = false;
	if (--holder->left > 0)
		return;
	holder->has_looked = true;
	log_info("looked at everything that is held");
}

static void look_later(struct agent *agent)
{
	const struct timeval wait = {.tv_usec = AGAIN_MS * 1000};
	queue(agent, false);
	if (!evtimer_pending(agent->sandbox->holder->again, NULL))
		evtimer_add(agent->sandbox->holder->again, &wait);
}

/* ---- what is over (architecture, rule 15) */

/* Until nothing of it is left: no process, no secret, no volume that is open. */
static bool is_being_killed(const struct agent *agent)
{
	const struct machine *machine = &agent->machine;
	return machine->phase != MACHINE_NONE && (machine->must_kill || machine->was_killed ||
						     strcmp(agent->boot, agent->record.boot) != 0);
}

void holder_settle(struct agent *agent)
{
	/* what has not started yet has no connections of before */
	bool is_there =
	    agent->machine.phase == MACHINE_RUNNING || agent->machine.phase == MACHINE_ENDING;
	if (!is_there) {
		agent->enforcing.nresets = 0;
		agent->enforcing.must_reset = false;
	}
	if (!is_being_killed(agent) && agent->enforcing.nresets == 0 &&
	    !agent->enforcing.must_reset)
		follower_release(agent->sandbox->process->follower, &agent->enforcing.ticket);
}

void holder_was_reset(struct agent *agent, const char *why)
{
	if (agent->enforcing.nresets > 0)
		agent->enforcing.nresets--;
	if (why[0]) {
		log_warn("connections may be left", "agent", agent->id, "why", why);
		agent->enforcing.must_reset = agent->look.must_reset = true;
		look_later(agent);
	}
	holder_settle(agent);
}

void holder_reset_again(struct agent *agent)
{
	if (agent->enforcing.nresets == 0 && !agent->enforcing.must_reset)
		return;
	agent->enforcing.nresets = 0;
	agent->enforcing.must_reset = true;
	holder_look_at(agent, true);
}

/* ---- what was seen */

static void reset(struct agent *agent)
{
	struct sandbox *sandbox = agent->sandbox;
	const struct driver_boot of = {agent->id, agent->boot};
	struct error err;
	agent->look.must_reset = false;
	if (agent->machine.phase != MACHINE_RUNNING && agent->machine.phase != MACHINE_ENDING)
		return;
	metric_add(sandbox->metrics.resets, 1);
	agent->enforcing.must_reset = sandbox->driver->reset(sandbox->driven, &of, &err) != 0;
	if (agent->enforcing.must_reset)
		log_warn("connections could not be reset", "agent", agent->id, "why", err.text);
	else
		agent->enforcing.nresets++;
}

static void tell_killed(const struct agent *agent)
{
	uint64_t us = agent->look.noticed_us ? clock_boot_us() - agent->look.noticed_us : 0;
	if (agent->look.noticed_us)
		histogram_observe_us(agent->sandbox->metrics.kill_time, us);
	log_info("killed", "agent", agent->id, "us", log_u64(us));
}

/* Until its first start nothing of it is older than a session. */
static bool is_revoked(const struct agent *agent, const struct ledger_owner *owner)
{
	const struct record *record = &agent->record;
	return record->epoch[0] && strcmp(record->epoch, owner->epoch) != 0;
}

bool holder_is_elsewhere(const struct sandbox *sandbox, const struct ledger_owner *owner)
{
	return owner->place[0] && strcmp(owner->place, sandbox->process->settings.replica) != 0;
}

static void judge(struct agent *agent, const struct ledger_owner *owner)
{
	const struct record *record = &agent->record;
	bool was_up = agent->machine.phase != MACHINE_NONE;
	if (record->wallet[0] && holder_is_elsewhere(agent->sandbox, owner)) {
		agent_is_elsewhere(agent);
		if (was_up)
			tell_killed(agent);
	} else if (!record->wallet[0]) {
		; /* only former periods: noted that something of it is here */
	} else if (ledger_owner_vouches(owner, record->wallet, record->slot) &&
		   is_revoked(agent, owner)) {
		agent_is_revoked(agent, owner->epoch);
		if (was_up)
			tell_killed(agent);
	} else if (ledger_owner_vouches(owner, record->wallet, record->slot)) {
		if (agent->look.must_reset)
			reset(agent);
	} else {
		if (owner->owner[0])
			agent_is_over(agent);
		else
			agent_is_unvouched(agent);
		if (was_up)
			tell_killed(agent);
	}
	if (record_look_at_moved(&agent->record, owner->owner, clock_unix_ms()))
		agent_save(agent, NULL, NULL);
	agent->look.must_reset = false;
	agent->look.noticed_us = 0;
}

/* What the look of an event's has led to goes on: its ticket is the agent's until that is over. */
static void hand_on(struct agent *agent)
{
	struct follower *follower = agent->sandbox->process->follower;
	follower_merge(follower, &agent->enforcing.ticket, &agent->look.ticket);
	agent->look.ticket = agent->look.again_ticket;
	agent->look.again_ticket = 0;
	holder_settle(agent);
}

static void on_look(void *arg, const struct ledger_owner *owner, const struct error *err)
{
	struct look *look = arg;
	struct sandbox *sandbox = look->sandbox;
	struct agent *agent = sandbox->is_stopping ? NULL : agents_find(sandbox->agents, look->id);
	free(look);
	if (sandbox->is_stopping)
		return;
	sandbox->holder->under_way--;
	if (!agent)
		return;
	agent->look.is_under_way = false;
	if (err) {
		follower_merge(
		    sandbox->process->follower, &agent->look.ticket, &agent->look.again_ticket);
		look_later(agent);
		return;
	}
	bool is_again = agent->look.is_again;
	agent->look.is_again = false;
	if (is_again)
		queue(agent, true);
	judge(agent, owner);
	hand_on(agent);
	if (!is_again)
		done_of_all(agent);
	pump(sandbox->holder);
}

/* ---- looking */

static void begin(struct agent *agent)
{
	struct sandbox *sandbox = agent->sandbox;
	struct look *look = calloc(1, sizeof(*look));
	bug_if(!look);
	look->sandbox = sandbox;
	memcpy(look->id, agent->id, sizeof(look->id));
	agent->look.is_under_way = true;
	sandbox->holder->under_way++;
	ledger_hold(
	    sandbox->process->redis, agent->record.asset, sandbox->holder_name, on_look, look);
}

static void pump(struct holder *holder)
{
	struct agent *agent;
	while (holder->under_way < LOOKS_MAX && (agent = TAILQ_FIRST(&holder->waiting)) &&
	       !evtimer_pending(holder->again, NULL)) {
		unqueue(agent);
		if (agent->look.is_under_way)
			agent->look.is_again = true;
		else
			begin(agent);
	}
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	pump(arg);
}

/* A look that is under way may be older than what the ticket is of. */
static void take_ticket(struct agent *agent, uint64_t ticket)
{
	struct follower *follower = agent->sandbox->process->follower;
	follower_merge(follower,
	    agent->is_damaged          ? &agent->enforcing.ticket
	    : agent->look.is_under_way ? &agent->look.again_ticket
				       : &agent->look.ticket,
	    &ticket);
	if (agent->is_damaged)
		holder_settle(agent);
}

static void look_at(struct agent *agent, bool must_reset, uint64_t ticket)
{
	take_ticket(agent, ticket);
	if (agent->is_damaged)
		return;
	agent->look.must_reset |= must_reset;
	if (!agent->look.noticed_us)
		agent->look.noticed_us = clock_boot_us();
	queue(agent, true);
	pump(agent->sandbox->holder);
}

void holder_look_at(struct agent *agent, bool must_reset)
{
	look_at(agent, must_reset, follower_hold(agent->sandbox->process->follower));
}

void holder_look_at_found(struct agent *agent, uint64_t ticket)
{
	look_at(agent, true, follower_share(agent->sandbox->process->follower, ticket));
}

void holder_look_at_all(struct holder *holder)
{
	const struct agents *agents = holder->sandbox->agents;
	holder->has_looked = false;
	holder->left = 0;
	for (size_t i = 0; i < agents_count(agents); i++) {
		struct agent *agent = agents_at(agents, i);
		agent->look.is_of_all = !agent->is_damaged;
		take_ticket(agent, follower_hold(holder->sandbox->process->follower));
		if (agent->is_damaged)
			continue;
		holder->left++;
		agent->look.must_reset = true;
		queue(agent, false);
	}
	if (holder->left == 0)
		holder->has_looked = true;
	pump(holder);
}

void holder_forget(struct agent *agent)
{
	struct follower *follower = agent->sandbox->process->follower;
	if (!agent->sandbox->holder)
		return;
	unqueue(agent);
	done_of_all(agent);
	follower_release(follower, &agent->look.ticket);
	follower_release(follower, &agent->look.again_ticket);
	follower_release(follower, &agent->enforcing.ticket);
}

bool holder_has_looked(const struct holder *holder)
{
	return holder->has_looked;
}

/* ---- marks */

void holder_mark(struct holder *holder, const struct ledger_event *event)
{
	marks_add(holder->marks, event->asset, event->id);
}

/* Within a history marks never fall. */
void holder_unmark(struct holder *holder, struct event_id head)
{
	uint32_t number = follower_history_number(holder->sandbox->process->follower);
	if (number != holder->history_number)
		marks_restart(holder->marks, head);
	else
		marks_add(holder->marks, "*", head);
	holder->history_number = number;
}

bool holder_is_current(
    const struct holder *holder, const char *asset, const char *history, struct event_id position)
{
	const struct follower *follower = holder->sandbox->process->follower;
	return strcmp(history, follower_history(follower)) == 0 &&
	       marks_is_current(holder->marks, asset, position);
}

/* ---- life */

struct holder *holder_new(struct sandbox *sandbox)
{
	struct holder *holder = calloc(1, sizeof(*holder));
	bug_if(!holder);
	holder->sandbox = sandbox;
	holder->marks = marks_new();
	holder->again = evtimer_new(sandbox->process->base, on_again, holder);
	bug_if(!holder->again);
	TAILQ_INIT(&holder->waiting);
	return holder;
}

void holder_destroy(struct holder **holder)
{
	struct holder *h = *holder;
	if (!h)
		return;
	*holder = NULL;
	event_free(h->again);
	marks_destroy(&h->marks);
	free(h);
}
