#include "services/snapshot-store/transfers.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include "common/clock.h"

#define STACK (512 * 1024)
#define TICK_S 1

struct running {
	LIST_ENTRY(running) next;
	STAILQ_ENTRY(running) next_ended;
	struct transfers *all;
	struct transfer *transfer;
	pthread_t thread;
	uint64_t began_us;
	int status;
	bool is_forgotten;
};

struct transfers {
	struct storage *storage;
	struct transfers_hooks hooks;
	LIST_HEAD(, running) running;
	size_t nrunning, nmine; /* all, and those that are not forgotten */
	int ended_fd;           /* rings when one ends */
	struct event *ends, *tick;
	pthread_mutex_t mutex; /* of ended */
	STAILQ_HEAD(, running) ended;
};

/* ---- the threads ---- */

static int carry_out(struct storage *storage, struct transfer *transfer)
{
	switch (transfer->what) {
	case STORE_PUT:
		return storage->ops->put(storage, transfer);
	case STORE_GET:
		return storage->ops->get(storage, transfer);
	case STORE_DELETE:
		return storage->ops->remove(storage, transfer);
	case STORE_SWEEP:
		return storage->ops->sweep(storage, transfer);
	default:
		return transfer_fail(transfer, STORE_INVALID, "no such request");
	}
}

static void *run(void *arg)
{
	struct running *running = arg;
	struct transfers *all = running->all;
	struct transfer *transfer = running->transfer;

	running->status = carry_out(all->storage, transfer);
	if (running->status == 0)
		transfer_finish(transfer);
	if (transfer->pipe >= 0)
		close(transfer->pipe);
	transfer->pipe = -1;
	pthread_mutex_lock(&all->mutex);
	STAILQ_INSERT_TAIL(&all->ended, running, next_ended);
	pthread_mutex_unlock(&all->mutex);
	(void)eventfd_write(all->ended_fd, 1);
	return NULL;
}

/* ---- the loop ---- */

static struct running *take_ended(struct transfers *transfers)
{
	pthread_mutex_lock(&transfers->mutex);
	struct running *first = STAILQ_FIRST(&transfers->ended);
	if (first)
		STAILQ_REMOVE_HEAD(&transfers->ended, next_ended);
	pthread_mutex_unlock(&transfers->mutex);
	return first;
}

static void take_out(struct transfers *transfers, struct running *running)
{
	LIST_REMOVE(running, next);
	transfers->nrunning--;
	transfers->nmine -= !running->is_forgotten;
}

static void end(struct transfers *transfers, struct running *running)
{
	bug_if(pthread_join(running->thread, NULL) != 0);
	take_out(transfers, running);
	if (!running->is_forgotten)
		transfers->hooks.on_end(transfers->hooks.arg, running->transfer, running->status,
		    clock_boot_us() - running->began_us);
	transfer_destroy(&running->transfer);
	free(running);
}

static void on_ends(evutil_socket_t fd, short what, void *arg)
{
	struct transfers *transfers = arg;
	struct running *running;
	eventfd_t n;

	(void)what;
	(void)eventfd_read(fd, &n);
	while ((running = take_ended(transfers)))
		end(transfers, running);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct transfers *transfers = arg;
	const struct running *running;

	(void)fd, (void)what;
	LIST_FOREACH(running, &transfers->running, next)
	if (!running->is_forgotten)
		transfers->hooks.on_progress(transfers->hooks.arg, running->transfer);
}

static bool start_thread(struct running *running)
{
	pthread_attr_t attributes;

	bug_if(pthread_attr_init(&attributes) != 0 ||
	       pthread_attr_setstacksize(&attributes, STACK) != 0);
	int rc = pthread_create(&running->thread, &attributes, run, running);
	pthread_attr_destroy(&attributes);
	return rc == 0;
}

int transfers_start(struct transfers *transfers, struct transfer *transfer)
{
	struct running *running = calloc(1, sizeof(*running));
	bool has_room =
	    transfers->nmine < STORE_REQUESTS_MAX && transfers->nrunning < TRANSFERS_MAX;

	bug_if(!running);
	*running = (struct running){
	    .all = transfers, .transfer = transfer, .began_us = clock_boot_us(), .status = -1};
	if (has_room && transfer->cancel_fd >= 0) {
		LIST_INSERT_HEAD(&transfers->running, running, next);
		transfers->nrunning++;
		transfers->nmine++;
		if (start_thread(running))
			return 0;
		take_out(transfers, running);
	}
	transfer_destroy(&running->transfer);
	free(running);
	return -1;
}

static struct running *find(const struct transfers *transfers, uint64_t ticket)
{
	struct running *running;

	LIST_FOREACH(running, &transfers->running, next)
	if (!running->is_forgotten && running->transfer->ticket == ticket)
		return running;
	return NULL;
}

bool transfers_have(const struct transfers *transfers, uint64_t ticket)
{
	return find(transfers, ticket) != NULL;
}

void transfers_cancel(struct transfers *transfers, uint64_t ticket)
{
	struct running *running = find(transfers, ticket);

	if (running)
		transfer_cancel(running->transfer);
}

void transfers_forget(struct transfers *transfers)
{
	struct running *running;

	LIST_FOREACH(running, &transfers->running, next)
	{
		running->is_forgotten = true;
		transfer_cancel(running->transfer);
	}
	transfers->nmine = 0;
}

size_t transfers_running(const struct transfers *transfers)
{
	return transfers->nrunning;
}

/* ---- opened and closed ---- */

struct transfers *transfers_new(
    struct event_base *base, struct storage *storage, const struct transfers_hooks *hooks)
{
	struct transfers *transfers = calloc(1, sizeof(*transfers));
	const struct timeval tick = {TICK_S, 0};

	bug_if(!transfers);
	*transfers = (struct transfers){.storage = storage, .hooks = *hooks};
	LIST_INIT(&transfers->running);
	STAILQ_INIT(&transfers->ended);
	bug_if(pthread_mutex_init(&transfers->mutex, NULL) != 0);
	transfers->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	bug_if(transfers->ended_fd < 0);
	transfers->ends =
	    event_new(base, transfers->ended_fd, EV_READ | EV_PERSIST, on_ends, transfers);
	transfers->tick = event_new(base, -1, EV_PERSIST, on_tick, transfers);
	bug_if(!transfers->ends || !transfers->tick || event_add(transfers->ends, NULL) != 0 ||
	       event_add(transfers->tick, &tick) != 0);
	return transfers;
}

int transfers_destroy(struct transfers **transfers, unsigned ms)
{
	struct transfers *all = *transfers;
	uint64_t until_ms = clock_boot_ms() + ms;

	transfers_forget(all);
	for (uint64_t now_ms; all->nrunning && (now_ms = clock_boot_ms()) < until_ms;) {
		struct pollfd fd = {.fd = all->ended_fd, .events = POLLIN};
		(void)poll(&fd, 1, (int)(until_ms - now_ms));
		on_ends(all->ended_fd, EV_READ, all);
	}
	if (all->nrunning)
		return -1;
	event_free(all->ends);
	event_free(all->tick);
	close(all->ended_fd);
	pthread_mutex_destroy(&all->mutex);
	free(all);
	*transfers = NULL;
	return 0;
}
