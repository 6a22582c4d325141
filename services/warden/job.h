/* job - work that blocks, in a forked child: straight code there, reports over a socket, no wait in the loop. A job dies with warden. */
#ifndef WARDEN_JOB_H
#define WARDEN_JOB_H

#include <stdint.h>
#include <sys/types.h>

#include "services/warden/reaper.h"

#define JOB_TEXT_MAX 159
#define JOB_FDS_MAX 3

struct job_report {
	uint32_t kind;         /* the work's own */
	int32_t pid;           /* of the container's first process */
	uint64_t number, more; /* the work's own */
	char text[JOB_TEXT_MAX + 1];
};

struct job;
/* In the child: works, and reports by job_tell(). What it returns is the exit status. */
typedef int (*job_work)(void *arg, int report_fd);
struct job_hooks {
	/* In the child, before the work: closes what the work must not hold on to. */
	void (*close_all)(void *arg);
	/* In the loop. fds are the hook's to close. */
	void (*on_report)(void *arg, const struct job_report *report, const int *fds, size_t nfds);
	/* The last word: everything it reported came before. The job is gone. */
	void (*on_end)(void *arg, int status);
	void *arg;
};

/* cgroup_fd: where it and all that it starts are from their first moment; or -1. NULL: no process could be made. */
struct job *job_start(struct reaper *reaper, int cgroup_fd, const struct job_hooks *hooks,
    job_work work, void *work_arg);
/* Kills it, without another word to the hooks. */
void job_destroy(struct job **job);

/* In the child. Descriptors stay the caller's. */
void job_tell(int report_fd, const struct job_report *report, const int *fds, size_t nfds);

#endif
