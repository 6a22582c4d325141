/* outage - takes processes of a suite that deploy/run keeps going away, for a while: kills one, which is started again, or stops one and lets it go on.
 *
 * The working directory is the suite's state folder. Who is who stands in run/<name>.pid, a folder that every daemon may write to; so nothing is signalled
 * by its number alone: it must be a child of the process that run/supervisor.pid names, that one must stand in this folder, and its program must be the
 * one of that name. A descriptor of the process is held meanwhile, so that a number that is used again means nobody else.
 */
#ifndef CLI_OUTAGE_H
#define CLI_OUTAGE_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define OUTAGE_NAME_MAX 40
#define OUTAGES_MAX 32
#define OUTAGE_PAUSE_MS 3000u
#define OUTAGE_PAUSE_MS_MAX 60000u

struct outage {
	char name[OUTAGE_NAME_MAX]; /* as its pid file's: "router-1", "redis" */
	unsigned pause_ms;          /* 0: killed */
	uint64_t at_us;             /* when it is to begin */
	uint64_t end_us;            /* once it has begun: when it ends */
	int fd, guard;              /* of the process, and of who lets it go on; -1 before */
	bool begun, ended;
	bool was_signalled; /* false: it was on its way up again by itself */
};

struct outages {
	struct outage item[OUTAGES_MAX];
	size_t len;
};

/* Adds one of each running process that word means: a name (router-1) or a role (router), whose replicas all count. ERR_NOT_FOUND; ERR_DENIED where one may
 * not be signalled, or is not what its file says. */
int outages_add(struct outages *outages, const char *word, unsigned pause_ms, struct error *err);
/* Adds one or two, of those that decide who is let in: killed or paused, by chance. */
int outages_add_any(struct outages *outages, struct error *err);
/* How many processes of a role run; role "" : all that decide. */
size_t outages_running(const char *role, char (*names_r)[OUTAGE_NAME_MAX], size_t max);
/* How many of them are of a role. */
size_t outages_of(const struct outages *outages, const char *role);

/* Begins and ends what is due. */
void outages_turn(struct outages *outages, uint64_t now_us);
bool outages_are_over(const struct outages *outages);
/* Lets all that is stopped go on, now. */
void outages_end(struct outages *outages);

#endif
