#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/bus_internal.h"
#include "common/clock.h"
#include "common/codec.h"
#include "common/log.h"

#define CODES (ERR_INTERNAL + 1)
#define ROLES_TEXT_MAX 128

/* What is counted of each call. */
struct tally {
	struct metric *answered[CODES];
	struct histogram *seconds;
};
struct bus_request {
	struct bus_server *server; /* NULL: it is gone, there is nobody to answer through */
	LIST_ENTRY(bus_request) link;
	const struct bus_route *route;
	struct tally *tally;
	zmq_msg_t
	    routing; /* where the answer goes: an address chosen by the peer, never who it is */
	unsigned roles;
	char peer[Z85_KEY_LEN + 1]; /* its public key */
	uint64_t id, deadline, began_us;
	uint64_t judged_ms; /* Unix; 0: what it says is true when it is sent */
	char trace[TRACE_LEN + 1];
	void *req;
};
struct bus_server {
	struct bus *bus;
	struct bus_socket socket;
	struct bus_routes routes;
	void *self;
	size_t parked, parked_max;
	LIST_HEAD(bus_requests, bus_request) requests;
	struct tally *tallies; /* one per route, and one for ping */
	struct metric *refused, *late, *unsent;
	msgpack_sbuffer out;
};

static void ping(void *self, const void *req, struct bus_request *request)
{
	const struct bus_ping_rsp rsp = {};

	(void)self;
	(void)req;
	bus_reply(request, &rsp);
}

const struct bus_route bus_ping_route = {&bus_ping_call, ping};

/* ---- answers ---- */

/* ROUTER_MANDATORY makes it an error that the peer is gone (EHOSTUNREACH) or does not read (EAGAIN). Nothing is kept for it: it will ask again. */
static void send_out(struct bus_server *server, zmq_msg_t *routing)
{
	bool sent =
	    bus_socket_send(&server->socket, zmq_msg_data(routing), zmq_msg_size(routing), true) ==
		0 &&
	    bus_socket_send(&server->socket, server->out.data, server->out.size, false) == 0;

	if (!sent)
		bus_count(server->unsent);
	bus_buffer_wipe(&server->out);
}

static void send_error(
    struct bus_server *server, zmq_msg_t *routing, uint64_t id, const struct error *err)
{
	struct envelope_reply envelope = bus_frame_error(id, clock_unix_ms(), err);
	struct error bug = {0};

	bus_buffer_wipe(&server->out);
	if (bus_frame_encode_reply(&server->out, &envelope, NULL, NULL, &bug) == 0)
		send_out(server, routing);
	else
		log_error("error reply does not fit its own declaration", "why", bug.text);
}

static void count_answer(const struct bus_request *request, enum error_code code)
{
	struct tally *tally = request->tally;
	char labels[96];

	if (!request->server->bus->metrics)
		return;
	if (!tally->answered[code]) {
		snprintf(labels, sizeof(labels), "call=\"%s\",code=\"%s\"",
		    request->route->call->name, error_name(code));
		tally->answered[code] = bus_counter(request->server->bus,
		    "multiclaw_requests_total", "Requests answered, by call and code.", labels);
	}
	bus_count(tally->answered[code]);
	histogram_observe_us(tally->seconds, clock_boot_us() - request->began_us);
}

static void request_free(struct bus_request *request)
{
	if (request->server) {
		LIST_REMOVE(request, link);
		request->server->parked--;
	}
	zmq_msg_close(&request->routing);
	codec_wipe(request->route->call->req, request->req);
	free(request->req);
	sodium_memzero(request, sizeof(*request));
	free(request);
}

/* Has somebody waited for this answer until now? */
static bool is_awaited(struct bus_request *request)
{
	if (!request->server)
		return false;
	if (clock_unix_ms() <= request->deadline)
		return true;
	bus_count(request->server->late);
	return false;
}

static void log_as(const struct bus_request *request)
{
	char caller[ROLES_TEXT_MAX];

	log_request(request->trace, role_text(request->roles, caller, sizeof(caller)),
	    request->route->call->name);
}

static void log_failure(const struct bus_request *request, const struct error *err)
{
	log_as(request);
	if (err->code == ERR_DENIED)
		log_audit("denied", "reason", err->reason, "why", err->text);
	else if (err->code == ERR_INTERNAL || err->code == ERR_NONE)
		log_error("failed", "reason", err->reason, "why", err->text);
	else if (err->code == ERR_UNAVAILABLE || err->code == ERR_TIMEOUT)
		log_warn("failed", "code", error_name(err->code), "reason", err->reason, "why",
		    err->text);
	else
		log_info("refused", "code", error_name(err->code), "reason", err->reason, "why",
		    err->text);
	log_request(NULL, NULL, NULL);
}

void bus_fail(struct bus_request *request, const struct error *err)
{
	log_failure(request, err);
	if (is_awaited(request)) {
		send_error(request->server, &request->routing, request->id, err);
		count_answer(request, err->code == ERR_NONE ? ERR_INTERNAL : err->code);
	}
	request_free(request);
}

void bus_reply(struct bus_request *request, const void *rsp)
{
	struct bus_server *server = request->server;
	struct envelope_reply envelope = {.version = PROTO_VERSION,
	    .id = request->id,
	    .status = "ok",
	    .clock = request->judged_ms ? request->judged_ms : clock_unix_ms()};
	struct error err = {0};

	if (!is_awaited(request)) {
		request_free(request);
		return;
	}
	bus_buffer_wipe(&server->out);
	if (bus_frame_encode_reply(&server->out, &envelope, request->route->call->rsp, rsp, &err) <
	    0) {
		bus_fail(request, &err);
		return;
	}
	send_out(server, &request->routing);
	count_answer(request, ERR_NONE);
	request_free(request);
}

void bus_request_judged(struct bus_request *request)
{
	request->judged_ms = clock_unix_ms();
}

uint64_t bus_request_deadline(const struct bus_request *request)
{
	return request->deadline;
}

const char *bus_request_trace(const struct bus_request *request)
{
	return request->trace;
}

unsigned bus_request_caller(const struct bus_request *request)
{
	return request->roles;
}

const char *bus_request_peer(const struct bus_request *request)
{
	return request->peer;
}

/* ---- requests ---- */

static struct tally *tally_of(struct bus_server *server, const struct bus_route *route)
{
	size_t i = route == &bus_ping_route ? server->routes.nroutes
					    : (size_t)(route - server->routes.routes);
	struct tally *tally = &server->tallies[i];
	char labels[80];

	if (server->bus->metrics && !tally->seconds) {
		snprintf(labels, sizeof(labels), "call=\"%s\"", route->call->name);
		tally->seconds = metrics_histogram(server->bus->metrics,
		    "multiclaw_request_seconds", "From reading a request to its answer.", labels);
	}
	return tally;
}

/* Who sent it: the key, as our ZAP handler wrote it down at the handshake; "" if it did not. */
static const char *key_of(zmq_msg_t *part)
{
	const char *user = zmq_msg_gets(part, "User-Id");

	return user ? user : "";
}

static struct bus_request *park(
    struct bus_server *server, zmq_msg_t part[2], struct bus_frame *frame, unsigned roles)
{
	struct bus_request *request = calloc(1, sizeof(*request));

	bug_if(!request);
	request->server = server;
	request->route = frame->route;
	request->tally = tally_of(server, frame->route);
	request->roles = roles;
	request->id = frame->envelope.id;
	request->deadline = frame->envelope.deadline;
	request->began_us = clock_boot_us();
	memcpy(request->trace, frame->envelope.trace, sizeof(request->trace));
	request->req = frame->req;
	frame->req = NULL;
	snprintf(request->peer, sizeof(request->peer), "%s", key_of(&part[1]));
	zmq_msg_init(&request->routing);
	zmq_msg_move(&request->routing, &part[0]);
	LIST_INSERT_HEAD(&server->requests, request, link);
	server->parked++;
	return request;
}

static void serve(
    struct bus_server *server, zmq_msg_t part[2], struct bus_frame *frame, unsigned roles)
{
	bool full = server->parked >= server->parked_max && frame->route != &bus_ping_route;
	struct bus_request *request = park(server, part, frame, roles);
	struct error busy = {0};

	if (full) {
		error_set(&busy, ERR_BUSY, "%s requests wait", log_u64(server->parked_max));
		busy.retry_after_s = 1;
		bus_fail(request, &busy);
		return;
	}
	log_as(request);
	request->route->handler(server->self, request->req, request);
	log_request(NULL, NULL, NULL);
}

/* Before a handler was found: the peer, by its key, did what it should not. */
static void refuse(struct bus_server *server, zmq_msg_t *routing, const struct bus_frame *frame,
    unsigned roles, const struct error *err)
{
	char caller[ROLES_TEXT_MAX];

	bus_count(server->refused);
	/* until it is known, the call's name is the peer's own text */
	log_request(
	    frame->envelope.trace, role_text(roles, caller, sizeof(caller)), frame->envelope.call);
	if (err->code == ERR_DENIED)
		log_audit("call denied", "why", err->text);
	else
		log_warn("frame refused", "why", err->text);
	log_request(NULL, NULL, NULL);
	send_error(server, routing, frame->envelope.id, err);
}

/* The list is asked now: it may have changed since the handshake. */
static unsigned roles_of(const struct bus_server *server, zmq_msg_t *part)
{
	return keyring_roles_z85(server->bus->keyring, key_of(part));
}

static void take_frame(struct bus_server *server, zmq_msg_t part[2], size_t nparts)
{
	struct bus_peer peer = {roles_of(server, &part[1]), clock_unix_ms()};
	struct bus_frame frame = {0};
	struct error err = {0};
	enum bus_fate fate = BUS_REFUSE;

	if (nparts != 2)
		error_set(&err, ERR_INVALID, "a message of %zu parts", nparts);
	else
		fate = bus_frame_judge(&server->routes, &peer, zmq_msg_data(&part[1]),
		    zmq_msg_size(&part[1]), &frame, &err);
	if (fate == BUS_SERVE)
		serve(server, part, &frame, peer.roles);
	else if (fate == BUS_REFUSE)
		refuse(server, &part[0], &frame, peer.roles, &err);
	else
		bus_count(server->late);
	/* the frame may hold a token; libzmq would leave it in freed memory */
	sodium_memzero(zmq_msg_data(&part[1]), zmq_msg_size(&part[1]));
}

static bool receive(void *arg)
{
	struct bus_server *server = arg;
	zmq_msg_t part[2];
	size_t n = bus_socket_receive(&server->socket, part, 2);

	if (n > 0)
		take_frame(server, part, n);
	zmq_msg_close(&part[0]);
	zmq_msg_close(&part[1]);
	return n > 0;
}

static const struct bus_socket_hooks hooks = {.receive = receive};

/* What no option bounds is the number of parts of a message that a listed peer never ends: that is what the process's memory limit is for. */
static int open_socket(struct bus_server *server, const char *address, struct error *err)
{
	/* to one peer: twice what a client of ours has in flight, because libzmq acknowledges in steps of half of it */
	static const struct bus_option options[] = {
	    {ZMQ_ROUTER_MANDATORY, 1},
	    {ZMQ_SNDHWM, 2 * 4096},
	    {ZMQ_RCVHWM, 1000},
	};

	if (bus_socket_open(server->bus, &server->socket, ZMQ_ROUTER, &hooks, server, err) < 0)
		return -1;
	bus_socket_set(&server->socket, options, ARRAY_LEN(options));
	bus_socket_serve_curve(&server->socket, BUS_DOMAIN);
	return bus_socket_bind(&server->socket, address, err);
}

struct bus_socket *bus_server_socket(struct bus_server *server)
{
	return &server->socket;
}

struct bus_server *bus_server_new(struct bus *bus, const char *address,
    const struct bus_route *routes, size_t nroutes, void *self, size_t parked_max,
    struct error *err)
{
	struct bus_server *server = calloc(1, sizeof(*server));

	bug_if(!server);
	server->bus = bus;
	server->routes = (struct bus_routes){routes, nroutes};
	server->self = self;
	server->parked_max = parked_max;
	server->tallies = calloc(nroutes + 1, sizeof(*server->tallies));
	bug_if(!server->tallies);
	msgpack_sbuffer_init(&server->out);
	server->refused = bus_counter(
	    bus, "multiclaw_bus_refused_total", "Frames refused before a handler saw them.", NULL);
	server->late = bus_counter(bus, "multiclaw_bus_late_total",
	    "Requests and answers dropped because their deadline had passed.", NULL);
	server->unsent = bus_counter(bus, "multiclaw_bus_unsent_total",
	    "Answers whose caller was gone or did not read.", NULL);
	if (open_socket(server, address, err) < 0)
		bus_server_destroy(&server);
	return server;
}

void bus_server_destroy(struct bus_server **server)
{
	struct bus_server *s = *server;
	struct bus_request *request;

	if (!s)
		return;
	/* their handlers still hold them, and will answer into nothing */
	while ((request = LIST_FIRST(&s->requests))) {
		LIST_REMOVE(request, link);
		request->server = NULL;
	}
	bus_socket_close(&s->socket);
	bus_buffer_wipe(&s->out);
	msgpack_sbuffer_destroy(&s->out);
	free(s->tallies);
	free(s);
	*server = NULL;
}
