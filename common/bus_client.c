#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bus_call.h"
#include "common/codec.h"
#include "common/log.h"

#define TICK_MS 250
#define READY_WAIT_MS 500

static void count_ready(struct bus_client *client)
{
	if (client->ready)
		metric_set(client->ready, (double)bus_client_ready(client));
}

static void on_ready(void *arg, struct bus_replica *replica)
{
	struct bus_client *client = arg;
	struct call *call, *next;

	client->connections++;
	log_info("replica ready", "service", client->service, "address", replica->address);
	count_ready(client);
	for (call = TAILQ_FIRST(&client->calls); call; call = next) {
		next = TAILQ_NEXT(call, link);
		call_resume(call);
	}
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
		call_lose(call, replica);
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
	struct attempt *attempt = call ? call_attempt_at(call, replica) : NULL;
	if (!attempt)
		return;
	bus_replica_measure(replica, attempt->sent_unix_ms, envelope->clock);
	const struct proto_message *message = call->proto->rsp;
	void *rsp = bus_frame_outcome(call->proto, envelope, body, &err);
	call_finish(call, rsp, rsp ? NULL : &err);
	if (rsp)
		codec_wipe(message, rsp);
	free(rsp);
}

static const struct bus_replica_hooks hooks = {
    .ready = on_ready, .lost = on_lost, .reply = on_reply};

void bus_send(struct bus_client *client, const struct proto_call *call, const void *req,
    uint64_t deadline, const char *trace, bus_done done, void *arg)
{
	call_start(client, call, req, deadline, trace, done, arg);
}

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
	client->ready_wait_ms = READY_WAIT_MS;
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
		call_finish_unavailable(call, "this process stops");
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

void bus_client_wait_ready(struct bus_client *client, uint64_t ms)
{
	client->ready_wait_ms = ms;
}

uint64_t bus_client_connections(const struct bus_client *client)
{
	return client->connections;
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
