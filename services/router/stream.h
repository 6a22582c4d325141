/* stream - GET /v1/events: server-sent events of the owner's asset. At each event the session is asked for again before anything is sent, so
 * a stream says nothing to a former owner but that it ends. Each stream keeps its token, wiped when it closes.
 *
 *	event: session | transfer	data: {"kind": <ledger's word>, "asset", "at"}
 *	event: session_ended		data: {"kind": "session_ended", "reason": <code>}, then the end
 *	: ping				every 15 s
 */
#ifndef ROUTER_STREAM_H
#define ROUTER_STREAM_H

#include "services/router/api.h"

struct streams;
struct streams *streams_new(struct router *router); /* caller owns the result; keeps router */
void streams_destroy(struct streams **streams);     /* after the bus clients */

void stream_open(struct api_call *call, const struct session_check_rsp *session);
void streams_on_event(struct streams *streams, const struct ledger_event *event);
/* Events may have been missed: every stream's session is asked for again. */
void streams_on_restart(struct streams *streams);

#endif
