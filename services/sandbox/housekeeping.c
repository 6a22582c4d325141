#include "services/sandbox/housekeeping.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "proto/store_key.h"
#include "services/sandbox/offer.h"
#include "services/sandbox/store_link.h"
#include "services/sandbox/triggers.h"

#define TICK_MS 500
#define COUNT_MS 30000
#define ERASE_MS 60000 /* between tries */

struct housekeeping {
	struct sandbox *sandbox;
	struct event *tick;
	uint64_t erase_at_ms;
};

/* ---- idle */

static void look_at_use(struct agent *agent, uint64_t now)
{
	struct sandbox *sandbox = agent->sandbox;
	const struct driver_boot of = {agent->id, agent->boot};
	uint64_t idle_ms = sandbox->idle_s * 1000;
	uint64_t every = idle_ms / 2 < COUNT_MS ? idle_ms / 2 : COUNT_MS;
	struct error err;
	if (agent->machine.phase != MACHINE_RUNNING || idle_ms == 0 ||
	    now - agent->counted_ms < every)
		return;
	agent->counted_ms = now;
	if (sandbox->driver->count(sandbox->driven, &of, &err) != 0)
		log_debug("connections could not be counted", "agent", agent->id, "why", err.text);
}

/* ---- former periods */

static void on_released(void *arg, const char *word, const struct error *err)
{
	(void)arg, (void)word;
	if (err)
		log_debug("a holding could not be given back", "why", err->text);
}

/* Nothing of it is here any more. */
static void forget(struct agent *agent)
{
	struct sandbox *sandbox = agent->sandbox;
	records_write(sandbox->records, agent->id, NULL, NULL, NULL);
	ledger_release(
	    sandbox->process->redis, agent->record.asset, sandbox->holder_name, on_released, NULL);
	agents_remove(sandbox->agents, agent);
}

static bool is_empty(const struct agent *agent)
{
	return !agent->is_damaged && !agent->record.wallet[0] && agent->record.nformer == 0 &&
	       agent->machine.phase == MACHINE_NONE && !agent->start && agent->nwaiting == 0 &&
	       !offer_is_under_way(agent);
}

static void save_or_forget(struct agent *agent)
{
	if (is_empty(agent))
		forget(agent);
	else
		agent_save(agent, NULL, NULL);
}

void housekeeping_erased(struct agent *agent, const char *why)
{
	struct record_former *former =
	    record_find_former(&agent->record, agent->erasing.wallet, agent->erasing.period);
	agent->is_erasing = false;
	if (why[0]) {
		log_warn(
		    "a former owner's volume could not be erased", "agent", agent->id, "why", why);
		return;
	}
	log_info("a former owner's volume is erased", "agent", agent->id, "wallet",
	    agent->erasing.wallet);
	if (!former)
		return;
	former->is_erased = true;
	if (!former->has_objects)
		record_drop_former(&agent->record, former);
	save_or_forget(agent);
}

static bool is_due(
    const struct sandbox *sandbox, const struct record_former *former, uint64_t now_ms)
{
	return now_ms >= former->over_at_ms + sandbox->former_keep_s * 1000;
}

/* Of one period; the agent may be gone when it ends. */
struct sweep {
	struct sandbox *sandbox;
	char id[AGENT_ID_LEN + 1];
	struct record_former former;
};

static void on_swept(void *arg, const struct store_ended *ended)
{
	struct sweep *sweep = arg;
	struct agent *agent = agents_find(sweep->sandbox->agents, sweep->id);
	struct record_former *former =
	    agent ? record_find_former(&agent->record, sweep->former.wallet, sweep->former.period)
		  : NULL;
	if (agent)
		agent->is_sweeping = false;
	if (!ended->is_done) {
		log_warn("a former owner's snapshots could not be removed", "agent", sweep->id,
		    "why", ended->text);
	} else if (former) {
		log_info("a former owner's snapshots are removed", "agent", sweep->id, "wallet",
		    former->wallet, "objects", log_u64(ended->bytes));
		record_drop_former(&agent->record, former);
		save_or_forget(agent);
	}
	free(sweep);
}

static void sweep_one(struct agent *agent, uint64_t now_ms)
{
	struct sandbox *sandbox = agent->sandbox;
	const struct record *record = &agent->record;
	const struct record_former *former = NULL;
	char folder[STORE_KEY_MAX + 1], why[160];
	struct error err;
	for (size_t i = 0; i < record->nformer && !former; i++)
		if (record->former[i].is_erased && record->former[i].has_objects &&
		    !record->former[i].is_kept && is_due(sandbox, &record->former[i], now_ms))
			former = &record->former[i];
	if (!former || agent->is_sweeping ||
	    !store_link_is_ready(sandbox->store, why, sizeof(why)) ||
	    !store_key_of_period(folder, agent->id, former->wallet, former->period, ""))
		return;
	struct sweep *sweep = calloc(1, sizeof(*sweep));
	bug_if(!sweep);
	*sweep = (struct sweep){.sandbox = sandbox, .former = *former};
	memcpy(sweep->id, agent->id, sizeof(sweep->id));
	agent->is_sweeping = store_link_sweep(sandbox->store, folder, on_swept, sweep, &err) != 0;
	if (!agent->is_sweeping)
		free(sweep);
}

static void erase_one(struct agent *agent, uint64_t now_ms)
{
	struct sandbox *sandbox = agent->sandbox;
	const struct record *record = &agent->record;
	const struct record_former *former = NULL;
	struct error err;
	for (size_t i = 0; i < record->nformer && !former; i++)
		if (!record->former[i].is_erased)
			former = &record->former[i];
	if (!former || agent->is_erasing || !is_due(sandbox, former, now_ms))
		return;
	agent->erasing = *former;
	agent->is_erasing = sandbox->driver->erase(sandbox->driven, agent->id, former->wallet,
				former->period, &err) == 0;
}

/* ---- by the clock */

static void erase(struct housekeeping *housekeeping)
{
	struct sandbox *sandbox = housekeeping->sandbox;
	uint64_t now = clock_boot_ms(), unix_ms = clock_unix_ms();
	uint64_t every = sandbox->former_keep_s * 1000;
	struct error err;
	/* whose it is now is not known without having looked, and what is gone is gone */
	if (now < housekeeping->erase_at_ms || sandbox_serves(sandbox, &err) != 0)
		return;
	housekeeping->erase_at_ms = now + (every < ERASE_MS ? every + TICK_MS : ERASE_MS);
	for (size_t i = agents_count(sandbox->agents); i-- > 0;) {
		struct agent *agent = agents_at(sandbox->agents, i);
		if (is_empty(agent)) {
			forget(agent);
		} else if (!agent->is_damaged) {
			sweep_one(agent, unix_ms);
			erase_one(agent, unix_ms);
		}
	}
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct housekeeping *housekeeping = arg;
	struct sandbox *sandbox = housekeeping->sandbox;
	uint64_t now = clock_boot_ms();
	(void)fd, (void)what;
	if (!sandbox->is_driver_ready || sandbox->is_stopping)
		return;
	for (size_t i = 0; i < agents_count(sandbox->agents); i++) {
		look_at_use(agents_at(sandbox->agents, i), now);
		triggers_tick(agents_at(sandbox->agents, i), now);
	}
	erase(housekeeping);
}

struct housekeeping *housekeeping_new(struct sandbox *sandbox)
{
	const struct timeval every = {.tv_usec = TICK_MS * 1000};
	struct housekeeping *housekeeping = calloc(1, sizeof(*housekeeping));
	bug_if(!housekeeping);
	housekeeping->sandbox = sandbox;
	housekeeping->tick =
	    event_new(sandbox->process->base, -1, EV_PERSIST, on_tick, housekeeping);
	bug_if(!housekeeping->tick || event_add(housekeeping->tick, &every) != 0);
	return housekeeping;
}

void housekeeping_destroy(struct housekeeping **housekeeping)
{
	struct housekeeping *h = *housekeeping;
	if (!h)
		return;
	*housekeeping = NULL;
	event_free(h->tick);
	free(h);
}
