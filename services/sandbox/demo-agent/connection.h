/* connection - one client: one request, its answer, and the end; or a WebSocket. Everything it keeps has a bound, and every wait an end. */
#ifndef DEMO_AGENT_CONNECTION_H
#define DEMO_AGENT_CONNECTION_H

#include "services/sandbox/demo-agent/agent.h"
#include "services/sandbox/demo-agent/body.h"
#include "services/sandbox/demo-agent/websocket.h"

#define CONNECTION_OUT_MAX 16384

enum connection_stage {
	STAGE_HEAD,
	STAGE_BODY,
	STAGE_WEBSOCKET,
	STAGE_CLOCK,
	STAGE_ANSWER, /* what is to be sent is known; then the end */
	STAGE_LINGER, /* all was sent: a client that still sends would lose the answer to a reset */
};

struct connection {
	int fd;
	enum connection_stage stage;
	struct connection *previous, *next;
	uint32_t watched; /* events of epoll */
	uint64_t deadline_ms;
	struct body body;
	uint64_t counted; /* bytes of the body */
	char *memory;     /* the body, where it is kept; NULL: it is only counted */
	struct websocket *websocket;
	uint64_t source_left; /* bytes of /source that are not in tail yet */
	const char *tail;     /* sent after out */
	size_t tail_len;
	char *owned; /* what tail points into, if it is to be freed */
	size_t in_len, out_at, out_len;
	char in[REQUEST_HEAD_MAX], out[CONNECTION_OUT_MAX];
};

/* Takes fd. false: there is no memory, and fd is closed. */
bool connection_new(struct agent *agent, int fd);
void connection_destroy(struct agent *agent, struct connection *connection);
struct connection *connection_next(const struct connection *connection);
/* May destroy it; so may a tick, which comes every second. */
void connection_ready(struct agent *agent, struct connection *connection, uint32_t events);
void connection_tick(struct agent *agent, struct connection *connection, uint64_t now_ms);

/* Adds to what is to be sent. false: there is no room, and nothing was added. */
bool connection_write(struct connection *connection, const void *bytes, size_t len);

#endif
