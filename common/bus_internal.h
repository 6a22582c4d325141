/* bus_internal - what the files behind bus.h share. Only common/bus*.c, common/bell.c, their unit tests and fuzz target include it. */
#ifndef COMMON_BUS_INTERNAL_H
#define COMMON_BUS_INTERNAL_H

#include <msgpack/sbuffer.h>
#include <zmq.h>

#include "common/bus.h"
#include "common/envelope.h"
#include "common/wire.h"

#define BUS_DOMAIN "bus"      /* ZAP domain of the ROUTER sockets: every listed key */
#define BELL_DOMAIN "bell"    /* of the PUB sockets: daemons' keys */
#define BUS_LEFT_MAX_MS 60000 /* no request has longer, whatever its deadline says */

/* ---- bus_socket.c: a ZeroMQ socket on the loop. Its descriptor is edge-triggered and any call may swallow the edge, so it is drained on
 * every wake-up, within a budget, and looked at again after every send (edge-and-bus.md section 2). ---- */
struct bus_socket_hooks {
	bool (*receive)(void *arg);                /* takes one whole message; false: none there */
	void (*drained)(void *arg, bool writable); /* after each round; may be NULL */
};
struct bus_socket {
	struct bus *bus;
	void *zmq; /* NULL: not open */
	struct event *readable, *again;
	const struct bus_socket_hooks *hooks;
	void *arg;
	bool draining;
};
struct bus_option {
	int option, value;
};
int bus_socket_open(struct bus *bus, struct bus_socket *socket, int type,
    const struct bus_socket_hooks *hooks, void *arg, struct error *err);
void bus_socket_close(struct bus_socket *socket); /* never from inside its own hooks */
void bus_socket_set(struct bus_socket *socket, const struct bus_option *options, size_t noptions);
void bus_socket_limit(struct bus_socket *socket,
    int64_t frame_max); /* a larger frame costs its sender the connection; default BUS_FRAME_MAX */
void bus_socket_serve_curve(
    struct bus_socket *socket, const char *domain); /* before bind; CURVE server, ZAP enforced */
int bus_socket_bind(struct bus_socket *socket, const char *address, struct error *err);
/* CURVE client. Ends an earlier connect to the address first. */
int bus_socket_connect(
    struct bus_socket *socket, const char *address, const char *server_key, struct error *err);
void bus_socket_look(struct bus_socket
	*socket); /* a round as soon as the loop comes by: after each send, bind, connect */
/* Takes one whole message without waiting: returns its number of parts, 0 if there is none. The first max parts are kept (all max are to be closed
 * by zmq_msg_close), the rest is read and thrown away. */
size_t bus_socket_receive(struct bus_socket *socket, zmq_msg_t *parts, size_t max);
/* Sends one part without waiting; it is copied. Returns 0, or -1 with errno. */
int bus_socket_send(struct bus_socket *socket, const void *bytes, size_t len, bool more);
/* Reports what happens to the connections of another socket (ZMQ_EVENT_*). */
int bus_monitor_open(struct bus_socket *monitor, struct bus_socket *watched, int events,
    const struct bus_socket_hooks *hooks, void *arg, struct error *err);
int bus_monitor_receive(struct bus_socket *monitor); /* one event; 0: none there */
void bus_monitor_close(struct bus_socket *monitor,
    struct bus_socket *watched); /* before the watched socket is closed */

/* ---- bus.c: context and allow-list ---- */
struct bus {
	struct event_base *base;
	struct keyring *keyring;
	struct metrics *metrics; /* may be NULL */
	void *context;
	struct bus_socket zap;
	struct event *tick;
	uint64_t list_changes; /* of the allow-list, so far */
	uint64_t monitors;     /* opened so far, for their names */
	size_t nsockets;
	uint64_t refusal_logged_ms, refusals;
};
struct metric *bus_counter(struct bus *bus, const char *name, const char *help,
    const char *labels);                /* NULL without metrics */
void bus_count(struct metric *counter); /* NULL: nothing */
void bus_refresh(struct bus *bus);      /* looks at the allow-list now */

/* ---- bus_zap.c: who may connect. A REP socket on the loop that libzmq asks at each handshake (RFC 27). ---- */
int bus_zap_open(struct bus *bus, struct error *err);
void bus_zap_close(struct bus *bus); /* from here on nobody gets in */

/* ---- bus_frame.c: what a frame says. No sockets, no clocks, no state. ---- */
struct bus_routes {
	const struct bus_route *routes;
	size_t nroutes;
};
struct bus_peer {
	unsigned roles;  /* 0: not listed (any more) */
	uint64_t now_ms; /* Unix, when the frame came */
};
enum bus_fate {
	BUS_SERVE,
	BUS_REFUSE, /* err says why; the reply repeats envelope.id, which is 0 if it could not be read */
	BUS_DROP, /* its deadline has passed: nobody waits for an answer */
};
struct bus_frame {
	struct envelope_request envelope; /* deadline is cut to BUS_LEFT_MAX_MS from now */
	const struct bus_route *route;    /* NULL if the call is unknown or was not reached */
	void *req; /* decoded body, only with BUS_SERVE; bus_frame_clear, or take it and set NULL */
};
enum bus_fate bus_frame_judge(const struct bus_routes *routes, const struct bus_peer *peer,
    const void *bytes, size_t len, struct bus_frame *frame_r, struct error *err);
void bus_frame_clear(struct bus_frame *frame);
/* Appends an envelope and, unless NULL, a body. */
int bus_frame_encode_request(msgpack_sbuffer *buf, const struct envelope_request *envelope,
    const struct proto_message *message, const void *req, struct error *err);
int bus_frame_encode_reply(msgpack_sbuffer *buf, const struct envelope_reply *envelope,
    const struct proto_message *message, const void *rsp, struct error *err);
/* The reply that tells an error: only what may travel. */
struct envelope_reply bus_frame_error(uint64_t id, uint64_t clock_ms, const struct error *err);
/* Reads a reply's envelope; body is what follows. */
int bus_frame_read_reply(const void *bytes, size_t len, struct envelope_reply *envelope_r,
    struct wire *body_r, struct error *err);
/* The outcome of a call from its reply: the decoded body (caller wipes and frees), or NULL and err. */
void *bus_frame_outcome(const struct proto_call *call, const struct envelope_reply *envelope,
    struct wire *body, struct error *err);
void bus_buffer_wipe(msgpack_sbuffer *buf); /* empties and wipes; keeps the memory */

/* "bus.ping": any listed peer may ask any server whether its loop turns and what its clock says. */
#define BUS_CALLS(C) C(bus, ping, ~0U, READ, "Is the loop alive, and what does its clock say?")
#define bus_ping_REQ(F, M) PROTO_EMPTY(F, M)
#define bus_ping_RSP(F, M) PROTO_EMPTY(F, M)
BUS_CALLS(PROTO_DECLARE)
struct bus_socket *bus_server_socket(struct bus_server *server); /* for tests: where is it bound */
extern const struct bus_route bus_ping_route; /* served by every server beside its routes */

/* ---- bus_replica.c: one server process as its clients see it: a DEALER socket, whether it is connected, whether it is alive ---- */
#define SKEW_WINDOW_S 10
struct bus_replica;
struct bus_replica_hooks {
	void (*ready)(void *arg, struct bus_replica *replica); /* connected, handshake done */
	void (*lost)(
	    void *arg, struct bus_replica *replica); /* what it has not answered it never will */
	void (*reply)(void *arg, struct bus_replica *replica, const struct envelope_reply *envelope,
	    struct wire *body);
};
struct bus_replica {
	struct bus *bus;
	char *address;
	enum role role;
	struct bus_socket socket;
	const struct bus_replica_hooks *hooks;
	void *arg;
	char server_key[Z85_KEY_LEN + 1]; /* in use; "" while none is listed */
	size_t key_turn;
	bool ready;
	bool
	    suspect; /* left something unanswered for longer than a try may take, and has said nothing since */
	uint64_t connecting_ms; /* since when it is not ready; CLOCK_BOOTTIME as all times here */
	uint64_t heard_ms;      /* last reply of any kind */
	uint64_t pinged_ms;
	uint64_t ping_id; /* unanswered; 0: none */
	uint64_t ping_sent_unix_ms;
	uint64_t pings;
	struct {
		uint64_t second, ms;
	} skew[SKEW_WINDOW_S];
};
#define BUS_PING_ID (UINT64_C(1) << 63) /* ids of pings have this bit, ids of calls do not */
int bus_replica_open(struct bus_replica *replica, struct bus *bus, const char *address,
    enum role role, struct error *err);
void bus_replica_close(struct bus_replica *replica);
bool bus_replica_send(
    struct bus_replica *replica, const void *frame, size_t len); /* false: it did not leave */
void bus_replica_doubt(struct bus_replica *replica); /* silent for too long: suspect it and ask */
void bus_replica_tick(struct bus_replica *replica);  /* every 250 ms: watchdog and pings */
/* A reply to something sent at that time: how far is its clock certainly off? */
void bus_replica_measure(
    struct bus_replica *replica, uint64_t sent_unix_ms, uint64_t server_unix_ms);
uint64_t bus_replica_skew_ms(const struct bus_replica *replica);

#endif
