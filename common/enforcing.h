/* enforcing - which events a replica has not only read but enforced (architecture, rule 15): what an event began and what goes on after its hook holds a ticket,
 * and the event stays open, with all after it, until the ticket is given back. No clock, no socket. Memory does not grow: where more events are open than
 * there are batches, the newest share one, and are done a little later than they might be.
 */
#ifndef COMMON_ENFORCING_H
#define COMMON_ENFORCING_H

#include "common/ledger.h"

#define ENFORCING_BATCHES 64

/* Zeroed: nothing is open. */
struct enforcing {
	struct {
		struct event_id first; /* open from here on */
		uint64_t held;
	} batch[ENFORCING_BATCHES];
	uint64_t oldest, newest; /* numbers of batches, from 1; newest is 0 before the first */
};

/* id: of the event. Never 0; to be given back by enforcing_release. */
uint64_t enforcing_hold(struct enforcing *enforcing, struct event_id id);
void enforcing_release(struct enforcing *enforcing, uint64_t ticket);
/* A new history: its ids may be lower than those of before, so what is held is of all of it. */
void enforcing_restart(struct enforcing *enforcing);
/* One more for the same. */
void enforcing_share(struct enforcing *enforcing, uint64_t ticket);
/* The first event that is open; false: none is. */
bool enforcing_open(const struct enforcing *enforcing, struct event_id *id_r);

#endif
