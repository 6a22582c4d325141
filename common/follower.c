#include "common/follower.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/enforcing.h"
#include "common/follow.h"
#include "common/log.h"

#define READ_GIVE_UP_MS 1000
#define READ_APART_MS 2
#define MARKED_WAIT_MS 10
#define NOT_CONNECTED_MS 5

_Static_assert(LEASE_MS == FOLLOW_LEASE_MS, "one lease");

struct reading {
	LIST_ENTRY(reading) link;
	struct follower *follower; /* NULL: it was destroyed meanwhile */
	struct follow_read read;
};

struct follower {
	struct redis *redis;
	char *name, *role;
	struct follower_hooks hooks;
	struct event *timer;
	struct follow state;
	uint32_t history_number;
	bool failing;

	LIST_HEAD(readings, reading) under_way; /* given up ones, too */
	const struct reading *waiting;          /* the newest, unless answered */
	uint64_t nreads;
	uint64_t sent_ms, due_ms;

	struct enforcing enforcing;
	bool is_handling; /* an event, or a restart */
	struct event_id handling;
	struct event_id
	    enforced;         /* the first event that is open, or the last one that was handled */
	bool is_open;         /* which of the two */
	uint64_t enforced_ms; /* since when */

	struct metric *reads, *events, *restarts;
};

/* ---- when to read */

static void arm(struct follower *f)
{
	uint64_t now = clock_boot_ms();
	uint64_t at = f->waiting ? f->sent_ms + READ_GIVE_UP_MS : f->due_ms;
	uint64_t ms = at > now ? at - now : 0;
	struct timeval tv = {
	    .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000) * 1000};

	evtimer_add(f->timer, &tv);
}

/* Not more often than each 2 ms, or a flood on the bell would become one on Redis. What this daemon has marked already, or has no cached
 * answers to mark, lets the next look go first: else it would stand in Redis behind a write of every daemon that heard the same bell. */
static void bring_forward(struct follower *f, bool marked)
{
	uint64_t now = clock_boot_ms(), at = f->sent_ms + READ_APART_MS;
	uint64_t soonest = now + (marked ? MARKED_WAIT_MS : 0);

	if (at < soonest)
		at = soonest;
	if (at >= f->due_ms)
		return;
	f->due_ms = at;
	if (!f->waiting)
		arm(f);
}

/* ---- how far it has enforced what it read */

/* True: further than before. */
static bool note_enforced(struct follower *f)
{
	struct event_id id = f->state.cursor;
	bool is_open = enforcing_open(&f->enforcing, &id);

	if (event_id_compare(id, f->enforced) == 0 && is_open == f->is_open)
		return false;
	f->enforced = id;
	f->is_open = is_open;
	f->enforced_ms = clock_boot_ms();
	return true;
}

uint64_t follower_hold(struct follower *f)
{
	return f->is_handling ? enforcing_hold(&f->enforcing, f->handling) : 0;
}

void follower_release(struct follower *f, uint64_t *ticket)
{
	if (f && *ticket) {
		enforcing_release(&f->enforcing, *ticket);
		/* somebody may wait for it */
		if (!f->is_handling && note_enforced(f))
			bring_forward(f, true);
	}
	*ticket = 0;
}

uint64_t follower_share(struct follower *f, uint64_t ticket)
{
	if (f && ticket)
		enforcing_share(&f->enforcing, ticket);
	return ticket;
}

void follower_merge(struct follower *f, uint64_t *into, uint64_t *from)
{
	uint64_t older = *into && (!*from || *into < *from) ? *into : *from;
	uint64_t younger = older == *into ? *from : *into;

	*into = older;
	*from = 0;
	follower_release(f, &younger);
}

static void on_answer(void *arg, const struct ledger_follow *answer, const struct error *err);

static void send_read(struct follower *f)
{
	struct reading *reading = calloc(1, sizeof(*reading));
	const struct follow_read *read = &reading->read;
	struct event_id open;
	struct ledger_progress progress = {.age_ms = clock_boot_ms() - f->enforced_ms};

	bug_if(!reading);
	reading->follower = f;
	follow_ask(&f->state, ++f->nreads, clock_boot_ms(), &reading->read);
	LIST_INSERT_HEAD(&f->under_way, reading, link);
	f->waiting = reading;
	f->sent_ms = read->sent_ms;
	f->due_ms = read->sent_ms + FOLLOW_EVERY_MS;
	metric_add(f->reads, 1);
	if (enforcing_open(&f->enforcing, &open))
		progress.open = &open;
	ledger_follow(f->redis, f->name, f->role, read->history,
	    read->has_cursor ? &read->cursor : NULL, read->known, read->nknown, &progress,
	    on_answer, reading);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct follower *f = arg;
	uint64_t now = clock_boot_ms();

	(void)fd, (void)what;
	if (f->waiting && now >= f->sent_ms + READ_GIVE_UP_MS) {
		f->waiting = NULL;
		f->due_ms = now;
	}
	if (!f->waiting && now >= f->due_ms) {
		if (redis_is_ready(f->redis))
			send_read(f);
		else
			f->due_ms = now + NOT_CONNECTED_MS;
	}
	arm(f);
}

/* ---- what was read */

static void note_failure(struct follower *f, const struct error *err)
{
	if (err && !f->failing)
		log_warn("cannot follow the events", "why", err->text);
	else if (!err && f->failing)
		log_info("following the events again", "history", f->state.history);
	f->failing = err != NULL;
}

static void start_over(struct follower *f, const struct follow_read *read,
    const struct ledger_follow *answer, const struct follow_verdict *verdict)
{
	metric_add(f->restarts, 1);
	f->history_number += verdict->new_history;
	if (verdict->new_history)
		log_info("following a history from its head", "history", answer->history);
	if (verdict->new_history)
		enforcing_restart(&f->enforcing);
	f->handling = (struct event_id){0, 1};
	f->is_handling = true;
	f->hooks.on_restart(f->hooks.arg, answer->history, answer->head);
	f->is_handling = false;
	follow_started_over(&f->state, read, answer, verdict);
	note_enforced(f);
}

static void go_on(struct follower *f, const struct ledger_follow *answer, size_t first)
{
	for (size_t i = first; i < answer->nevents; i++) {
		const struct ledger_event *event = &answer->events[i];
		metric_add(f->events, 1);
		f->handling = event->id;
		f->is_handling = true;
		f->hooks.on_event(f->hooks.arg, event);
		f->is_handling = false;
		follow_handled(&f->state, event->history, event->id);
		note_enforced(f);
	}
}

static void act(
    struct follower *f, const struct follow_read *read, const struct ledger_follow *answer)
{
	struct follow_verdict verdict = follow_judge(&f->state, read, answer);

	if (verdict.more)
		f->due_ms = clock_boot_ms();
	if (!follow_begin(&f->state, read, answer, &verdict))
		return;
	if (verdict.act == FOLLOW_START_OVER)
		start_over(f, read, answer, &verdict);
	else
		go_on(f, answer, verdict.first);
	follow_lease(&f->state, &verdict);
}

static void on_answer(void *arg, const struct ledger_follow *answer, const struct error *err)
{
	struct reading *reading = arg;
	struct follower *f = reading->follower;

	if (f) {
		LIST_REMOVE(reading, link);
		if (f->waiting == reading)
			f->waiting = NULL;
		note_failure(f, err);
		if (answer)
			act(f, &reading->read, answer);
		arm(f);
	}
	free(reading);
}

/* ---- the bell */

static bool is_own(const struct follower *f, const char *history)
{
	return strcmp(history, f->state.history) == 0;
}

void follower_wrote(struct follower *f, const char *history, struct event_id id)
{
	if (follow_heard(&f->state, history, id))
		bring_forward(f, !f->hooks.on_heard && is_own(f, history));
}

static bool is_asset(const char *text)
{
	uint8_t key[PUBKEY_LEN];

	return text && (strcmp(text, "*") == 0 || pubkey_parse(text, key) == 0);
}

void follower_heard(
    struct follower *f, const char *history, const char *event_id, const char *asset)
{
	struct ledger_event event = {.id = {0, 0}};
	size_t len = strnlen(history, sizeof(event.history));

	if (len == 0 || len > HISTORY_MAX || event_id_parse(event_id, &event.id) < 0)
		return;
	memcpy(event.history, history, len);
	bool marks = f->hooks.on_heard && is_asset(asset);
	if (follow_heard(&f->state, event.history, event.id))
		bring_forward(f, is_own(f, event.history) && (marks || !f->hooks.on_heard));
	if (!marks || !is_own(f, event.history))
		return;
	if (event_id_compare(event.id, f->state.cursor) <= 0)
		return;
	snprintf(event.asset, sizeof(event.asset), "%s", asset);
	f->hooks.on_heard(f->hooks.arg, &event);
}

/* ---- what others ask */

uint64_t follower_lease_ms(const struct follower *f)
{
	uint64_t now = clock_boot_ms();

	return f->state.lease_until_ms > now ? f->state.lease_until_ms - now : 0;
}

bool follower_has_lease(const struct follower *f)
{
	return follower_lease_ms(f) > 0;
}

const char *follower_history(const struct follower *f)
{
	return f->state.history;
}

uint32_t follower_history_number(const struct follower *f)
{
	return f->history_number;
}

struct event_id follower_cursor(const struct follower *f)
{
	return f->state.cursor;
}

bool follower_has_handled(const struct follower *f, const char *history, struct event_id id)
{
	return follow_has_handled(&f->state, history, id);
}

const struct ledger_chain *follower_chain(const struct follower *f)
{
	return &f->state.chain;
}

uint64_t follower_chain_age_ms(const struct follower *f)
{
	return follow_chain_age_ms(&f->state, clock_boot_ms());
}

uint64_t follower_redis_now_ms(const struct follower *f)
{
	return follow_redis_now_ms(&f->state, clock_boot_ms());
}

static double lease_now(void *arg)
{
	return follower_has_lease(arg) ? 1 : 0;
}

static double chain_age_s(void *arg)
{
	uint64_t ms = follower_chain_age_ms(arg);

	return ms == UINT64_MAX ? INFINITY : (double)ms / 1000;
}

static double chain_slot(void *arg)
{
	return (double)follower_chain(arg)->slot;
}

static void measure(struct follower *f, struct metrics *metrics)
{
	metrics_gauge_fn(metrics, "multiclaw_follow_lease",
	    "1 while the events are known to be read up to date", NULL, lease_now, f);
	metrics_gauge_fn(metrics, "multiclaw_chain_age_seconds",
	    "Since the last sweep of the chain that counted began", NULL, chain_age_s, f);
	metrics_gauge_fn(metrics, "multiclaw_chain_slot", "Slot of the last sweep that counted",
	    NULL, chain_slot, f);
	f->reads =
	    metrics_counter(metrics, "multiclaw_follow_reads_total", "Reads of the events", NULL);
	f->events = metrics_counter(metrics, "multiclaw_events_total", "Events handled", NULL);
	f->restarts = metrics_counter(metrics, "multiclaw_follow_restarts_total",
	    "Times the events were followed anew from their head", NULL);
}

struct follower *follower_new(struct event_base *base, struct redis *redis, const char *name,
    const char *role, const struct follower_hooks *hooks, struct metrics *metrics)
{
	struct follower *f = calloc(1, sizeof(*f));

	bug_if(!f);
	f->redis = redis;
	f->name = strdup(name);
	f->role = strdup(role);
	f->hooks = *hooks;
	f->timer = evtimer_new(base, on_timer, f);
	bug_if(!f->name || !f->role || !f->timer);
	LIST_INIT(&f->under_way);
	measure(f, metrics);
	f->due_ms = clock_boot_ms();
	arm(f);
	return f;
}

void follower_destroy(struct follower **follower)
{
	struct follower *f = *follower;
	struct reading *reading;

	if (!f)
		return;
	*follower = NULL;
	LIST_FOREACH(reading, &f->under_way, link)
	reading->follower = NULL;
	event_free(f->timer);
	free(f->role);
	free(f->name);
	free(f);
}
