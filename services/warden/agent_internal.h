/* agent_internal - what agent.c and agent_exec.c share. Nobody else includes it. */
#ifndef WARDEN_AGENT_INTERNAL_H
#define WARDEN_AGENT_INTERNAL_H

#include "services/warden/agent.h"

/* A packet of it, with nothing in it yet. */
void agent_packet(const struct agent *agent, struct warden_packet *packet, uint32_t what);
/* job_hooks.close_all of an agent's jobs. */
void agent_close_others(void *arg);

#endif
