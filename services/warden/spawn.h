/* spawn - a child process: put into its cgroup as it is made (moving one later costs a grace period of RCU), with no descriptor but those it is given. */
#ifndef WARDEN_SPAWN_H
#define WARDEN_SPAWN_H

#include <sys/types.h>

#include "common/error.h"

#define SPAWN_FDS_MAX 8
#define SPAWN_CLOSED (-2)

/* Like fork(2), for a process with one thread. cgroup_fd -1: stay where the parent is. pidfd_r (CLOEXEC) may be NULL. */
pid_t spawn_fork(int cgroup_fd, int *pidfd_r);

struct spawn {
	const char *const *argv; /* argv[0] is a path */
	int cgroup_fd;           /* or -1 */
	int fds
	    [SPAWN_FDS_MAX]; /* become 0, 1, 2 ... of the child; -1: /dev/null, SPAWN_CLOSED: none */
	size_t nfds;         /* at least 3 */
	const char *setting; /* NAME=value, or NULL: in its environment, besides PATH */
};
/* Returns the process id, or -1. The child has no environment but PATH and its setting, and dies with nobody. */
pid_t spawn_exec(const struct spawn *spawn, struct error *err);
/* Waits for it; -1 and *err unless it exits with 0. name is what errors call it. Kills it after timeout_ms. */
int spawn_wait(pid_t pid, const char *name, unsigned timeout_ms, struct error *err);

#endif
