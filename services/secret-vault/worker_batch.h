/* worker_batch - what of the queue goes into one transaction, and how that is run: worker.h without threads. */
#ifndef SECRET_VAULT_WORKER_BATCH_H
#define SECRET_VAULT_WORKER_BATCH_H

#include "services/secret-vault/worker.h"

#define BATCH_MAX 256

struct job {
	struct job *next;
	enum worker_kind kind;
	bool is_alone; /* without a transaction around it */
	worker_work work;
	worker_done done;
	void *arg;
	bool has_failed;
	struct error err;
	uint64_t
	    commit_us; /* of the first job of a batch: how long its commit took, and 1; 0: there was none */
};
struct job_list {
	struct job *first, *last;
	size_t len;
};
void job_list_add(struct job_list *list, struct job *job);
void job_list_append(struct job_list *list, struct job_list *more); /* empties more */
struct job *job_list_take(struct job_list *list);                   /* NULL if it is empty */

/* The jobs at the front of the queue that share a transaction: one that is alone; or those that read, up to the first that writes, so that they wait
 * for no disk; or else whatever comes, up to one that is alone. The order stays. */
struct job_list batch_take(struct job_list *queued);
/* -1: the storage failed, err says how. Each job has its own outcome in either case. */
int batch_run(struct desk *desk, struct job_list *batch, struct error *err);
void batch_fail(struct job_list *batch, const struct error *err);

#endif
