/* bus - request/reply between processes: msgpack over ZeroMQ ROUTER/DEALER, CURVE always, ZAP allow-list always.
 *
 * Facts this is built on: edge-and-bus.md sections 1-3 (ZMQ_FD is edge-triggered; ENFORCE_DOMAIN; refuse unknown keys with 300; one
 * DEALER per replica; watchdog on POLLOUT; look the key up per message).
 */
#ifndef COMMON_BUS_H
#define COMMON_BUS_H

#include <event2/event.h>

#include "common/error.h"
#include "common/keyring.h"
#include "common/metrics.h"
#include "common/schema.h"

/* One ZeroMQ context, its ZAP handler on the loop, shared by the process's sockets. The handler runs before any bind: without a live
 * handler nobody gets in (ZMQ_ZAP_ENFORCE_DOMAIN). */
struct bus;
struct bus *bus_new(
    struct event_base *base, struct keyring *keyring, struct metrics *metrics, struct error *err);
void bus_destroy(struct bus **bus);

/* ---- server ---- */
struct bus_request; /* one request being served; answered exactly once */
typedef void (*bus_handler)(void *self, const void *req, struct bus_request *request);
struct bus_route {
	const struct proto_call *call;
	bus_handler handler;
};
struct bus_server;
/* Binds one ROUTER socket at address ("ipc://run/auth-1.sock", "tcp://10.0.0.5:7101"). Keeps routes and self. Requests parked beyond
 * parked_max are answered BUSY. A request is refused without reaching a handler: unknown version or call, caller not on the call's
 * list, body that breaks a limit, deadline passed (dropped). */
struct bus_server *bus_server_new(struct bus *bus, const char *address,
    const struct bus_route *routes, size_t nroutes, void *self, size_t parked_max,
    struct error *err);
void bus_server_destroy(struct bus_server **server);

/* req stays valid until the answer. bus_reply takes the call's reply struct (borrowed). Each ends the request. */
void bus_reply(struct bus_request *request, const void *rsp);
void bus_fail(struct bus_request *request, const struct error *err); /* logged once, here */
uint64_t bus_request_deadline(const struct bus_request *request);    /* Unix ms */
const char *bus_request_trace(const struct bus_request *request);
unsigned bus_request_caller(const struct bus_request *request); /* roles of the peer */
/* What the answer rests on is judged now: the answer's clock says so, however late this process is let to send it. */
void bus_request_judged(struct bus_request *request);
/* The peer's public key, Z85: which one of several hosts or operators it is. Borrowed until the answer. */
const char *bus_request_peer(const struct bus_request *request);

/* ---- client ---- */
struct bus_client; /* every replica of one service */
/* Called exactly once per bus_send: rsp set and err NULL, or rsp NULL and err set. Both borrowed for the call. Never from inside bus_send. */
typedef void (*bus_done)(void *arg, const void *rsp, const struct error *err);
struct bus_client *bus_client_new(struct bus *bus, const char *service, enum role server_role,
    const char *const *addresses, size_t naddresses, struct error *err);
/* How long a call waits for a replica to be ready, if it may; 500 ms unless told. */
void bus_client_wait_ready(struct bus_client *client, uint64_t ms);
/* Pending calls end with ERR_UNAVAILABLE before this returns. */
void bus_client_destroy(struct bus_client **client);
/* Sends to the replica with the fewest unanswered requests that is ready and not suspect. deadline: Unix ms. A READ call is tried once more on
 * another replica if the first is silent for a third of the time left (at most 300 ms) or its connection is lost; a ONCE call only if
 * it never left. At the deadline: ERR_TIMEOUT. No replica ready within 500 ms (bus_client_wait_ready) or by the deadline: ERR_UNAVAILABLE. At most 4,096 in flight: ERR_BUSY. */
void bus_send(struct bus_client *client, const struct proto_call *call, const void *req,
    uint64_t deadline, const char *trace, bus_done done, void *arg);
/* How many replicas are ready now; largest clock skew seen in the last 10 s, ms. */
size_t bus_client_ready(const struct bus_client *client);
/* How many times a replica was connected: what a server keeps in memory is gone when it was started anew, which nothing else shows if it is quick. */
uint64_t bus_client_connections(const struct bus_client *client);
uint64_t bus_client_skew_ms(const struct bus_client *client);

/* ---- the bell: "an event was added; read sooner" (architecture, rule 9). May be lost, late, doubled, out of order. ---- */
struct bell;
typedef void (*bell_heard)(void *arg, const char *history, const char *event_id, const char *asset);
/* bind: NULL for a listener only. Subscribes to every address of others (our own among them is skipped). PUB and SUB under CURVE and ZAP.
 * The message is one msgpack map (history, id, asset) under codec limits; anything else is dropped and counted. */
struct bell *bell_new(struct bus *bus, const char *bind, const char *const *others, size_t nothers,
    bell_heard heard, void *arg, struct error *err);
void bell_destroy(struct bell **bell);
void bell_ring(struct bell *bell, const char *history, const char *event_id,
    const char *asset); /* never blocks; a listener-only bell ignores it */

#endif
