#include "services/secret-vault/worker_batch.h"

#include <string.h>

#include "common/clock.h"

/* ---- lists ---- */

void job_list_add(struct job_list *list, struct job *job)
{
	job->next = NULL;
	if (list->last)
		list->last->next = job;
	else
		list->first = job;
	list->last = job;
	list->len++;
}

struct job *job_list_take(struct job_list *list)
{
	struct job *job = list->first;

	if (!job)
		return NULL;
	list->first = job->next;
	if (!list->first)
		list->last = NULL;
	list->len--;
	job->next = NULL;
	return job;
}

void job_list_append(struct job_list *list, struct job_list *more)
{
	if (!more->first)
		return;
	if (list->last)
		list->last->next = more->first;
	else
		list->first = more->first;
	list->last = more->last;
	list->len += more->len;
	*more = (struct job_list){0};
}

struct job_list batch_take(struct job_list *queued)
{
	struct job_list batch = {0};

	while (queued->first && batch.len < BATCH_MAX) {
		const struct job *next = queued->first;
		if (batch.first && (next->is_alone || batch.first->is_alone))
			break;
		if (batch.first && batch.first->kind == WORKER_READ && next->kind == WORKER_WRITE)
			break;
		job_list_add(&batch, job_list_take(queued));
	}
	return batch;
}

/* ---- running ---- */

void batch_fail(struct job_list *batch, const struct error *err)
{
	for (struct job *job = batch->first; job; job = job->next) {
		job->has_failed = true;
		job->err = *err;
	}
}

static void work(struct desk *desk, struct job *job)
{
	desk->now_ms = clock_unix_ms();
	job->has_failed = job->work(job->arg, desk, &job->err) < 0;
}

/* A job that read has failed, and with it perhaps the transaction: the others get a new one. */
static int read_on(struct desk *desk, struct error *err)
{
	highwater_undo(desk->highwater);
	if (db_check(desk->db, NULL) < 0) {
		db_rollback(desk->db);
		if (db_begin(desk->db, false, err) < 0)
			return -1;
	}
	return highwater_keep(desk->highwater, err);
}

static int run_reading(struct desk *desk, struct job_list *batch, struct error *err)
{
	for (struct job *job = batch->first; job; job = job->next) {
		work(desk, job);
		if ((job->has_failed ? read_on(desk, err) : highwater_keep(desk->highwater, err)) <
		    0)
			return -1;
	}
	return 0;
}

/* Each job between savepoints: what it did to store and marks goes with it if it fails. */
static int run_writing(struct desk *desk, struct job_list *batch, struct error *err)
{
	for (struct job *job = batch->first; job; job = job->next) {
		if (db_savepoint(desk->db, err) < 0)
			return -1;
		work(desk, job);
		if (job->has_failed) {
			highwater_undo(desk->highwater);
			db_rollback_to_savepoint(desk->db);
		} else if (db_release(desk->db, err) < 0) {
			return -1;
		}
		if (db_check(desk->db, err) < 0 || highwater_keep(desk->highwater, err) < 0)
			return -1;
	}
	return 0;
}

/* Marks that cannot be kept are found before the store's commit as far as that is possible. */
static int commit(struct desk *desk, struct job *first, struct error *err)
{
	uint64_t began_us = clock_boot_us();

	if (highwater_keep(desk->highwater, err) < 0 || db_commit(desk->db, err) < 0 ||
	    highwater_commit(desk->highwater, err) < 0)
		return -1;
	first->commit_us = clock_boot_us() - began_us + 1;
	return 0;
}

static int run_shared(struct desk *desk, struct job_list *batch, struct error *err)
{
	bool writes = batch->first->kind == WORKER_WRITE;

	if (db_begin(desk->db, writes, err) < 0)
		return -1;
	if (writes && batch->len == 1) {
		work(desk, batch->first);
		if (batch->first->has_failed) {
			db_rollback(desk->db);
			highwater_forget(desk->highwater);
			return 0;
		}
	} else if ((writes ? run_writing : run_reading)(desk, batch, err) < 0) {
		return -1;
	}
	return commit(desk, batch->first, err);
}

static int run_alone(struct desk *desk, struct job *job, struct error *err)
{
	work(desk, job);
	db_rollback(desk->db);
	if (job->has_failed) {
		highwater_forget(desk->highwater);
		return 0;
	}
	return highwater_commit(desk->highwater, err);
}

/* A job that met trouble with the disk met what the next one will meet. */
static int look_for_trouble(const struct job_list *batch, struct error *err)
{
	for (const struct job *job = batch->first; job; job = job->next) {
		if (job->has_failed && strcmp(job->err.reason, "storage_unavailable") == 0) {
			*err = job->err;
			return -1;
		}
	}
	return 0;
}

int batch_run(struct desk *desk, struct job_list *batch, struct error *err)
{
	int rc = batch->first->is_alone ? run_alone(desk, batch->first, err)
					: run_shared(desk, batch, err);

	if (rc == 0)
		return look_for_trouble(batch, err);
	db_rollback(desk->db);
	highwater_forget(desk->highwater);
	batch_fail(batch, err);
	return -1;
}
