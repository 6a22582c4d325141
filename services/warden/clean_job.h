/* clean_job - what is left of an agent that has no process any more: the work of a job. */
#ifndef WARDEN_CLEAN_JOB_H
#define WARDEN_CLEAN_JOB_H

#include "services/warden/host.h"

enum clean_report {
	CLEAN_FAILED = 1, /* text: what is left; said at most once, the exit status is not 0 */
};

struct clean_job {
	const struct host *host;
	char agent[32 + 1], wallet[44 + 1]; /* wallet "": not known */
	uint64_t period;
	uint32_t slot; /* UINT32_MAX: not known */
	struct network_limits network;
	int root; /* the volume's, which nobody else holds open now; or -1 */
};

/* A job_work. */
int clean_job_run(void *arg, int report_fd);

#endif
