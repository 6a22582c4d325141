/* redis_sentinels - points a link at the primary: asks every Sentinel each 250 ms where it is, and
 * follows what a majority of all that are configured says at once. Fewer, or none that agree: the
 * link stays where it is, or nowhere. So half a network that is cut off finds no primary of its
 * own, and what happens to a connection needs no notice of its own: lost, demoted or cut off, the
 * next answers name another one. (Asked, a Sentinel tells of a promotion before it publishes
 * +switch-master.) What they say is believed only in form; the link makes the primary prove itself.
 * Source: redis.io, "Guidelines for Redis clients with support for Redis Sentinel". Internal to
 * redis.c. */
#ifndef COMMON_REDIS_SENTINELS_H
#define COMMON_REDIS_SENTINELS_H

#include "common/redis.h"

struct redis_sentinels;

/* Borrows link, which outlives it; keeps metrics. The login is that of Redis. ERR_INVALID. Caller
 * owns the result. */
struct redis_sentinels *redis_sentinels_new(struct event_base *base,
    const struct redis_sentinel_list *list, const struct redis_login *login,
    struct redis_link *link, struct metrics *metrics, struct error *err);
void redis_sentinels_destroy(struct redis_sentinels **sentinels);

#endif
