#include "services/secret-vault/holder.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "services/secret-vault/eraser.h"
#include "services/secret-vault/look.h"
#include "common/marks.h"

#define PAGE 256
#define LOOKS_MAX 64    /* under way at a time */
#define ASSETS_MAX 4096 /* whose events wait to be looked at; more: all are */
#define AGAIN_MS 250
#define AGAIN_MAX_MS 5000

TAILQ_HEAD(looks, look);

struct noticed {
	char asset[PUBKEY_TEXT_MAX + 1];
	uint64_t at_us;
	uint64_t ticket; /* of the first event: follower_hold */
	bool is_over;    /* it has periods, and all of them are destroyed */
};
/* Periods read from the store, by the worker. */
struct reading {
	struct vault *vault;
	uint64_t page;  /* 0: of assets */
	uint64_t after; /* of a page: the last id read */
	struct noticed *assets;
	size_t nassets, nread;
	struct looks found;
};

struct holder {
	struct vault *vault;
	struct marks *marks;
	uint32_t history_number;

	struct looks waiting, again;
	size_t under_way;
	struct event *again_timer;
	uint64_t again_ms;

	/* looking at all */
	uint64_t page;  /* which look at all this is; 0: none yet */
	uint64_t after; /* id of the last period read */
	size_t left;    /* looks of the page that are not done */
	bool is_looking, is_last, is_reading_page;
	uint64_t ticket; /* of the first event that it is for: follower_hold */
	uint64_t began_ms;

	/* looking at assets of which there was an event */
	struct noticed *assets;
	size_t nassets, room;
	bool is_reading_assets;
};

static void pump(struct holder *holder);
static void read_page(struct holder *holder);
static void read_assets(struct holder *holder);

static bool is_up(const struct vault *vault)
{
	return (vault->state == VAULT_CATCHING_UP || vault->state == VAULT_OPEN) &&
	       !vault->is_stopping;
}

/* ---- reading the store, in the worker's thread */

static bool add_row(void *arg, const struct store_period *row)
{
	struct reading *reading = arg;
	reading->nread++;
	reading->after = row->id;
	if (period_is_global(&row->period) || row->state == PERIOD_DESTROYED)
		return true;
	struct look *look = calloc(1, sizeof(*look));
	bug_if(!look);
	look->vault = reading->vault;
	look->row = *row;
	look->page = reading->page;
	TAILQ_INSERT_TAIL(&reading->found, look, link);
	return true;
}

static int read_rows_of_page(void *arg, struct desk *desk, struct error *err)
{
	struct reading *reading = arg;
	return store_periods_after(desk->db, reading->after, PAGE, add_row, reading, err);
}

static int read_rows_of_assets(void *arg, struct desk *desk, struct error *err)
{
	struct reading *reading = arg;
	for (size_t i = 0; i < reading->nassets; i++) {
		struct look *last = TAILQ_LAST(&reading->found, looks), *look;
		size_t nread = reading->nread;
		if (store_periods_of(desk->db, reading->assets[i].asset, add_row, reading, err) !=
		    0)
			return -1;
		reading->assets[i].is_over =
		    reading->nread > nread && TAILQ_LAST(&reading->found, looks) == last;
		for (look = last ? TAILQ_NEXT(last, link) : TAILQ_FIRST(&reading->found); look;
		     look = TAILQ_NEXT(look, link)) {
			look->noticed_us = reading->assets[i].at_us;
			look->ticket = reading->assets[i].ticket;
		}
	}
	return 0;
}

static struct reading *reading_new(struct holder *holder)
{
	struct reading *reading = calloc(1, sizeof(*reading));
	bug_if(!reading);
	reading->vault = holder->vault;
	TAILQ_INIT(&reading->found);
	return reading;
}

static struct follower *follower_of(const struct vault *vault)
{
	return vault->process->follower;
}

static void look_free(struct look *look)
{
	follower_release(follower_of(look->vault), &look->ticket);
	free(look);
}

static void drop(struct looks *looks)
{
	struct look *look;
	while ((look = TAILQ_FIRST(looks))) {
		TAILQ_REMOVE(looks, look, link);
		look_free(look);
	}
}

static void reading_free(struct reading *reading)
{
	for (size_t i = 0; i < reading->nassets; i++)
		follower_release(follower_of(reading->vault), &reading->assets[i].ticket);
	drop(&reading->found);
	free(reading->assets);
	free(reading);
}

/* ---- looks */

static void arm_again(struct holder *holder)
{
	uint64_t ms = holder->again_ms ? holder->again_ms : AGAIN_MS;
	struct timeval wait = {
	    .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
	if (evtimer_pending(holder->again_timer, NULL))
		return;
	holder->again_ms = 2 * ms > AGAIN_MAX_MS ? AGAIN_MAX_MS : 2 * ms;
	evtimer_add(holder->again_timer, &wait);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	struct holder *holder = arg;
	(void)fd, (void)what;
	TAILQ_CONCAT(&holder->waiting, &holder->again, link);
	if (holder->is_looking && !holder->is_reading_page && holder->left == 0)
		read_page(holder);
	if (holder->nassets > 0)
		read_assets(holder);
	pump(holder);
}

static void end_of_page(struct holder *holder)
{
	struct vault *vault = holder->vault;
	if (!holder->is_last) {
		read_page(holder);
		return;
	}
	holder->is_looking = false;
	follower_release(follower_of(vault), &holder->ticket);
	log_info(
	    "looked at every ownership period", "ms", log_u64(clock_boot_ms() - holder->began_ms));
	/* without a history yet, or before another: that one's beginning looks at all again */
	if (vault->state == VAULT_CATCHING_UP && follower_history(vault->process->follower)[0])
		vault_set_state(vault, VAULT_OPEN, "serving");
}

static void on_look(struct look *look, bool is_good)
{
	struct holder *holder = look->vault->holder;
	if (!holder || look->vault->is_stopping) {
		if (holder)
			holder->under_way--;
		look_free(look);
		return;
	}
	holder->under_way--;
	bool is_stale = look->page && look->page != holder->page;
	if (!is_good && !is_stale) {
		bool is_done = look->page && look->is_locked;
		if (is_done)
			look->page = 0;
		if (look->is_locked)
			follower_release(follower_of(look->vault), &look->ticket);
		TAILQ_INSERT_TAIL(&holder->again, look, link);
		arm_again(holder);
		if (is_done && --holder->left == 0)
			end_of_page(holder);
		return;
	}
	bool is_of_page = look->page && !is_stale;
	if (is_good)
		holder->again_ms = 0;
	look_free(look);
	if (is_of_page && --holder->left == 0)
		end_of_page(holder);
	pump(holder);
}

static void pump(struct holder *holder)
{
	struct look *look;
	while (holder->under_way < LOOKS_MAX && (look = TAILQ_FIRST(&holder->waiting))) {
		TAILQ_REMOVE(&holder->waiting, look, link);
		if (look->page && look->page != holder->page) {
			look_free(look);
			continue;
		}
		holder->under_way++;
		look->done = on_look;
		look_start(look);
	}
}

/* ---- all */

static void on_page(void *arg, const struct error *err)
{
	struct reading *reading = arg;
	struct holder *holder = reading->vault->holder;
	struct look *look;
	if (!holder || reading->vault->is_stopping) {
		reading_free(reading);
		return;
	}
	holder->is_reading_page = false;
	if (reading->page != holder->page || !is_up(holder->vault)) {
		reading_free(reading);
		if (holder->is_looking)
			read_page(holder);
		return;
	}
	if (err) {
		reading_free(reading);
		arm_again(holder);
		return;
	}
	holder->after = reading->after;
	holder->is_last = reading->nread < PAGE;
	TAILQ_FOREACH(look, &reading->found, link)
	holder->left++;
	TAILQ_CONCAT(&holder->waiting, &reading->found, link);
	reading_free(reading);
	if (holder->left == 0)
		end_of_page(holder);
	pump(holder);
}

static void read_page(struct holder *holder)
{
	if (holder->is_reading_page || !is_up(holder->vault))
		return;
	struct reading *reading = reading_new(holder);
	reading->page = holder->page;
	reading->after = holder->after;
	holder->is_reading_page = true;
	worker_do(holder->vault->worker, WORKER_READ, read_rows_of_page, on_page, reading);
}

static void look_at_all(struct holder *holder, uint64_t ticket)
{
	struct follower *follower = follower_of(holder->vault);
	struct look *look;
	follower_merge(follower, &holder->ticket, &ticket);
	TAILQ_FOREACH(look, &holder->again, link)
	follower_merge(follower, &holder->ticket, &look->ticket);
	drop(&holder->again);
	holder->page++;
	holder->after = 0;
	holder->left = 0;
	holder->is_looking = true;
	holder->is_last = false;
	holder->began_ms = clock_boot_ms();
	read_page(holder);
}

void holder_look_at_all(struct holder *holder)
{
	/* opening ends with this; before, nothing is served that an event could end */
	if (is_up(holder->vault))
		look_at_all(holder, follower_hold(follower_of(holder->vault)));
}

/* ---- one asset */

/* Whoever destroyed the last of it may have died before it gave the asset back. */
static void release_what_is_over(const struct reading *reading)
{
	for (size_t i = 0; i < reading->nassets; i++)
		if (reading->assets[i].is_over)
			eraser_release(reading->vault, reading->assets[i].asset);
}

static void notice(struct holder *holder, const char *asset, uint64_t ticket);

/* The worker only wrote down whose it is. */
static void take_tickets(struct reading *reading)
{
	struct look *look;
	TAILQ_FOREACH(look, &reading->found, link)
	follower_share(follower_of(reading->vault), look->ticket);
}

static void on_assets(void *arg, const struct error *err)
{
	struct reading *reading = arg;
	struct holder *holder = reading->vault->holder;
	take_tickets(reading);
	if (!holder || reading->vault->is_stopping) {
		reading_free(reading);
		return;
	}
	holder->is_reading_assets = false;
	if (err) {
		for (size_t i = 0; i < reading->nassets; i++) {
			uint64_t ticket = reading->assets[i].ticket;
			reading->assets[i].ticket = 0;
			notice(holder, reading->assets[i].asset, ticket);
		}
		arm_again(holder);
	} else {
		/* before those that wait for their turn in a look at all */
		TAILQ_CONCAT(&reading->found, &holder->waiting, link);
		TAILQ_CONCAT(&holder->waiting, &reading->found, link);
		release_what_is_over(reading);
		if (holder->nassets > 0)
			read_assets(holder);
	}
	reading_free(reading);
	pump(holder);
}

static void read_assets(struct holder *holder)
{
	if (holder->is_reading_assets || !is_up(holder->vault))
		return;
	struct reading *reading = reading_new(holder);
	reading->assets = holder->assets;
	reading->nassets = holder->nassets;
	holder->assets = NULL;
	holder->nassets = holder->room = 0;
	holder->is_reading_assets = true;
	worker_do(holder->vault->worker, WORKER_READ, read_rows_of_assets, on_assets, reading);
}

static void notice(struct holder *holder, const char *asset, uint64_t ticket)
{
	for (size_t i = 0; i < holder->nassets; i++) {
		if (strcmp(holder->assets[i].asset, asset) != 0)
			continue;
		follower_merge(follower_of(holder->vault), &holder->assets[i].ticket, &ticket);
		return;
	}
	if (holder->nassets == ASSETS_MAX) {
		look_at_all(holder, ticket);
		return;
	}
	if (holder->nassets == holder->room) {
		holder->room = holder->room ? 2 * holder->room : 8;
		holder->assets =
		    reallocarray(holder->assets, holder->room, sizeof(holder->assets[0]));
		bug_if(!holder->assets);
	}
	struct noticed *noticed = &holder->assets[holder->nassets++];
	*noticed = (struct noticed){.at_us = clock_boot_us(), .ticket = ticket};
	snprintf(noticed->asset, sizeof(noticed->asset), "%s", asset);
	read_assets(holder);
}

void holder_look_at(struct holder *holder, const char *asset)
{
	if (is_up(holder->vault)) /* else all are looked at before it is */
		notice(holder, asset, follower_hold(follower_of(holder->vault)));
}

/* ---- marks */

void holder_mark(struct holder *holder, const struct ledger_event *event)
{
	marks_add(holder->marks, event->asset, event->id);
}

/* Within a history marks never fall. */
void holder_unmark(struct holder *holder, struct event_id head)
{
	uint32_t number = follower_history_number(holder->vault->process->follower);
	if (number != holder->history_number)
		marks_restart(holder->marks, head);
	else
		marks_add(holder->marks, "*", head);
	holder->history_number = number;
}

bool holder_is_current(
    const struct holder *holder, const char *asset, const char *history, struct event_id position)
{
	const struct follower *follower = holder->vault->process->follower;
	return strcmp(history, follower_history(follower)) == 0 &&
	       marks_is_current(holder->marks, asset, position);
}

/* ---- life */

struct holder *holder_new(struct vault *vault)
{
	struct holder *holder = calloc(1, sizeof(*holder));
	bug_if(!holder);
	holder->vault = vault;
	holder->marks = marks_new();
	holder->again_timer = evtimer_new(vault->process->base, on_again, holder);
	bug_if(!holder->again_timer);
	TAILQ_INIT(&holder->waiting);
	TAILQ_INIT(&holder->again);
	return holder;
}

/* Looks that are under way find no holder any more, and end. */
void holder_destroy(struct holder **holder)
{
	struct holder *h = *holder;
	if (!h)
		return;
	*holder = NULL;
	drop(&h->waiting);
	drop(&h->again);
	event_free(h->again_timer);
	marks_destroy(&h->marks);
	free(h->assets);
	free(h);
}
