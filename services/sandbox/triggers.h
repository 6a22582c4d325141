/* triggers - when a snapshot of an agent is made, and what follows one: before it sleeps or stops, whose volume is held open for it; every so often while it runs; when it is asked for; before it
 * moves. Never while it starts, never two at a time for one agent.
 */
#ifndef SANDBOX_TRIGGERS_H
#define SANDBOX_TRIGGERS_H

#include "services/sandbox/snapshot.h"

#define TRIGGERS_AT_ONCE 8 /* snapshots under way on this host */

/* For how long its volume stays open when it is stopped now; 0: it need not. */
uint64_t triggers_hold_ms(const struct agent *agent);
void triggers_held(struct agent *agent);               /* nothing of it runs, the volume is open */
void triggers_gone(struct agent *agent);               /* the driver has nothing of it any more */
void triggers_tick(struct agent *agent, uint64_t now); /* by the clock */
/* It is saved and stopped, and nothing wakes it for SANDBOX_MOVE_MS from now: until then an operator may have placed it on another host. */
void triggers_move(struct agent *agent);
void triggers_stay(struct agent *agent); /* if it was to be moved, it is not: as it was before */
bool triggers_is_moving(const struct agent *agent);
int triggers_may_start(const struct agent *agent, struct error *err); /* ERR_BUSY: it is moved */
/* What the owner before left takes the place of /data, once that is saved. */
int triggers_accept(struct agent *agent, struct error *err);

/* ---- snapshot.c */
void triggers_ended(struct agent *agent, enum snapshot_trigger trigger, bool is_good);
void triggers_changed(struct agent *agent); /* how far it is */

#endif
