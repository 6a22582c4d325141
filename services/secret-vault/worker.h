/* worker - the one thread that may wait for the disk. It takes all jobs there are (256 at most) into one transaction, so that they share one commit (group
 * commit), then commits the high-water marks, then hands each back to the loop. A job that fails is undone alone; a commit that fails fails them all.
 */
#ifndef SECRET_VAULT_WORKER_H
#define SECRET_VAULT_WORKER_H

#include <event2/event.h>

#include "common/metrics.h"
#include "services/secret-vault/highwater.h"
#include "services/secret-vault/seal.h"

/* What a job works with, in the worker's thread, inside a transaction. */
struct desk {
	struct db *db;
	struct highwater *highwater;
	struct master *master; /* NULL: the vault is not open */
	struct master
	    *next;       /* while the master key is being changed: wraps some of the data keys */
	uint64_t now_ms; /* Unix */
	/* wrapped data keys that were destroyed since the last scrubbing; overflown at the start: an earlier process may have left some */
	struct db_traces traces;
};
enum worker_kind { WORKER_READ, WORKER_WRITE };
/* In the worker's thread. May log; touches nothing but arg and the desk. 0, or -1 with err. */
typedef int (*worker_work)(void *arg, struct desk *desk, struct error *err);
/* On the loop, exactly once, never from inside worker_do. err NULL: committed. */
typedef void (*worker_done)(void *arg, const struct error *err);

struct worker;
struct worker_config {
	const char *store;     /* db_open's */
	const char *highwater; /* path */
	size_t queued_max;     /* jobs; beyond: ERR_BUSY */
};
/* The thread starts at once and opens store and marks; until that has worked it tries again each second and jobs fail with storage_unavailable.
 * Caller owns the result. */
struct worker *worker_new(struct event_base *base, const struct worker_config *config,
    struct metrics *metrics, struct error *err);
/* What is queued is done first; their done callbacks are called before it returns. */
void worker_destroy(struct worker **worker);

void worker_do(
    struct worker *worker, enum worker_kind kind, worker_work work, worker_done done, void *arg);
/* The same without a transaction around it, alone: for what opens, closes, scrubs. A transaction that it leaves open is rolled back; marks that it raised
 * are committed if it returns 0, else forgotten. */
void worker_do_alone(struct worker *worker, worker_work work, worker_done done, void *arg);
/* Is the storage open, as of the last batch? why_r: in words if not. */
bool worker_is_ready(struct worker *worker, char *why_r, size_t size);

#endif
