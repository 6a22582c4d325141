/* redis_link - the connection under redis.c: opens, proves itself (AUTH, then a look at
 * maxmemory-policy), opens again with back-off and jitter. Knows no commands. Internal to
 * redis.c. */
#ifndef COMMON_REDIS_LINK_H
#define COMMON_REDIS_LINK_H

#include <event2/event.h>
#include <hiredis/async.h>

#include "common/error.h"
#include "common/secret.h"

struct redis_link;

/* Arguments as for redis_new; starts connecting at once. Caller owns the result. */
struct redis_link *redis_link_new(struct event_base *base, const char *address, const char *user,
    const struct secret *password, uint64_t timeout_ms, struct error *err);
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
