/* holder - what this host holds, judged by who owns it now (architecture, rule 14): looked at in the ledger at the start, on an event of its asset, on a
 * new history; somebody else was seen since: killed, wiped, forgotten; nobody vouches: killed. What was heard on the bell is looked at at once, without
 * waiting for the read that follows it.
 */
#ifndef SANDBOX_HOLDER_H
#define SANDBOX_HOLDER_H

#include "services/sandbox/agent.h"

struct holder *holder_new(struct sandbox *sandbox);
void holder_destroy(struct holder **holder);
void holder_look_at_all(struct holder *holder);
/* must_reset: a session ended; connections end too, and those of good sessions come back through the decision. */
void holder_look_at(struct agent *agent, bool must_reset);
/* The driver has it, and was not asked yet when all was looked at: what that look found of it went to nobody. ticket: of that look; a share of it is taken. */
void holder_look_at_found(struct agent *agent, uint64_t ticket);
void holder_forget(struct agent *agent);
/* The driver's answer to a reset. */
void holder_was_reset(struct agent *agent, const char *why);
/* Connections of the driver's that was lost are not known to be reset: again. */
void holder_reset_again(struct agent *agent);
/* What was killed, or is being reset, has moved on: is what events began over? */
void holder_settle(struct agent *agent);
bool holder_has_looked(const struct holder *holder);

/* The agent has a place, and it is another host. */
bool holder_is_elsewhere(const struct sandbox *sandbox, const struct ledger_owner *owner);

void holder_mark(struct holder *holder, const struct ledger_event *event);
/* A new history: everything up to head counts as marked. */
void holder_unmark(struct holder *holder, struct event_id head);
/* Has nothing of the asset been heard after position, of this history? */
bool holder_is_current(
    const struct holder *holder, const char *asset, const char *history, struct event_id position);

#endif
