/* store_link - the connection to snapshot-store (proto/store.h): connects, and again every 100 ms while there is none. Everything is asked for and told later,
 * on the loop. What is under way when the connection ends fails with STORE_UNAVAILABLE.
 */
#ifndef SANDBOX_STORE_LINK_H
#define SANDBOX_STORE_LINK_H

#include <event2/event.h>
#include <stdbool.h>

#include "common/error.h"
#include "proto/store.h"

struct store_ended {
	bool is_done;
	enum store_failure failure; /* unless is_done */
	const char *text;           /* of the failure, for people */
	uint64_t bytes;             /* if is_done, as digest: of what was moved */
	const uint8_t *digest;
};
typedef void (*store_done)(void *arg, const struct store_ended *ended);

struct store_link;
/* path: kept. Caller owns the result; what is under way at its end fails, and *link is NULL by then. */
struct store_link *store_link_new(struct event_base *base, const char *path);
void store_link_destroy(struct store_link **link);
bool store_link_is_ready(const struct store_link *link, char *why, size_t size);
size_t store_link_busy(const struct store_link *link); /* how many requests are under way */

/* link NULL: there is none any more. Each returns a ticket; 0: it could not be asked (ERR_UNAVAILABLE, ERR_BUSY). fd: of a pipe, stays the caller's. done: called once, never from inside the call; NULL:
 * nobody wants to know. */
uint64_t store_link_put(struct store_link *link, const char *key, int fd, uint64_t bytes_max,
    store_done done, void *arg, struct error *err);
uint64_t store_link_get(struct store_link *link, const char *key, int fd, uint64_t bytes_max,
    store_done done, void *arg, struct error *err);
uint64_t store_link_delete(
    struct store_link *link, const char *key, store_done done, void *arg, struct error *err);
uint64_t store_link_sweep(
    struct store_link *link, const char *folder, store_done done, void *arg, struct error *err);
/* Its done is not called any more. What a PUT has stored all the same is deleted again. 0, or what is over: nothing. */
void store_link_cancel(struct store_link *link, uint64_t ticket);

/* Refused for the reason that ended says. */
int store_failed(const struct store_ended *ended, const char *what, struct error *err);

#endif
