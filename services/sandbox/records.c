#include "services/sandbox/records.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include "common/log.h"
#include "common/scoped.h"

#define BASE32 "abcdefghijklmnopqrstuvwxyz234567"

struct job {
	char id[AGENT_ID_LEN + 1];
	char *text; /* NULL: remove */
	records_done done;
	void *arg;
	bool has_failed;
	struct error err;
	TAILQ_ENTRY(job) link;
};
TAILQ_HEAD(jobs, job);

struct records {
	int folder;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t more;
	struct jobs queued, finished; /* under mutex */
	bool is_stopping;             /* under mutex */
	int wake;                     /* eventfd: something is finished */
	struct event *woken;
};

/* ---- in the thread */

static int write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		text += n, len -= (size_t)n;
	}
	return 0;
}

static int write_file(int folder, const char *id, const char *text)
{
	char temporary[AGENT_ID_LEN + 8];
	snprintf(temporary, sizeof(temporary), "%s.tmp", id);
	scoped_fd int fd =
	    openat(folder, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || write_all(fd, text, strlen(text)) != 0 || fsync(fd) != 0)
		return -1;
	return renameat(folder, temporary, folder, id);
}

static void do_job(struct records *records, struct job *job)
{
	int rc = job->text ? write_file(records->folder, job->id, job->text)
			   : unlinkat(records->folder, job->id, 0);
	if (rc != 0 && !job->text && errno == ENOENT)
		rc = 0;
	if (rc != 0 || fsync(records->folder) != 0) {
		job->has_failed = true;
		error_refuse(&job->err, ERR_UNAVAILABLE, "host_failing", "the record of %s: %s",
		    job->id, strerror(errno));
	}
}

static void *run(void *arg)
{
	struct records *records = arg;
	const uint64_t one = 1;
	pthread_mutex_lock(&records->mutex);
	for (;;) {
		struct job *job = TAILQ_FIRST(&records->queued);
		if (!job && records->is_stopping)
			break;
		if (!job) {
			pthread_cond_wait(&records->more, &records->mutex);
			continue;
		}
		TAILQ_REMOVE(&records->queued, job, link);
		pthread_mutex_unlock(&records->mutex);
		do_job(records, job);
		pthread_mutex_lock(&records->mutex);
		TAILQ_INSERT_TAIL(&records->finished, job, link);
		if (write(records->wake, &one, sizeof(one)) < 0)
			log_debug("the loop is woken already");
	}
	pthread_mutex_unlock(&records->mutex);
	return NULL;
}

/* ---- on the loop */

static void finish(struct job *job)
{
	if (job->has_failed)
		log_error("a record could not be written", "agent", job->id, "why", job->err.text);
	if (job->done)
		job->done(job->arg, job->has_failed ? &job->err : NULL);
	if (job->text)
		sodium_memzero(job->text, strlen(job->text));
	free(job->text);
	free(job);
}

static struct job *next_finished(struct records *records)
{
	pthread_mutex_lock(&records->mutex);
	struct job *job = TAILQ_FIRST(&records->finished);
	if (job)
		TAILQ_REMOVE(&records->finished, job, link);
	pthread_mutex_unlock(&records->mutex);
	return job;
}

static void on_woken(evutil_socket_t fd, short what, void *arg)
{
	struct records *records = arg;
	struct job *job;
	uint64_t n;
	(void)what;
	if (read(fd, &n, sizeof(n)) < 0 && errno != EAGAIN)
		log_warn("eventfd", "why", strerror(errno));
	while ((job = next_finished(records)))
		finish(job);
}

void records_write(struct records *records, const char *id, const struct record *record,
    records_done done, void *arg)
{
	struct job *job = calloc(1, sizeof(*job));
	bug_if(!job);
	snprintf(job->id, sizeof(job->id), "%s", id);
	job->text = record ? record_text(record) : NULL;
	job->done = done;
	job->arg = arg;
	pthread_mutex_lock(&records->mutex);
	TAILQ_INSERT_TAIL(&records->queued, job, link);
	pthread_cond_signal(&records->more);
	pthread_mutex_unlock(&records->mutex);
}

/* ---- reading */

static int read_file(int folder, const char *id, struct record *record_r, struct error *err)
{
	scoped_fd int fd = openat(folder, id, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	scoped_free char *text = malloc(RECORD_TEXT_MAX + 1);
	size_t len = 0;
	ssize_t n = 0;
	bug_if(!text);
	while (fd >= 0 && len <= RECORD_TEXT_MAX &&
	       (n = read(fd, text + len, RECORD_TEXT_MAX + 1 - len)) > 0)
		len += (size_t)n;
	if (fd < 0 || n < 0)
		return error_set(err, ERR_INVALID, "%s", strerror(errno));
	int rc = len > RECORD_TEXT_MAX ? error_set(err, ERR_INVALID, "too long for a record")
				       : record_parse(text, len, id, record_r, err);
	sodium_memzero(text, RECORD_TEXT_MAX + 1);
	return rc;
}

static bool is_id(const char *name)
{
	return strlen(name) == AGENT_ID_LEN && strspn(name, BASE32) == AGENT_ID_LEN;
}

int records_read(struct records *records, records_found found, void *arg, struct error *err)
{
	int fd = openat(records->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct record *record = calloc(1, sizeof(*record));
	const struct dirent *entry;
	struct error why;
	bug_if(!record);
	if (!dir) {
		if (fd >= 0)
			close(fd);
		free(record);
		return error_set(err, ERR_INVALID, "the folder of records: %s", strerror(errno));
	}
	while ((entry = readdir(dir))) {
		if (!is_id(entry->d_name))
			continue; /* what a crash left half written was never true */
		bool is_good = read_file(records->folder, entry->d_name, record, &why) == 0;
		found(arg, entry->d_name, is_good ? record : NULL, is_good ? NULL : &why);
	}
	closedir(dir);
	sodium_memzero(record, sizeof(*record));
	free(record);
	return 0;
}

/* ---- life */

static int start_thread(struct records *records)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the loop's */
	int rc = pthread_create(&records->thread, NULL, run, records);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

struct records *records_new(struct event_base *base, const char *folder, struct error *err)
{
	if (mkdir(folder, 0700) != 0 && errno != EEXIST) {
		error_set(err, ERR_INVALID, "%s: %s", folder, strerror(errno));
		return NULL;
	}
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		error_set(err, ERR_INVALID, "%s: %s", folder, strerror(errno));
		return NULL;
	}
	struct records *records = calloc(1, sizeof(*records));
	bug_if(!records);
	records->folder = fd;
	records->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	bug_if(records->wake < 0);
	TAILQ_INIT(&records->queued);
	TAILQ_INIT(&records->finished);
	pthread_mutex_init(&records->mutex, NULL);
	pthread_cond_init(&records->more, NULL);
	records->woken = event_new(base, records->wake, EV_READ | EV_PERSIST, on_woken, records);
	bug_if(!records->woken || event_add(records->woken, NULL) != 0);
	bug_if(start_thread(records) != 0);
	return records;
}

void records_destroy(struct records **records)
{
	struct records *r = *records;
	struct job *job;
	if (!r)
		return;
	pthread_mutex_lock(&r->mutex);
	r->is_stopping = true;
	pthread_cond_signal(&r->more);
	pthread_mutex_unlock(&r->mutex);
	pthread_join(r->thread, NULL);
	while ((job = next_finished(r)))
		finish(job);
	*records = NULL;
	event_free(r->woken);
	close(r->wake);
	close(r->folder);
	pthread_cond_destroy(&r->more);
	pthread_mutex_destroy(&r->mutex);
	free(r);
}
