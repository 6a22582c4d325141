/* host - what warden has found on the machine it runs on, and works with. */
#ifndef WARDEN_HOST_H
#define WARDEN_HOST_H

#include <jansson.h>
#include <stdbool.h>

#include "services/warden/cgroup.h"
#include "services/warden/network.h"
#include "services/warden/runtime.h"
#include "services/warden/warden_settings.h"

struct host {
	const struct warden_settings *settings;
	struct cgroups cgroups;
	struct runtime runtime;
	struct network *network;
	json_t *seccomp;
	char run[RUNTIME_PATH_MAX]; /* MULTICLAW_WARDEN_RUN, absolute */
	char work[40]; /* /run/multiclaw-<prefix>: where a job mounts, empty for everybody else */
	int lock, work_lock; /* of run and work: one warden */
	uint64_t files;      /* open ones that a container may have */
};

/* Looks for everything that a container needs; ERR_UNAVAILABLE says what is missing and what to do. Warnings go to the log. */
int host_open(struct host *host, const struct warden_settings *settings, struct error *err);
void host_close(struct host *host);
/* In a job, which must not keep another warden from starting. */
void host_close_locks(const struct host *host);
/* What MULTICLAW_* says of the network; denied points into settings. */
int host_network_open(struct host *host, struct error *err);

/* How many numbers there are for agents: as many as addresses, and as ranges of user ids. Beyond those, counting begins again at root. */
static inline uint32_t host_slots(const struct host *host)
{
	uint64_t ranges = (WARDEN_UID_END - host->settings->uid_base) / 65536;
	uint32_t links = network_slots(host->network);

	return ranges < links ? (uint32_t)ranges : links;
}

static inline uid_t host_uid_base(const struct host *host, uint32_t slot)
{
	return (uid_t)(host->settings->uid_base + (uint64_t)slot * 65536);
}

#endif
