/* redis - asynchronous Redis on the loop (hiredis): one connection, reconnecting, with the
 * timeouts hiredis lacks. Replies arrive in order. Address: "unix:run/redis.sock" or "host:port"
 * (numeric address). AUTH goes first on every connection. With Sentinels it goes where they say
 * (redis_sentinels.h). Source of the traps avoided: edge-and-bus.md section 5. */
#ifndef COMMON_REDIS_H
#define COMMON_REDIS_H

#include <event2/event.h>
#include <hiredis/hiredis.h>

#include "common/error.h"
#include "common/metrics.h"
#include "common/redis_link.h"

struct redis;
/* reply NULL and err set: not sent, connection lost, timed out, or Redis said an error
 * (err->text holds it, code UNAVAILABLE; NOSCRIPT is handled inside). reply is borrowed for the
 * call. Called exactly once, never from inside redis_command. */
typedef void (*redis_done)(void *arg, const redisReply *reply, const struct error *err);

struct redis *redis_new(struct event_base *base, const char *address, const char *user,
    const struct secret *password, uint64_t timeout_ms, struct error *err);
/* The primary, wherever these Sentinels say it is. Duplicates in the list, and what redis_new
 * refuses: ERR_INVALID. Keeps metrics. */
struct redis_sentinel_list {
	const char *const *address; /* of every one there is: a majority of them decides */
	size_t len;                 /* 1..REDIS_SENTINELS_MAX */
	const char *primary;        /* the name under which they know it */
};
#define REDIS_SENTINELS_MAX 15
struct redis *redis_new_watched(struct event_base *base, const struct redis_sentinel_list *list,
    const struct redis_login *login, struct metrics *metrics, struct error *err);
/* Pending commands end with ERR_UNAVAILABLE before this returns. */
void redis_destroy(struct redis **redis);

/* Not connected: fails at once with ERR_UNAVAILABLE (nothing queues for a dead Redis). At most
 * 10,000 pending: ERR_BUSY. Arguments are copied. */
void redis_command(struct redis *redis, int argc, const char *const *argv, const size_t *argvlen,
    redis_done done, void *arg);
/* EVALSHA with no keys; on NOSCRIPT once more as EVAL with the text, which outlives redis. sha:
 * 40 hex, or NULL: computed (and remembered for the last two texts). */
void redis_script(struct redis *redis, const char *sha, const char *text, int argc,
    const char *const *argv, const size_t *argvlen, redis_done done, void *arg);
/* Sends and reads, without the loop, until nothing is under way or ms are over. For the end of a process: what was asked is told from inside it. */
void redis_drain(struct redis *redis, uint64_t ms);
bool redis_is_ready(const struct redis *redis);
/* Which Redis is used: "" while that is not known. Borrowed until the loop runs again. */
const char *redis_address(const struct redis *redis);

#endif
