/* stream - server-sent events to an owner. At each event of the asset the session is asked for again before anything is sent, so a stream says nothing to a
 * former owner but that it ends. Each stream keeps its token, wiped when it closes. GET /v1/events is one of them, logs.h and snapshot_follow.h have others.
 *
 *	event: session | transfer | agent | snapshot	data: {"kind": <ledger's word>, "asset", "at"}
 *	event: session_ended			data: {"kind": "session_ended", "reason": <code>}, then the end
 *	: ping					every 15 s
 */
#ifndef ROUTER_STREAM_H
#define ROUTER_STREAM_H

#include "services/router/api.h"

struct streams;
struct stream;
struct streams *streams_new(struct router *router); /* caller owns the result; keeps router */
void streams_destroy(struct streams **streams);     /* after the bus clients */

void stream_open(struct api_call *call, const struct session_check_rsp *session);
void streams_on_event(struct streams *streams, const struct ledger_event *event);

/* A stream of something else than events. Each hook is called from the loop, never from inside a call of these. */
struct stream_hooks {
	void (*clear)(void *arg);  /* what was asked of the session is answered well: go on */
	void (*closed)(void *arg); /* the stream is over and gone */
};
/* NULL: refused, or the client has left; call is done either way. Keeps hooks. */
struct stream *stream_start(struct api_call *call, const struct stream_hooks *hooks, void *arg);
/* Is the session good as far as is known? Only then may anything be sent. */
bool stream_is_clear(const struct stream *stream);
size_t stream_waiting(const struct stream *stream);    /* bytes that the reader has not taken yet */
const char *stream_token(const struct stream *stream); /* borrowed while it is open */
/* Consumes data. */
void stream_send(struct stream *stream, const char *event, json_t *data);
/* The stream is gone when it returns; closed is not called. err NULL or any but ERR_UNAUTHENTICATED: the client is to come back and be judged anew. */
void stream_end(struct stream *stream, const struct error *err);

/* Events may have been missed: every stream's session is asked for again. */
void streams_on_restart(struct streams *streams);

#endif
