/* follower - how every daemon keeps up with the events, as it is (architecture, rules 8-12, 16,
 * 17): a read every 250 ms, the lease counted from the moment of sending, marks, starting over,
 * the bell. The metrics read it: destroy it after the last scrape.
 */
#ifndef COMMON_FOLLOWER_H
#define COMMON_FOLLOWER_H

#include <event2/event.h>

#include "common/ledger.h"
#include "common/metrics.h"

#define FOLLOW_EVERY_MS 250
#define LEASE_MS 2000

struct follower;
struct follower_hooks {
	/* an event, in order, once per history; the cursor passes it when this has returned */
	void (*on_event)(void *arg, const struct ledger_event *event);
	/* drop every cached answer; everything up to head counts as marked (rule 12). Also
	 * called before the first lease. */
	void (*on_restart)(void *arg, const char *history, struct event_id head);
	/* something was heard on the bell: mark it now; the read follows (rule 9). Same history
	 * only. May be NULL. */
	void (*on_heard)(void *arg, const struct ledger_event *event);
	void *arg;
};

/* name: unique per replica ("router-1"). Starts reading at once. Keeps hooks' pointers. Caller
 * owns the result. */
struct follower *follower_new(struct event_base *base, struct redis *redis, const char *name,
    const char *role, const struct follower_hooks *hooks, struct metrics *metrics);
void follower_destroy(struct follower **follower);

/* What a hook begins that ends an event's effects later holds a ticket: until it is given back, neither the event nor those after it are told as enforced (rule 15).
 * Within on_event it is that event's, within on_restart everybody's so far, outside 0, which needs not be given back. */
uint64_t follower_hold(struct follower *follower);
/* Gives it back; 0 afterwards. follower may be NULL: the process ends. */
void follower_release(struct follower *follower, uint64_t *ticket);
/* One more for the same, unless it is 0. follower may be NULL. Returns ticket. */
uint64_t follower_share(struct follower *follower, uint64_t ticket);
/* Of two that wait for the same, the younger goes: while the older is held, so is what it stands for. */
void follower_merge(struct follower *follower, uint64_t *into, uint64_t *from);

/* Is there a lease at this very moment (CLOCK_BOOTTIME now, not the loop's)? Compared at the
 * decision. */
bool follower_has_lease(const struct follower *follower);
/* Milliseconds left of the lease; 0: none. */
uint64_t follower_lease_ms(const struct follower *follower);

/* "" before the first answer. A new number for every history seen, for cheap comparing; 0: none
 * yet. */
const char *follower_history(const struct follower *follower);
uint32_t follower_history_number(const struct follower *follower);
/* The last event handled. */
struct event_id follower_cursor(const struct follower *follower);

/* Is everything up to an event handled that was Redis' newest at some moment? */
bool follower_has_handled(const struct follower *follower, const char *history, struct event_id id);

/* Chain state as of the last read. Age (rule 18): the larger of the age by Redis' clock and the
 * time since the slot last rose by our own; UINT64_MAX if no sweep ever counted. */
const struct ledger_chain *follower_chain(const struct follower *follower);
uint64_t follower_chain_age_ms(const struct follower *follower);
/* Redis' clock now, by the last read plus the time since; 0: unknown. */
uint64_t follower_redis_now_ms(const struct follower *follower);

/* An event that this process wrote, or heard on the bell: remembered as newest (rule 17), brings
 * the next read forward. asset NULL: unknown. */
void follower_wrote(struct follower *follower, const char *history, struct event_id id);
void follower_heard(
    struct follower *follower, const char *history, const char *event_id, const char *asset);

#endif
