/* cgroup - an agent's control groups, in whatever layout this host has: cgroup v2 alone, or v1 controllers with a v2 hierarchy beside them ("hybrid").
 *
 * Names are below /multiclaw-<prefix>: "<agent>" is the container's, which the runtime makes; "jobs/<agent>" holds what warden has running for it, so that
 * one write ends that too; "volumes/<agent>" its encryption process, which outlives warden; "packers/<agent>" what reads or writes its files for a snapshot.
 */
#ifndef WARDEN_CGROUP_H
#define WARDEN_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

#define CGROUP_HIERARCHIES_MAX 16

struct cgroup_hierarchy {
	char base[128]; /* mount point and /multiclaw-<prefix> */
	bool is_v2, has_cpu, has_memory;
};

struct cgroups {
	size_t n;
	struct cgroup_hierarchy hierarchy[CGROUP_HIERARCHIES_MAX];
	const struct cgroup_hierarchy *v2; /* one of them */
	bool has_swap_limit;
	char path[32]; /* "/multiclaw-<prefix>", as the runtime is told */
};

/* Finds what is mounted and makes "jobs", "volumes" and "packers". */
int cgroups_open(struct cgroups *cgroups, const char *prefix, struct error *err);
/* Removes what is empty of the suite's own groups; agents that live keep theirs. */
void cgroups_close(const struct cgroups *cgroups);

/* A group of ours in the v2 hierarchy, made if it is not there; returns a descriptor of it for clone3(CLONE_INTO_CGROUP), or -1. */
int cgroup_make(const struct cgroups *cgroups, const char *name, struct error *err);
/* No CPU quota any more: what is to die must be allowed to run. */
void cgroup_unlimit(const struct cgroups *cgroups, const char *name);
/* Puts this process into it, in every hierarchy. */
int cgroup_join(const struct cgroups *cgroups, const char *name, struct error *err);
/* No more memory than bytes for what is in a group of ours, where the kernel has the controller; else nothing. */
void cgroup_limit_memory(const struct cgroups *cgroups, const char *name, uint64_t bytes);
/* Puts a process that was started in its v2 group into the others, where cgroup_limit_memory made one. */
void cgroup_put(const struct cgroups *cgroups, const char *name, pid_t pid);
/* Its processes stand still, until they are thawed or killed; that takes a moment. */
void cgroup_freeze(const struct cgroups *cgroups, const char *name, bool is_frozen);
bool cgroup_is_frozen(const struct cgroups *cgroups, const char *name);
/* Kills everything in it at once. */
void cgroup_kill(const struct cgroups *cgroups, const char *name);
/* Is there no process in it, in any hierarchy? One that does not exist is empty. Kills what it finds outside the v2 hierarchy if may_kill: a process that the
 * runtime was just about to move. */
bool cgroup_is_empty(const struct cgroups *cgroups, const char *name, bool may_kill);
/* One of the processes in it; 0 if there is none. */
pid_t cgroup_process(const struct cgroups *cgroups, const char *name);
bool cgroup_was_oom(const struct cgroups *cgroups, const char *name);
/* Its folders in every hierarchy, leaf first. -1: a process is in one of them. */
int cgroup_remove(const struct cgroups *cgroups, const char *name, struct error *err);
/* Calls on_name for every group directly below name ("" for the agents' own) in any hierarchy, maybe more than once. */
void cgroup_each(const struct cgroups *cgroups, const char *name,
    void (*on_name)(void *arg, const char *leaf), void *arg);

#endif
