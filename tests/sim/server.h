/* server - the simulated Redis: one primary, what it had at some earlier moment, and one that was demoted and does not know who else serves. */
#ifndef SIM_SERVER_H
#define SIM_SERVER_H

#include "tests/sim/proc.h"
#include "tests/sim/script.h"

struct server {
	struct db db;
	bool is_up;
	uint64_t behind_us; /* its clock */
	uint64_t life;      /* a connection is to one of them */
};

enum server_loss { LOSS_NOTHING, LOSS_TAIL, LOSS_ALL };

void server_begin(enum script_size size, bool trims_early);
struct server *server_primary(void);
struct server *server_demoted(void); /* NULL: there is none */

redisReply *server_run(struct server *server, const char *text, int argc, const char *const *argv,
    const size_t *argvlen);

/* What is written from now on is what a failover may lose. */
void server_snapshot(void);
/* The primary's process ends; the next one serves at once, if is_failover with the old one left, demoted. LOSS_TAIL: as of the snapshot. */
void server_replace(enum server_loss loss, bool is_failover);
/* FLUSHALL, in the same process. */
void server_flush(void);
/* Its clock is set back. Ids in the stream, which never fall, follow each other closely from then on, so that the next process gives out again what was lost. */
void server_set_back(uint64_t us);

#endif
