/* agent_internal - what agent.c and agent_exec.c share. Nobody else includes it. */
#ifndef WARDEN_AGENT_INTERNAL_H
#define WARDEN_AGENT_INTERNAL_H

#include "services/warden/agent.h"
#include "services/warden/job.h"

/* A packet of it, with nothing in it yet. */
void agent_packet(const struct agent *agent, struct warden_packet *packet, uint32_t what);
/* job_hooks.close_all of an agent's jobs. */
void agent_close_others(void *arg);
/* The same, and all but its own container's process. */
void agent_close_all_but_process(void *arg);
/* Name of the cgroup of its jobs. */
void agent_jobs_group(const struct agent *agent, char name[64]);

/* agent_allow.c: begins with what waits, if it can. */
void agent_allow_go(struct agent *agent);
void agent_allow_forget(struct agent *agent);

#endif
