/* start_job - one container, from nothing to accepting connections: the work of a job (job.h), which may block. */
#ifndef WARDEN_START_JOB_H
#define WARDEN_START_JOB_H

#include "common/secret.h"
#include "proto/warden.h"
#include "services/warden/host.h"

enum start_report {
	START_SECRETS = 1, /* fd: the folder of secrets, before anything is in it */
	START_CREATED, /* pid, number: which process it is (its start time); fds: pidfd, the log (both ways), O_PATH of /data */
	START_READY,   /* it accepts connections */
	START_FAILED,  /* text */
};

struct start_job {
	const struct host *host;
	char agent[32 + 1], boot[32 + 1], image[64 + 1], wallet[44 + 1], kind[16];
	uint64_t period;
	uint32_t slot;
	struct warden_limits limits;
	uint64_t ready_ms;
	struct network_limits network;
	const struct secret *volume_key;
	int files;         /* the sealed memfd; checked */
	int volume_cgroup; /* where its encryption process goes */
};

/* A job_work. */
int start_job_run(void *arg, int report_fd);

#endif
