#include "services/secret-vault/worker.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "services/secret-vault/worker_batch.h"

#define AGAIN_MS 1000 /* until the storage is tried again */

struct worker {
	struct event *woken;
	int queued_fd, finished_fd; /* bells between the loop and the thread */
	pthread_t thread;
	size_t queued_max;
	struct metric *batches, *jobs, *refused; /* of the loop alone, like all metrics */
	struct histogram *commits;

	/* of the thread alone */
	char *store, *marks;
	struct desk desk;
	uint64_t again_at_ms; /* 0: open, as far as is known; else jobs fail with err until then */
	struct error err;

	pthread_mutex_t mutex;
	/* under the mutex */
	struct job_list queued, finished;
	bool is_stopping, is_ready;
	char why[ERROR_TEXT_MAX];
};

static void lock(struct worker *worker)
{
	bug_if(pthread_mutex_lock(&worker->mutex) != 0);
}

static void unlock(struct worker *worker)
{
	bug_if(pthread_mutex_unlock(&worker->mutex) != 0);
}

static void ring(int fd)
{
	/* it only fails when it has been rung 2^64 times and not heard */
	eventfd_write(fd, 1);
}

static void hush(int fd)
{
	eventfd_t rung;

	eventfd_read(fd, &rung);
}

/* ---- the thread: its storage ---- */

static void set_ready(struct worker *worker, bool is_ready, const char *why)
{
	lock(worker);
	bool is_news = worker->is_ready != is_ready || strcmp(worker->why, why) != 0;
	worker->is_ready = is_ready;
	snprintf(worker->why, sizeof(worker->why), "%s", why);
	unlock(worker);
	if (is_news && is_ready)
		log_info("storage open", "kind", db_kind(worker->desk.db));
	else if (is_news)
		log_error("storage not usable", "why", why);
}

static void storage_failed(struct worker *worker, const struct error *err)
{
	worker->again_at_ms = clock_boot_ms() + AGAIN_MS;
	worker->err = *err;
	set_ready(worker, false, err->text);
}

static int open_storage(struct worker *worker, struct error *err)
{
	struct desk *desk = &worker->desk;

	if (!desk->db)
		desk->db = db_open(worker->store, err);
	if (!desk->db || store_create(desk->db, err) < 0)
		return -1;
	desk->highwater = highwater_open(worker->marks, err);
	return desk->highwater ? 0 : -1;
}

/* By writing: a full disk still reads. */
static int probe_store(struct db *db, struct error *err)
{
	static const uint8_t byte;

	if (db_begin(db, true, err) < 0)
		return -1;
	if (store_set(db, "probe", &byte, sizeof(byte), err) < 0) {
		db_rollback(db);
		return -1;
	}
	return db_commit(db, err);
}

static int probe_marks(struct highwater *marks, struct error *err)
{
	static const struct period nobody;

	if (highwater_raise(marks, &nobody, "probe", "", clock_unix_ms(), err) == 0)
		return highwater_commit(marks, err);
	highwater_forget(marks);
	return -1;
}

static int probe_storage(struct worker *worker, struct error *err)
{
	if (probe_store(worker->desk.db, err) < 0)
		return -1;
	return probe_marks(worker->desk.highwater, err);
}

static bool has_storage(struct worker *worker)
{
	struct error err = {0};

	if (worker->again_at_ms == 0)
		return true;
	if (clock_boot_ms() < worker->again_at_ms)
		return false;
	if ((worker->desk.highwater ? probe_storage : open_storage)(worker, &err) < 0) {
		storage_failed(worker, &err);
		return false;
	}
	worker->again_at_ms = 0;
	set_ready(worker, true, "");
	return true;
}

/* ---- the thread: its jobs ---- */

static bool take_batch(struct worker *worker, struct job_list *batch_r)
{
	lock(worker);
	*batch_r = batch_take(&worker->queued);
	bool is_over = !batch_r->first && worker->is_stopping;
	unlock(worker);
	return !is_over;
}

/* Until there are jobs, or it is time to try the storage. */
static void wait_for_jobs(struct worker *worker)
{
	struct pollfd bell = {.fd = worker->queued_fd, .events = POLLIN};
	uint64_t now = clock_boot_ms(), again_at = worker->again_at_ms;
	int wait_ms = again_at == 0 ? -1 : again_at <= now ? 0 : (int)(again_at - now);

	if (poll(&bell, 1, wait_ms) > 0)
		hush(worker->queued_fd);
}

static void hand_back(struct worker *worker, struct job_list *batch)
{
	lock(worker);
	job_list_append(&worker->finished, batch);
	unlock(worker);
	ring(worker->finished_fd);
}

static void run_batch(struct worker *worker, struct job_list *batch)
{
	struct error err = {0};

	if (!has_storage(worker))
		batch_fail(batch, &worker->err);
	else if (batch_run(&worker->desk, batch, &err) < 0)
		storage_failed(worker, &err);
	hand_back(worker, batch);
}

static void close_storage(struct worker *worker)
{
	struct desk *desk = &worker->desk;

	master_destroy(&desk->master);
	master_destroy(&desk->next);
	highwater_close(&desk->highwater);
	db_close(&desk->db);
}

static void *run(void *arg)
{
	struct worker *worker = arg;
	struct job_list batch;

	has_storage(worker);
	while (take_batch(worker, &batch)) {
		if (batch.first) {
			run_batch(worker, &batch);
		} else {
			wait_for_jobs(worker);
			has_storage(worker);
		}
	}
	close_storage(worker);
	return NULL;
}

/* Signals are the loop's. */
static void start_thread(struct worker *worker)
{
	sigset_t all, before;

	sigfillset(&all);
	bug_if(pthread_sigmask(SIG_SETMASK, &all, &before) != 0);
	bug_if(pthread_create(&worker->thread, NULL, run, worker) != 0);
	bug_if(pthread_sigmask(SIG_SETMASK, &before, NULL) != 0);
	pthread_setname_np(worker->thread, "storage");
}

/* ---- the loop ---- */

static void count(struct worker *worker, const struct job *job)
{
	if (!worker->jobs)
		return;
	metric_add(worker->jobs, 1);
	if (job->commit_us > 0) {
		metric_add(worker->batches, 1);
		histogram_observe_us(worker->commits, job->commit_us - 1);
	}
}

/* False if there was none. */
static bool tell_finished(struct worker *worker)
{
	struct job_list finished;
	struct job *job;

	lock(worker);
	finished = worker->finished;
	worker->finished = (struct job_list){0};
	unlock(worker);
	if (!finished.first)
		return false;
	while ((job = job_list_take(&finished))) {
		count(worker, job);
		job->done(job->arg, job->has_failed ? &job->err : NULL);
		free(job);
	}
	return true;
}

static void on_finished(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	hush(fd);
	tell_finished(arg);
}

static void add_metrics(struct worker *worker, struct metrics *metrics)
{
	if (!metrics)
		return;
	worker->batches = metrics_counter(
	    metrics, "multiclaw_vault_batches_total", "Transactions of the store.", NULL);
	worker->jobs = metrics_counter(
	    metrics, "multiclaw_vault_jobs_total", "Jobs done in those transactions.", NULL);
	worker->refused = metrics_counter(metrics, "multiclaw_vault_jobs_refused_total",
	    "Jobs refused because too many waited.", NULL);
	worker->commits = metrics_histogram(metrics, "multiclaw_vault_commit_seconds",
	    "From the end of a transaction's last job until it is on disk.", NULL);
}

struct worker *worker_new(struct event_base *base, const struct worker_config *config,
    struct metrics *metrics, struct error *err)
{
	struct worker *worker = calloc(1, sizeof(*worker));

	bug_if(!worker);
	worker->queued_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	worker->finished_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (worker->queued_fd < 0 || worker->finished_fd < 0) {
		if (worker->queued_fd >= 0)
			close(worker->queued_fd);
		free(worker);
		error_set(err, ERR_UNAVAILABLE, "no file descriptor is left");
		return NULL;
	}
	worker->woken =
	    event_new(base, worker->finished_fd, EV_READ | EV_PERSIST, on_finished, worker);
	worker->store = strdup(config->store);
	worker->marks = strdup(config->highwater);
	bug_if(!worker->store || !worker->marks || !worker->woken ||
	       event_add(worker->woken, NULL) != 0);
	worker->queued_max = config->queued_max;
	worker->again_at_ms = 1;
	error_refuse(&worker->err, ERR_UNAVAILABLE, "storage_unavailable", "not open yet");
	snprintf(worker->why, sizeof(worker->why), "not open yet");
	bug_if(pthread_mutex_init(&worker->mutex, NULL) != 0);
	add_metrics(worker, metrics);
	start_thread(worker);
	return worker;
}

void worker_destroy(struct worker **worker)
{
	struct worker *w = *worker;

	if (!w)
		return;
	lock(w);
	w->is_stopping = true;
	unlock(w);
	ring(w->queued_fd);
	bug_if(pthread_join(w->thread, NULL) != 0);
	while (tell_finished(w))
		;
	event_free(w->woken);
	close(w->queued_fd);
	close(w->finished_fd);
	pthread_mutex_destroy(&w->mutex);
	free(w->store);
	free(w->marks);
	free(w);
	*worker = NULL;
}

/* Its done is called by the loop in any case: never from in here. */
static void refuse(struct worker *worker, struct job *job)
{
	job->has_failed = true;
	if (worker->is_stopping)
		error_set(&job->err, ERR_UNAVAILABLE, "the vault is stopping");
	else
		error_refuse(&job->err, ERR_BUSY, "storage_busy",
		    "%zu jobs wait for the storage already", worker->queued.len);
	job_list_add(&worker->finished, job);
	ring(worker->finished_fd);
	if (worker->refused)
		metric_add(worker->refused, 1);
}

static void enqueue(struct worker *worker, struct job job)
{
	struct job *kept = malloc(sizeof(*kept));

	bug_if(!kept);
	*kept = job;
	lock(worker);
	bool is_first = !worker->queued.first;
	if (worker->is_stopping || worker->queued.len >= worker->queued_max)
		refuse(worker, kept);
	else
		job_list_add(&worker->queued, kept);
	unlock(worker);
	if (is_first)
		ring(worker->queued_fd);
}

void worker_do(
    struct worker *worker, enum worker_kind kind, worker_work work, worker_done done, void *arg)
{
	enqueue(worker, (struct job){.kind = kind, .work = work, .done = done, .arg = arg});
}

void worker_do_alone(struct worker *worker, worker_work work, worker_done done, void *arg)
{
	enqueue(worker, (struct job){.is_alone = true, .work = work, .done = done, .arg = arg});
}

bool worker_is_ready(struct worker *worker, char *why_r, size_t size)
{
	lock(worker);
	bool is_ready = worker->is_ready;
	snprintf(why_r, size, "%s", worker->why);
	unlock(worker);
	return is_ready;
}
