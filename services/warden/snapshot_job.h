/* snapshot_job - an agent's files into an archive: the work of a job. */
#ifndef WARDEN_SNAPSHOT_JOB_H
#define WARDEN_SNAPSHOT_JOB_H

#include "services/warden/packer.h"

enum snapshot_report {
	SNAPSHOT_SAVING = 1, /* number of more bytes */
	SNAPSHOT_DONE,       /* fd: a memfd of the packer's last report */
	SNAPSHOT_FAILED,     /* text */
};

struct snapshot_job {
	const struct host *host;
	struct packer_order order; /* its key is wiped once the packer has it */
	char group_name[PACKER_GROUP_LEN];
	int group, root, archive;
	int secrets; /* a checked memfd, as beside SNAPSHOT */
	int given;   /* the folder of those of its start */
	bool
	    must_freeze; /* for a while: its processes are let go on when that is over, whatever there is still to do */
};

/* A job_work. Who starts it thaws the agent when it has ended, however that was. */
int snapshot_job_run(void *arg, int report_fd);

#endif
