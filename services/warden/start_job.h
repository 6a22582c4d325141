/* start_job - one container, from nothing to accepting connections: the work of a job (job.h), which may block. */
#ifndef WARDEN_START_JOB_H
#define WARDEN_START_JOB_H

#include "common/secret.h"
#include "proto/warden.h"
#include "services/warden/host.h"

enum start_report {
	START_SECRETS = 1, /* fd: the folder of secrets, before anything is in it */
	START_CREATED, /* pid, number: which process it is (its start time); more: its user, << 32, and group in the container; fds: pidfd, the log (both ways), mounts_view of /data */
	START_READY,   /* it accepts connections */
	START_FAILED,  /* text; number: enum warden_failure */
	START_FILLING, /* number of more bytes are unpacked */
};

struct start_job {
	const struct host *host;
	char agent[32 + 1], boot[32 + 1], image[64 + 1], wallet[44 + 1], kind[16];
	uint64_t period;
	uint32_t slot;
	struct warden_limits limits;
	uint64_t ready_ms;
	struct network_limits network;
	struct secret *volume_key; /* destroyed, in the job, once it is used */
	int files;                 /* the sealed memfd; checked */
	int volume_cgroup;         /* where its encryption process goes */
	enum warden_volume volume;
	struct warden_archive
	    archive;    /* of WARDEN_VOLUME_FILLED; its key is wiped once it is used */
	int archive_fd; /* where it is read from; or -1 */
};

/* A job_work. */
int start_job_run(void *arg, int report_fd);

#endif
