#include "common/bus_call.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

#define TRY_MS 300

/* ---- where ---- */

static size_t *unanswered_of(struct bus_client *client, const struct bus_replica *replica)
{
	return &client->unanswered[replica - client->replicas];
}

struct attempt *call_attempt_at(struct call *call, const struct bus_replica *replica)
{
	for (size_t i = 0; i < call->ntries; i++)
		if (call->tries[i].replica == replica)
			return &call->tries[i];
	return NULL;
}

/* Ready, not waiting for an answer to this call; one that is not suspect before one that is, then the one that owes the fewest answers. */
static struct bus_replica *choose(struct bus_client *client, struct call *call, bool suspects)
{
	struct bus_replica *best = NULL;

	for (size_t i = 0; i < client->nreplicas; i++) {
		struct bus_replica *replica =
		    &client->replicas[(client->turn + i) % client->nreplicas];
		if (!replica->ready || replica->suspect != suspects ||
		    call_attempt_at(call, replica))
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
	call->tries[call->ntries++] = (struct attempt){replica, clock_unix_ms()};
	++*unanswered_of(call->client, replica);
	return true;
}

static bool send_anywhere(struct call *call, bool suspects_too)
{
	struct bus_client *client = call->client;

	for (size_t i = 0; i < client->nreplicas; i++) {
		struct bus_replica *replica = &client->replicas[i];
		if (replica->ready && (suspects_too || !replica->suspect) &&
		    !call_attempt_at(call, replica) && send_to(call, replica))
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

static void forget(struct call *call, struct attempt *attempt)
{
	if (!attempt->replica)
		return;
	--*unanswered_of(call->client, attempt->replica);
	attempt->replica = NULL;
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

void call_finish(struct call *call, const void *rsp, const struct error *err)
{
	struct bus_client *client = call->client;

	evtimer_del(&call->timer);
	for (size_t i = 0; i < TRIES; i++)
		forget(call, &call->tries[i]);
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

void call_finish_unavailable(struct call *call, const char *why)
{
	struct error err = {0};

	error_set(&err, ERR_UNAVAILABLE, "%s: %s", call->proto->name, why);
	call_finish(call, NULL, &err);
}

static void finish_timeout(struct call *call)
{
	struct error err = {0};

	error_set(&err, ERR_TIMEOUT, "%s: no answer before the deadline", call->proto->name);
	for (size_t i = 0; i < TRIES; i++)
		if (call->tries[i].replica)
			bus_replica_doubt(call->tries[i].replica);
	call_finish(call, NULL, &err);
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
	return call->ntries < TRIES && (call->proto->kind == PROTO_READ || call->ntries == 0);
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
		enter(call, STAGE_WAITING, smaller(left_ms(call), call->client->ready_wait_ms));
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
		call_finish(call, NULL, &call->err);
	else if (call->stage == STAGE_TRYING && left_ms(call) > 0)
		try_again(call);
	else if (call->stage == STAGE_WAITING && left_ms(call) > 0)
		call_finish_unavailable(call, "no replica is ready");
	else
		finish_timeout(call);
}

void call_resume(struct call *call)
{
	if (call->stage == STAGE_WAITING && send_somewhere(call, true))
		enter_sent(call);
}

void call_lose(struct call *call, const struct bus_replica *replica)
{
	struct attempt *attempt = call_attempt_at(call, replica);

	if (!attempt)
		return;
	forget(call, attempt);
	if (is_out(call))
		return;
	if (may_be_sent_again(call)) {
		bus_count(call->client->retries);
		send_or_wait(call);
		return;
	}
	call_finish_unavailable(call, "the connection was lost");
}

/* ---- the beginning of a call ---- */

static struct call *call_new(
    struct bus_client *client, const struct proto_call *proto, bus_done done, void *arg)
{
	struct call *call = calloc(1, sizeof(*call));

	bug_if(!call);
	call->client = client;
	call->proto = proto;
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
	int rc = bus_frame_encode_request(out, envelope, call->proto->req, req, &call->err);

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
		    &call->err, ERR_BUSY, "%s: too many calls in flight", call->proto->name);
	if (deadline <= now)
		return error_set(
		    &call->err, ERR_TIMEOUT, "%s: the deadline has passed", call->proto->name);
	call->deadline_ms = clock_boot_ms() + smaller(deadline - now, BUS_LEFT_MAX_MS);
	take_slot(call);
	envelope.id = call->id;
	snprintf(envelope.call, sizeof(envelope.call), "%s", call->proto->name);
	snprintf(envelope.trace, sizeof(envelope.trace), "%s", trace ? trace : "");
	return encode(call, &envelope, req);
}

void call_start(struct bus_client *client, const struct proto_call *proto, const void *req,
    uint64_t deadline, const char *trace, bus_done done, void *arg)
{
	struct call *call = call_new(client, proto, done, arg);

	if (prepare(call, req, deadline, trace) < 0)
		enter(call, STAGE_FAILED, 0);
	else
		send_or_wait(call);
}
