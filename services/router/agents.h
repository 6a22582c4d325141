/* agents - /v1/agent: the owner's agent, as its sandbox says, and the word to start, stop and open it. Each call carries the session's token: the sandbox
 * judges it itself. */
#ifndef ROUTER_AGENTS_H
#define ROUTER_AGENTS_H

#include "common/bus.h"
#include "proto/sandbox.h"
#include "services/router/api.h"

#define AGENTS_MS 4000 /* nginx waits 5 s */

void agents_show(struct api_call *call, const struct session_check_rsp *session);
void agents_start(struct api_call *call, const struct session_check_rsp *session);
void agents_stop(struct api_call *call, const struct session_check_rsp *session);
void agents_restart(struct api_call *call, const struct session_check_rsp *session);
/* The address of the entry page of the agent's origin, with what it needs behind the # (entry.h). */
void agents_open(struct api_call *call, const struct session_check_rsp *session);

/* To the sandbox that has the agent. Sends req, into whose token (its first member) the session's is written, and wipes it. Where no sandbox is configured:
 * service_unavailable. */
void agents_ask(
    struct api_call *call, const struct proto_call *what, void *req, uint64_t ms, bus_done done);
/* What a call answers whose reply is the agent. */
void agents_reply(struct api_call *call, int status, const struct sandbox_state_rsp *agent,
    const struct error *err);

#endif
