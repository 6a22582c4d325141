/* enter - a command among a container's own processes: in its namespaces and groups, as its user, behind its filter. The runtimes' own exec will not do: runc joins
 * the user namespace first, and from there the network namespace, which is the host's, is out of reach. */
#ifndef WARDEN_ENTER_H
#define WARDEN_ENTER_H

#include <sys/types.h>

#include "common/error.h"
#include "services/warden/host.h"

struct enter {
	const struct host *host;
	const char *agent;
	int pidfd;      /* of its first process */
	uid_t uid, gid; /* inside */
	const char *const *argv, *const *environment;
	int output; /* standard output and error */
};

/* Returns the process id of the command, a child, or -1. A command that cannot be run ends with 126 or 127 and says why on output. */
pid_t enter_run(const struct enter *enter, struct error *err);

#endif
