/* agents - /v1/agent: the owner's agent, as its sandbox says, and the word to start, stop and open it. Each call carries the session's token: the sandbox
 * judges it itself. */
#ifndef ROUTER_AGENTS_H
#define ROUTER_AGENTS_H

#include "services/router/api.h"

void agents_show(struct api_call *call, const struct session_check_rsp *session);
void agents_start(struct api_call *call, const struct session_check_rsp *session);
void agents_stop(struct api_call *call, const struct session_check_rsp *session);
void agents_restart(struct api_call *call, const struct session_check_rsp *session);
/* The address of the entry page of the agent's origin, with what it needs behind the # (entry.h). */
void agents_open(struct api_call *call, const struct session_check_rsp *session);

#endif
