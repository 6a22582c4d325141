/* redis_link - the connection under redis.c: opens, proves itself (AUTH), has the other side
 * prove that it is what it should be, opens again with back-off and jitter. Knows no commands.
 * Internal to redis.c and redis_sentinels.c. */
#ifndef COMMON_REDIS_LINK_H
#define COMMON_REDIS_LINK_H

#include <event2/event.h>
#include <hiredis/async.h>

#include "common/error.h"
#include "common/secret.h"

struct redis_link;

enum redis_link_kind {
	REDIS_LINK_ALONE, /* a Redis with maxmemory-policy noeviction */
	/* the same, and a primary that stops taking writes when its replicas are gone */
	REDIS_LINK_PRIMARY,
	/* a Sentinel; at most 2 elements and a few KB are taken from it at once */
	REDIS_LINK_SENTINEL,
};
struct redis_login {
	const char *user; /* NULL or "": none */
	const struct secret *password;
	uint64_t timeout_ms; /* to connect and prove */
};

/* Address as for redis_new, or NULL: not known yet. Starts connecting at once. Copies the login.
 * Caller owns the result. */
struct redis_link *redis_link_new(struct event_base *base, enum redis_link_kind kind,
    const char *address, const struct redis_login *login, struct error *err);
/* Another address from now on: the connection to the old one is given up before the new one is
 * opened. Nothing happens if it is the same, or (-1) none. Not for this link's callbacks. */
int redis_link_point(struct redis_link *link, const char *address, struct error *err);
/* "": not known yet. Borrowed until the next redis_link_point. */
const char *redis_link_address(const struct redis_link *link);
/* Every command under way is called back with NULL, before this returns or, from inside a reply,
 * right after the callback. */
void redis_link_destroy(struct redis_link **link);

/* To send on; NULL while there is none. Borrowed until the loop runs again. */
redisAsyncContext *redis_link_context(const struct redis_link *link);
/* Gives the connection up and opens another one. Not for the connect and disconnect callbacks. */
void redis_link_drop(struct redis_link *link, const char *why);
/* Why the last connection ended, "" if one is up. */
const char *redis_link_trouble(const struct redis_link *link);

#endif
