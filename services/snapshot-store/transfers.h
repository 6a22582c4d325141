/* transfers - the requests that are being carried out, each by a thread of its own, for a loop that never waits. */
#ifndef SNAPSHOT_STORE_TRANSFERS_H
#define SNAPSHOT_STORE_TRANSFERS_H

#include <event2/event.h>

#include "services/snapshot-store/storage.h"

/* Of one connection STORE_REQUESTS_MAX; those of a connection that is gone end soon, and count until then. */
#define TRANSFERS_MAX (2 * STORE_REQUESTS_MAX)

struct transfers;
struct transfers_hooks {
	/* It has ended; status 0, or transfer->failure says why. Not called for what was given up by transfers_forget. */
	void (*on_end)(void *arg, const struct transfer *transfer, int status, uint64_t us);
	void (*on_progress)(
	    void *arg, const struct transfer *transfer); /* once a second, of each */
	void *arg;
};

/* Caller owns the result. storage is borrowed. */
struct transfers *transfers_new(
    struct event_base *base, struct storage *storage, const struct transfers_hooks *hooks);
/* Takes transfer. -1, and transfer is gone: there are too many. */
int transfers_start(struct transfers *transfers, struct transfer *transfer);
bool transfers_have(const struct transfers *transfers, uint64_t ticket);
void transfers_cancel(struct transfers *transfers, uint64_t ticket);
/* Who asked is gone: ends all of them, and nobody is told. */
void transfers_forget(struct transfers *transfers);
size_t transfers_running(const struct transfers *transfers);
/* Forgets, and waits for the threads, ms at most. -1: some still run, and nothing that they use may go. */
int transfers_destroy(struct transfers **transfers, unsigned ms);

#endif
