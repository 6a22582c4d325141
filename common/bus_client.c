#include <event2/event_struct.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/bus_internal.h"
#include "common/clock.h"
#include "common/codec.h"
#include "common/log.h"

#define IN_FLIGHT_MAX 4096
#define TICK_MS 250
#define WAIT_READY_MS 500
#define TRY_MS 300
#define TRIES 2
#define CODES (ERR_INTERNAL + 1)

enum stage {
	STAGE_FAILED,  /* the answer is known already, but not from inside bus_send */
	STAGE_WAITING, /* for a replica to be ready */
	STAGE_TRYING,  /* sent; until it has been silent for too long */
	STAGE_LAST,    /* until the deadline */
};

struct
try {
	struct bus_replica *replica; /* NULL: not made, or lost */
	uint64_t sent_unix_ms;
};
struct call {
	struct bus_client *client;
	const struct proto_call *call;
	bus_done done;
	void *arg;
	TAILQ_ENTRY(call) link;
	enum stage stage;
	bool in_flight;
	uint64_t id;
	uint64_t deadline_ms, began_us; /* CLOCK_BOOTTIME */
	struct event timer;
	struct try tries[TRIES];
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
	struct event *tick;
	TAILQ_HEAD(calls, call) calls;
	size_t in_flight;
	uint64_t serial;
	struct call *slots[IN_FLIGHT_MAX];
	struct metric *answered[CODES], *retries, *ready;
	struct histogram *seconds;
	msgpack_sbuffer out;
};

/* ---- replicas ---- */

static size_t *unanswered_of(struct bus_client *client, const struct bus_replica *replica)
{
	return &client->unanswered[replica - client->replicas];
}

static bool was_tried(const struct call *call, const struct bus_replica *replica)
{
	for (size_t i = 0; i < call->ntries; i++)
		if (call->tries[i].replica == replica)
			return true;
	return false;
}

/* Ready, not waiting for an answer to this call; one that is not suspect before one that is, then the one that owes the fewest answers. */
static struct bus_replica *choose(struct bus_client *client, const struct call *call, bool suspects)
{
	struct bus_replica *best = NULL;

	for (size_t i = 0; i < client->nreplicas; i++) {
		struct bus_replica *replica =
		    &client->replicas[(client->turn + i) % client->nreplicas];
		if (!replica->ready || replica->suspect != suspects || was_tried(call, replica))
			continue;
		if (!best || *unanswered_of(client, replica) < *unanswered_of(client, best))
			best = replica;
	}
	client->turn++;
	return best;
}

static bool send_to(struct call *call, struct bus_replica *replica)
{
	if (!bus_replica_send(replica, call->frame, call->len))
		return false;
	call->tries[call->ntries++] = (struct try){replica, clock_unix_ms()};
	++*unanswered_of(call->client, replica);
	return true;
}

static bool send_anywhere(struct call *call, bool suspects_too)
{
	struct bus_client *client = call->client;

	for (size_t i = 0; i < client->nreplicas; i++) {
		struct bus_replica *replica = &client->replicas[i];
		if (replica->ready && (suspects_too || !replica->suspect) &&
		    !was_tried(call, replica) && send_to(call, replica))
			return true;
	}
	return false;
}

static bool send_somewhere(struct call *call, bool suspects_too)
{
	struct bus_replica *best = choose(call->client, call, false);

	if (!best && suspects_too)
		best = choose(call->client, call, true);
	if (!best)
		return false;
	/* a send fails when the connection has gone since the last look */
	return send_to(call, best) || send_anywhere(call, suspects_too);
}

static void forget_try(struct call *call, struct try *try)
{
	if (!try->replica)
		return;
	--*unanswered_of(call->client, try->replica);
	try->replica = NULL;
}

static bool is_out(const struct call *call)
{
	return call->tries[0].replica || call->tries[1].replica;
}

/* ---- the end of a call ---- */

static void count_outcome(const struct call *call, enum error_code code)
{
	struct bus_client *client = call->client;
	char labels[160];

	if (!client->bus->metrics)
		return;
	if (!client->answered[code]) {
		snprintf(labels, sizeof(labels), "service=\"%s\",code=\"%s\"", client->service,
		    error_name(code));
		client->answered[code] = bus_counter(client->bus, "multiclaw_calls_total",
		    "Calls made to a service, by outcome.", labels);
	}
	bus_count(client->answered[code]);
	histogram_observe_us(client->seconds, clock_boot_us() - call->began_us);
}

static void drop_frame(struct call *call)
{
	if (!call->frame)
		return;
	sodium_memzero(call->frame, call->len);
	free(call->frame);
	call->frame = NULL;
}

static void finish(struct call *call, const void *rsp, const struct error *err)
{
	struct bus_client *client = call->client;

	evtimer_del(&call->timer);
	for (size_t i = 0; i < TRIES; i++)
		forget_try(call, &call->tries[i]);
	if (call->in_flight) {
		client->slots[call->id % IN_FLIGHT_MAX] = NULL;
		client->in_flight--;
	}
	TAILQ_REMOVE(&client->calls, call, link);
	count_outcome(call, err ? err->code : ERR_NONE);
	drop_frame(call);
	call->done(call->arg, rsp, err);
	free(call);
}

static void finish_unavailable(struct call *call, const char *why)
{
	struct error err = {0};

	error_set(&err, ERR_UNAVAILABLE, "%s: %s", call->call->name, why);
	finish(call, NULL, &err);
}

static void finish_timeout(struct call *call)
{
	struct error err = {0};

	error_set(&err, ERR_TIMEOUT, "%s: no answer before the deadline", call->call->name);
	for (size_t i = 0; i < TRIES; i++)
		if (call->tries[i].replica)
			bus_replica_doubt(call->tries[i].replica);
	finish(call, NULL, &err);
}

/* ---- the stages of a call ---- */

static uint64_t left_ms(const struct call *call)
{
	uint64_t now = clock_boot_ms();

	return call->deadline_ms > now ? call->deadline_ms - now : 0;
}

static void enter(struct call *call, enum stage stage, uint64_t ms)
{
	struct timeval in = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};

	call->stage = stage;
	evtimer_add(&call->timer, &in);
}

/* A ONCE call that left a replica's socket may have been done, whatever became of the answer. */
static bool may_be_sent_again(const struct call *call)
{
	return call->ntries < TRIES && (call->call->kind == PROTO_READ || call->ntries == 0);
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void enter_sent(struct call *call)
{
	uint64_t left = left_ms(call);

	if (!may_be_sent_again(call))
		drop_frame(call);
	if (call->ntries == 1)
		enter(call, STAGE_TRYING, smaller(left / 3, TRY_MS));
	else
		enter(call, STAGE_LAST, left);
}

static void send_or_wait(struct call *call)
{
	if (send_somewhere(call, true))
		enter_sent(call);
	else
		enter(call, STAGE_WAITING, smaller(left_ms(call), WAIT_READY_MS));
}

/* The first try has been silent for too long: its replica is asked whether it lives, and a READ call is tried elsewhere. */
static void try_again(struct call *call)
{
	if (call->tries[0].replica)
		bus_replica_doubt(call->tries[0].replica);
	if (may_be_sent_again(call) && send_somewhere(call, false))
		bus_count(call->client->retries);
	if (!may_be_sent_again(call))
		drop_frame(call);
	enter(call, STAGE_LAST, left_ms(call));
}

static void stage_over(evutil_socket_t fd, short what, void *arg)
{
	struct call *call = arg;

	(void)fd;
	(void)what;
	if (call->stage == STAGE_FAILED)
		finish(call, NULL, &call->err);
	else if (call->stage == STAGE_TRYING && left_ms(call) > 0)
		try_again(call);
	else if (call->stage == STAGE_WAITING && left_ms(call) > 0)
		finish_unavailable(call, "no replica is ready");
	else
		finish_timeout(call);
}

/* ---- what replicas tell ---- */

static void count_ready(struct bus_client *client)
{
	if (client->ready)
		metric_set(client->ready, (double)bus_client_ready(client));
}

static void on_ready(void *arg, struct bus_replica *replica)
{
	struct bus_client *client = arg;
	struct call *call, *next;

	log_info("replica ready", "service", client->service, "address", replica->address);
	count_ready(client);
	for (call = TAILQ_FIRST(&client->calls); call; call = next) {
		next = TAILQ_NEXT(call, link);
		if (call->stage == STAGE_WAITING && send_somewhere(call, true))
			enter_sent(call);
	}
}

/* A connection is gone with what was sent over it. A READ call is asked once more, when need be of the same replica on a new connection;
 * of another nobody knows whether it was done. */
static void lose(struct call *call, struct bus_replica *replica)
{
	for (size_t i = 0; i < call->ntries; i++)
		if (call->tries[i].replica == replica)
			forget_try(call, &call->tries[i]);
	if (is_out(call))
		return;
	if (may_be_sent_again(call)) {
		bus_count(call->client->retries);
		send_or_wait(call);
		return;
	}
	finish_unavailable(call, "the connection was lost");
}

static void on_lost(void *arg, struct bus_replica *replica)
{
	struct bus_client *client = arg;
	struct call *call, *next;

	log_warn("replica lost", "service", client->service, "address", replica->address);
	count_ready(client);
	/* a callback can end no other call, and what it sends goes to the tail and to somebody else */
	for (call = TAILQ_FIRST(&client->calls); call; call = next) {
		next = TAILQ_NEXT(call, link);
		if (was_tried(call, replica))
			lose(call, replica);
	}
}

static struct call *call_of(struct bus_client *client, uint64_t id)
{
	struct call *call = client->slots[id % IN_FLIGHT_MAX];

	return call && call->id == id ? call : NULL;
}

/* The answer to a call that is over (a second try's, or a late one) is nobody's. */
static void on_reply(void *arg, struct bus_replica *replica, const struct envelope_reply *envelope,
    struct wire *body)
{
	struct bus_client *client = arg;
	struct call *call = call_of(client, envelope->id);
	struct error err = {0};

	if (envelope->id == 0)
		log_warn("server could not read a request", "address", replica->address, "status",
		    envelope->status, "why", envelope->text);
	if (!call || !was_tried(call, replica))
		return;
	for (size_t i = 0; i < call->ntries; i++)
		if (call->tries[i].replica == replica)
			bus_replica_measure(replica, call->tries[i].sent_unix_ms, envelope->clock);
	const struct proto_message *message = call->call->rsp;
	void *rsp = bus_frame_outcome(call->call, envelope, body, &err);
	finish(call, rsp, rsp ? NULL : &err);
	if (rsp)
		codec_wipe(message, rsp);
	free(rsp);
}

static const struct bus_replica_hooks hooks = {
    .ready = on_ready, .lost = on_lost, .reply = on_reply};

/* ---- sending ---- */

static struct call *call_new(
    struct bus_client *client, const struct proto_call *proto, bus_done done, void *arg)
{
	struct call *call = calloc(1, sizeof(*call));

	bug_if(!call);
	call->client = client;
	call->call = proto;
	call->done = done;
	call->arg = arg;
	call->began_us = clock_boot_us();
	bug_if(evtimer_assign(&call->timer, client->bus->base, stage_over, call) != 0);
	TAILQ_INSERT_TAIL(&client->calls, call, link);
	return call;
}

static void take_slot(struct call *call)
{
	struct bus_client *client = call->client;

	do
		call->id = ++client->serial;
	while (client->slots[call->id % IN_FLIGHT_MAX]);
	client->slots[call->id % IN_FLIGHT_MAX] = call;
	client->in_flight++;
	call->in_flight = true;
}

static int encode(struct call *call, const struct envelope_request *envelope, const void *req)
{
	msgpack_sbuffer *out = &call->client->out;
	int rc = bus_frame_encode_request(out, envelope, call->call->req, req, &call->err);

	if (rc == 0) {
		call->len = out->size;
		call->frame = malloc(out->size);
		bug_if(!call->frame);
		memcpy(call->frame, out->data, out->size);
	}
	bus_buffer_wipe(out);
	return rc;
}

/* Everything that must be right before the call can be sent. */
static int prepare(struct call *call, const void *req, uint64_t deadline, const char *trace)
{
	struct bus_client *client = call->client;
	uint64_t now = clock_unix_ms();
	struct envelope_request envelope = {.version = PROTO_VERSION, .deadline = deadline};

	if (client->in_flight == IN_FLIGHT_MAX)
		return error_set(
		    &call->err, ERR_BUSY, "%s: too many calls in flight", call->call->name);
	if (deadline <= now)
		return error_set(
		    &call->err, ERR_TIMEOUT, "%s: the deadline has passed", call->call->name);
	call->deadline_ms = clock_boot_ms() + smaller(deadline - now, BUS_LEFT_MAX_MS);
	take_slot(call);
	envelope.id = call->id;
	snprintf(envelope.call, sizeof(envelope.call), "%s", call->call->name);
	snprintf(envelope.trace, sizeof(envelope.trace), "%s", trace ? trace : "");
	return encode(call, &envelope, req);
}

void bus_send(struct bus_client *client, const struct proto_call *call, const void *req,
    uint64_t deadline, const char *trace, bus_done done, void *arg)
{
	struct call *c = call_new(client, call, done, arg);

	if (prepare(c, req, deadline, trace) < 0)
		enter(c, STAGE_FAILED, 0);
	else
		send_or_wait(c);
}

/* ---- the client ---- */

static void tick(evutil_socket_t fd, short what, void *arg)
{
	struct bus_client *client = arg;

	(void)fd;
	(void)what;
	for (size_t i = 0; i < client->nreplicas; i++)
		bus_replica_tick(&client->replicas[i]);
}

static void open_metrics(struct bus_client *client)
{
	struct metrics *metrics = client->bus->metrics;
	char labels[96];

	if (!metrics)
		return;
	snprintf(labels, sizeof(labels), "service=\"%s\"", client->service);
	client->retries = metrics_counter(metrics, "multiclaw_call_retries_total",
	    "Calls tried a second time on another replica.", labels);
	client->seconds = metrics_histogram(
	    metrics, "multiclaw_call_seconds", "From a call to its answer.", labels);
	client->ready = metrics_gauge(
	    metrics, "multiclaw_replicas_ready", "Replicas of a service now connected.", labels);
}

static int start(struct bus_client *client, enum role role, const char *const *addresses,
    size_t naddresses, struct error *err)
{
	static const struct timeval every = {0, TICK_MS * 1000};

	if (naddresses == 0)
		return error_set(err, ERR_INVALID, "no address of %s is given", client->service);
	client->replicas = calloc(naddresses, sizeof(*client->replicas));
	client->unanswered = calloc(naddresses, sizeof(*client->unanswered));
	client->tick = event_new(client->bus->base, -1, EV_PERSIST, tick, client);
	bug_if(!client->replicas || !client->unanswered || !client->tick ||
	       event_add(client->tick, &every) != 0);
	for (; client->nreplicas < naddresses; client->nreplicas++) {
		struct bus_replica *replica = &client->replicas[client->nreplicas];
		replica->hooks = &hooks;
		replica->arg = client;
		if (bus_replica_open(
			replica, client->bus, addresses[client->nreplicas], role, err) < 0) {
			bus_replica_close(replica);
			return -1;
		}
	}
	return 0;
}

struct bus_client *bus_client_new(struct bus *bus, const char *service, enum role server_role,
    const char *const *addresses, size_t naddresses, struct error *err)
{
	struct bus_client *client = calloc(1, sizeof(*client));

	bug_if(!client);
	client->bus = bus;
	client->service = strdup(service);
	bug_if(!client->service);
	TAILQ_INIT(&client->calls);
	msgpack_sbuffer_init(&client->out);
	open_metrics(client);
	if (start(client, server_role, addresses, naddresses, err) < 0)
		bus_client_destroy(&client);
	return client;
}

void bus_client_destroy(struct bus_client **client)
{
	struct bus_client *c = *client;
	struct call *call;

	if (!c)
		return;
	for (size_t i = 0; i < c->nreplicas; i++)
		c->replicas[i].ready = false;
	while ((call = TAILQ_FIRST(&c->calls)))
		finish_unavailable(call, "this process stops");
	for (size_t i = 0; i < c->nreplicas; i++)
		bus_replica_close(&c->replicas[i]);
	if (c->tick)
		event_free(c->tick);
	msgpack_sbuffer_destroy(&c->out);
	free(c->replicas);
	free(c->unanswered);
	free(c->service);
	free(c);
	*client = NULL;
}

size_t bus_client_ready(const struct bus_client *client)
{
	size_t ready = 0;

	for (size_t i = 0; i < client->nreplicas; i++)
		ready += client->replicas[i].ready;
	return ready;
}

uint64_t bus_client_skew_ms(const struct bus_client *client)
{
	uint64_t largest = 0;

	for (size_t i = 0; i < client->nreplicas; i++) {
		uint64_t ms = bus_replica_skew_ms(&client->replicas[i]);
		largest = ms > largest ? ms : largest;
	}
	return largest;
}
