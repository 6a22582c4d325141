/* runtime - the OCI runtime: runc, or what is set in its place. Everything here blocks and is called in a job. */
#ifndef WARDEN_RUNTIME_H
#define WARDEN_RUNTIME_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/error.h"

#define RUNTIME_PATH_MAX 300

struct runtime {
	char path[RUNTIME_PATH_MAX]; /* of the program */
	char root[RUNTIME_PATH_MAX]; /* of its state: RUN/runtime */
	char name[64];               /* "runc 1.1.5+ds1", for people */
	char warning[160];           /* what it cannot do, or "" */
};

/* Finds it and asks for its version. name: a path, or a name in PATH. */
int runtime_find(const char *name, const char *run, struct runtime *runtime_r, struct error *err);

/* Starts a container from bundle with stdio as its standard output and error. Returns the process id of its first process, or -1 with the runtime's own words. */
pid_t runtime_run(const struct runtime *runtime, const char *agent, const char *bundle, int stdio,
    struct error *err);
/* Forgets a container, killing what is left of it. Nothing happens if it is not known. */
int runtime_delete(const struct runtime *runtime, const char *agent, struct error *err);

#endif
