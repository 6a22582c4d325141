/* bus_call - one call of a client: where it is tried, for how long, how it ends. Private to bus_call.c and bus_client.c. */
#ifndef COMMON_BUS_CALL_H
#define COMMON_BUS_CALL_H

#include <event2/event_struct.h>
#include <sys/queue.h>

#include "common/bus_internal.h"

#define IN_FLIGHT_MAX 4096
#define TRIES 2

enum stage {
	STAGE_FAILED,  /* the answer is known already, but not from inside bus_send */
	STAGE_WAITING, /* for a replica to be ready */
	STAGE_TRYING,  /* sent; until it has been silent for too long */
	STAGE_LAST,    /* until the deadline */
};

struct attempt {
	struct bus_replica *replica; /* NULL: not made, or lost */
	uint64_t sent_unix_ms;
};
struct call {
	struct bus_client *client;
	const struct proto_call *proto;
	bus_done done;
	void *arg;
	TAILQ_ENTRY(call) link;
	enum stage stage;
	bool in_flight;
	uint64_t id;
	uint64_t deadline_ms, began_us; /* CLOCK_BOOTTIME */
	struct event timer;
	struct attempt tries[TRIES];
	size_t ntries;
	uint8_t *frame; /* kept while it may be sent (again) */
	size_t len;
	struct error err;
};
struct bus_client {
	struct bus *bus;
	char *service;
	struct bus_replica *replicas;
	size_t *unanswered; /* tries out, per replica */
	size_t nreplicas, turn;
	uint64_t connections; /* that replicas were ready */
	uint64_t ready_wait_ms;
	struct event *tick;
	TAILQ_HEAD(calls, call) calls;
	size_t in_flight;
	uint64_t serial;
	struct call *slots[IN_FLIGHT_MAX]; /* by id */
	struct metric *answered[ERR_INTERNAL + 1], *retries, *ready;
	struct histogram *seconds;
	msgpack_sbuffer out;
};

/* Begins a call; it ends by itself, by its timer at the latest. */
void call_start(struct bus_client *client, const struct proto_call *proto, const void *req,
    uint64_t deadline, const char *trace, bus_done done, void *arg);
/* Ends it: the callback is called, the call is freed. */
void call_finish(struct call *call, const void *rsp, const struct error *err);
void call_finish_unavailable(struct call *call, const char *why);
/* A replica is ready: the call is sent if it waits for one. */
void call_resume(struct call *call);
/* What was sent to this replica is lost. A READ call is asked once more, when need be of the same replica on a new connection; of another nobody
 * knows whether it was done. */
void call_lose(struct call *call, const struct bus_replica *replica);
/* The attempt that this replica has not answered yet; NULL if there is none. Borrowed. */
struct attempt *call_attempt_at(struct call *call, const struct bus_replica *replica);

#endif
