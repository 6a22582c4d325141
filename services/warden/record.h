/* record - what warden notes of an agent before it makes anything of it, in RUN/agents/<agent>.json, so that a start after a crash knows what there was.
 * It is no longer there once nothing of the agent is left. A crash of the whole machine leaves nothing alive that it could be needed for: it is not synced. */
#ifndef WARDEN_RECORD_H
#define WARDEN_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "services/warden/network.h"

struct record {
	char agent[32 + 1], boot[32 + 1], image[64 + 1], wallet[44 + 1], kind[16];
	uint64_t period, connections, started_ms;
	uint32_t slot;
	bool is_narrowed;
	uint32_t nranges;
	struct cidr range[NETWORK_RANGES_MAX]; /* distinct */
	bool is_ready;                         /* STARTED was said; what follows is known */
	pid_t pid;                             /* its first process */
	uint64_t pid_number;                   /* proc_started_at */
	uint64_t log_device, log_inode;
	uint32_t uid, gid; /* of the image, in the container: whose its files are */
};

/* What its link was made with; points into record. */
static inline struct network_limits record_limits(const struct record *record)
{
	return (struct network_limits){
	    record->connections, record->is_narrowed, record->range, record->nranges};
}

int record_write(const char *run, const struct record *record, struct error *err);
void record_remove(const char *run, const char *agent);
/* For a warden that starts: every record there is; what was written by half is removed. One that cannot be read is given with its agent alone, slot UINT32_MAX. */
int record_each(const char *run, void (*on_record)(void *arg, const struct record *record),
    void *arg, struct error *err);

#endif
