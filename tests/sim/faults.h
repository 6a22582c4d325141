/* faults - what goes wrong in this seed, and when. */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include "tests/sim/server.h"

struct faults {
	unsigned bell_lost_percent, bell_twice_percent, bell_late_percent;
	uint64_t bus_slow_us;
	uint64_t clocks_right_since; /* of sessions: what was signed before is no good, rightly */
};
extern struct faults faults;

/* A script was executed for the process: what waits for that moment happens. True: something waits for its answer, too. */
bool faults_executed(
    struct proc *proc, const char *op, const struct db *db, const redisReply *reply);
void faults_answered(struct proc *proc);

/* Plans what happens between the two times. */
void faults_begin(uint64_t from, uint64_t to);
/* Everything is well from now on. */
void faults_end(void);

#endif
