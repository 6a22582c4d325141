/* exec_job - one command in a running container, as its user: the work of a job. */
#ifndef WARDEN_EXEC_JOB_H
#define WARDEN_EXEC_JOB_H

#include "proto/warden.h"
#include "services/warden/host.h"

#define EXEC_OUTPUT_MAX 65536

enum exec_report {
	EXEC_DONE =
	    1, /* pid: status as of wait(2); number: whether output was cut; fd: a memfd of the output */
	EXEC_FAILED, /* text */
};

struct exec_job {
	const struct host *host;
	char agent[32 + 1], image[64 + 1], kind[16];
	int pidfd; /* of the container's first process */
	uint32_t len;
	char text[WARDEN_EXEC_BYTES];
	uint64_t timeout_ms;
};

/* A job_work. */
int exec_job_run(void *arg, int report_fd);

#endif
