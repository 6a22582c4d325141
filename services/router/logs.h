/* logs - GET /v1/agent/logs: what the agent wrote lately, as it wrote it; with ?follow=1 a stream (stream.h) that goes on:
 *
 *	event: log	data: {"line"}
 *	event: lost	data: {}	lines are missing here: it wrote faster than they were read
 *
 * Nothing is sent while an event waits for the session's answer. A slow reader holds up the questions to the sandbox, not this process' memory.
 */
#ifndef ROUTER_LOGS_H
#define ROUTER_LOGS_H

#include "services/router/api.h"

void logs_show(struct api_call *call, const struct session_check_rsp *session);

#endif
