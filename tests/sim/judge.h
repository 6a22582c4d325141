/* judge - what is true, kept apart from the code that is judged, and what must not happen. It watches the scripts as they are executed (who was seen to own what,
 * which sessions were made and ended, what the last writes were when they were lost), and every allow that a router gives.
 *
 *	I1	a look says good exactly as long as the session exists and nobody else has been seen to own the asset at or after the slot of its proof;
 *		what ends a session adds an event in the same step; a sign-in is granted on no slot that nobody observed
 *	I2	two seconds after a session's end is written no router allows it
 *	I3	an end that Redis lost stays one, if one process that knew of it has reached Redis before the new history has settled
 *	15	a router that has told a cursor beyond the end's event allows that session no more
 *	18	nothing is allowed while the last sweep that counted is older than the grace
 */
#ifndef SIM_JUDGE_H
#define SIM_JUDGE_H

#include "common/ledger.h"
#include "tests/sim/server.h"

#define HISTORIES_MAX 12

/* The newest event that a process knows of, by history. */
struct judge_known {
	struct event_id id[HISTORIES_MAX];
};
struct judge_call {
	const struct proc *proc;
	const struct judge_known *known; /* when it was sent */
	int argc;
	const char *const *argv;
	bool is_primary;
};

void judge_begin(uint64_t chain_grace_us);
void judge_started(const struct proc *proc); /* it knows nothing */
const struct judge_known *judge_known(const struct proc *proc);
void judge_heard(const struct proc *proc, const char *history, const char *id);
void judge_executed(const struct judge_call *call, const struct db *db, const redisReply *reply);
void judge_answered(
    const struct proc *proc, int argc, const char *const *argv, const redisReply *reply);
void judge_snapshot(void);
void judge_replaced(enum server_loss loss);
void judge_set_back(void); /* the history settles anew */

/* A router has answered a request with this session. */
void judge_decided(const struct proc *router, const char *jti, bool is_allowed);
/* Everything is well and has been for long enough: is it served? */
void judge_settled(const struct proc *router, const char *jti, int status);

bool judge_is_good(const char *jti);
uint64_t judge_history_began(void); /* µs, of the newest one */
/* When sessions last ended; their jti's as far as they fit. For who wants to look closely then. */
const char *judge_last_ended(void);

struct judge_count {
	uint64_t scripts, allows, denials, ends, lost_ends, proven_ends, receipts, histories, late;
};
extern struct judge_count judge_count; /* over all seeds */

#endif
