/* common/bus.h: requests between processes that are late, lost, or answered when nobody waits any more; and the bell, which may do as it likes (rule 9). */
#include "common/bus.h"

#include <string.h>

#include "common/clock.h"
#include "tests/sim/faults.h"
#include "tests/sim/judge.h"
#include "tests/sim/seam.h"
#include "tests/sim/session_proc.h"

#define LATENCY_LEAST_US 80
#define LATENCY_MOST_US 1500
#define NONE_READY_US (500 * MS)
#define AGAIN_US (300 * MS)

struct pending {
	struct pending *next;
	struct bus_client *client;
	const struct proto_call *call;
	void *req;
	uint64_t deadline;
	bus_done done;
	void *arg;
	const struct proc *asked;
	bool settled;
};
struct bus_client {
	struct proc *proc;
	enum role server;
	struct pending *first;
};
struct bus_request {
	struct proc *proc;
	struct pending *pending;
	void *req;
	bool answered;
};
struct answer {
	struct pending *pending;
	void *rsp; /* NULL: err */
	struct error err;
};

static uint64_t latency(void)
{
	return world_between(LATENCY_LEAST_US, LATENCY_MOST_US) + faults.bus_slow_us;
}

static void settle(struct pending *pending, const void *rsp, const struct error *err)
{
	struct pending **at = &pending->client->first;

	if (pending->settled)
		return;
	pending->settled = true;
	while (*at != pending)
		at = &(*at)->next;
	*at = pending->next;
	pending->done(pending->arg, rsp, err);
}

/* ---- server */

static bool is_lost(const struct proc *a, const struct proc *b)
{
	return a->bus_cut_until > world.now || b->bus_cut_until > world.now;
}

static void on_request(void *arg)
{
	struct bus_request *request = arg;
	const struct pending *pending = request->pending;

	if (is_lost(request->proc, pending->client->proc) || clock_unix_ms() > pending->deadline)
		return;
	session_proc_serve(request->proc, pending->call, request->req, request);
}

static void on_answer(void *arg)
{
	const struct answer *answer = arg;

	settle(answer->pending, answer->rsp, answer->rsp ? NULL : &answer->err);
}

static void send_answer(struct bus_request *request, const struct answer *filled)
{
	struct answer *answer = world_alloc(sizeof(*answer));
	struct proc *to = request->pending->client->proc;

	bug_if(request->answered);
	request->answered = true;
	*answer = *filled;
	answer->pending = request->pending;
	if (request->proc->up && !is_lost(request->proc, to))
		proc_deliver(to, CHANNEL_BUS, world.now + latency(), on_answer, answer);
}

void bus_reply(struct bus_request *request, const void *rsp)
{
	size_t size = request->pending->call->rsp->size;

	send_answer(request, &(struct answer){.rsp = world_copy(rsp, size)});
}

void bus_fail(struct bus_request *request, const struct error *err)
{
	send_answer(request, &(struct answer){.err = *err});
}

uint64_t bus_request_deadline(const struct bus_request *request)
{
	return request->pending->deadline;
}

const char *bus_request_trace(const struct bus_request *request)
{
	(void)request;
	return "sim";
}

unsigned bus_request_caller(const struct bus_request *request)
{
	return request->pending->client->proc->role;
}

void bus_request_judged(struct bus_request *request)
{
	(void)request;
}

const char *bus_request_peer(const struct bus_request *request)
{
	return request->pending->client->proc->name;
}

struct bus_server *bus_server_new(struct bus *bus, const char *address,
    const struct bus_route *routes, size_t nroutes, void *self, size_t parked_max,
    struct error *err)
{
	(void)bus, (void)address, (void)routes, (void)nroutes, (void)self, (void)parked_max;
	(void)err;
	return NULL;
}

void bus_server_destroy(struct bus_server **server)
{
	*server = NULL;
}

struct bus *bus_new(
    struct event_base *base, struct keyring *keyring, struct metrics *metrics, struct error *err)
{
	(void)base, (void)keyring, (void)metrics, (void)err;
	return NULL;
}

void bus_destroy(struct bus **bus)
{
	*bus = NULL;
}

/* ---- client */

/* One that is connected, and not the one that was asked already. */
static struct proc *choose(const struct pending *pending)
{
	struct proc *found = NULL;
	unsigned n = 0;

	for (unsigned i = 0; i < nprocs; i++) {
		struct proc *proc = &procs[i];
		if (proc->role == pending->client->server && proc->up && proc != pending->asked &&
		    world_below(++n) == 0)
			found = proc;
	}
	return found;
}

static void on_none_ready(void *arg)
{
	struct error err;

	error_refuse(&err, ERR_UNAVAILABLE, "service_unavailable", "no replica is ready");
	settle(arg, NULL, &err);
}

static void on_deadline(void *arg)
{
	struct error err;

	error_set(&err, ERR_TIMEOUT, "no answer in time");
	settle(arg, NULL, &err);
}

static bool ask(struct pending *pending)
{
	struct proc *to = choose(pending);
	struct bus_request *request = world_alloc(sizeof(*request));

	if (!to)
		return false;
	pending->asked = to;
	*request = (struct bus_request){.proc = to,
	    .pending = pending,
	    .req = world_copy(pending->req, pending->call->req->size)};
	proc_deliver(to, CHANNEL_BUS, world.now + latency(), on_request, request);
	return true;
}

static void on_again(void *arg)
{
	struct pending *pending = arg;

	if (!pending->settled)
		ask(pending);
}

void bus_send(struct bus_client *client, const struct proto_call *call, const void *req,
    uint64_t deadline, const char *trace, bus_done done, void *arg)
{
	struct pending *pending = world_alloc(sizeof(*pending));
	uint64_t now = clock_unix_ms();
	uint64_t left = deadline > now ? (deadline - now) * MS : 0;
	uint64_t again = left / 3 < AGAIN_US ? left / 3 : AGAIN_US;

	(void)trace;
	*pending = (struct pending){.next = client->first,
	    .client = client,
	    .call = call,
	    .req = world_copy(req, call->req->size),
	    .deadline = deadline,
	    .done = done,
	    .arg = arg};
	client->first = pending;
	proc_deliver(client->proc, CHANNEL_TIMER, world.now + left, on_deadline, pending);
	if (!ask(pending))
		proc_deliver(client->proc, CHANNEL_TIMER,
		    world.now + (left < NONE_READY_US ? left : NONE_READY_US), on_none_ready,
		    pending);
	else if (call->kind == PROTO_READ)
		proc_deliver(client->proc, CHANNEL_TIMER, world.now + again, on_again, pending);
}

struct bus_client *seam_client_new(struct proc *proc, enum role server)
{
	struct bus_client *client = world_alloc(sizeof(*client));

	*client = (struct bus_client){.proc = proc, .server = server};
	return client;
}

struct bus_client *bus_client_new(struct bus *bus, const char *service, enum role server_role,
    const char *const *addresses, size_t naddresses, struct error *err)
{
	(void)bus, (void)service, (void)addresses, (void)naddresses, (void)err;
	return seam_client_new(world.running, server_role);
}

void bus_client_destroy(struct bus_client **client)
{
	struct error err;

	if (!*client)
		return;
	error_set(&err, ERR_UNAVAILABLE, "stopping");
	while ((*client)->first)
		settle((*client)->first, NULL, &err);
	*client = NULL;
}

size_t bus_client_ready(const struct bus_client *client)
{
	(void)client;
	return 1;
}

uint64_t bus_client_connections(const struct bus_client *client)
{
	(void)client;
	return 1;
}

uint64_t bus_client_skew_ms(const struct bus_client *client)
{
	(void)client;
	return 0;
}

/* ---- the bell */

struct bell {
	struct proc *proc;
};
struct ring {
	struct proc *to;
	const char *history, *id, *asset;
};

struct bell *seam_bell_new(struct proc *proc)
{
	struct bell *bell = world_alloc(sizeof(*bell));

	bell->proc = proc;
	return bell;
}

struct bell *bell_new(struct bus *bus, const char *bind, const char *const *others, size_t nothers,
    bell_heard heard, void *arg, struct error *err)
{
	(void)bus, (void)bind, (void)others, (void)nothers, (void)heard, (void)arg, (void)err;
	return seam_bell_new(world.running);
}

void bell_destroy(struct bell **bell)
{
	*bell = NULL;
}

static void on_ring(void *arg)
{
	const struct ring *ring = arg;

	if (ring->to->bus_cut_until > world.now)
		return;
	judge_heard(ring->to, ring->history, ring->id);
	follower_heard(ring->to->daemon->process.follower, ring->history, ring->id, ring->asset);
}

static void ring_at(struct proc *to, const char *history, const char *id, const char *asset)
{
	struct ring *ring = world_alloc(sizeof(*ring));

	*ring = (struct ring){to, world_copy(history, strlen(history)), world_copy(id, strlen(id)),
	    asset ? world_copy(asset, strlen(asset)) : NULL};
	uint64_t late = world_chance(faults.bell_late_percent) ? world_between(1, 1500) * MS : 0;
	proc_deliver(to, CHANNEL_BELL, world.now + latency() + late, on_ring, ring);
}

void bell_ring(struct bell *bell, const char *history, const char *event_id, const char *asset)
{
	if (!bell->proc->up || bell->proc->bus_cut_until > world.now)
		return;
	for (unsigned i = 0; i < nprocs; i++) {
		struct proc *to = &procs[i];
		if (to == bell->proc || !to->up || world_chance(faults.bell_lost_percent))
			continue;
		ring_at(to, history, event_id, asset);
		if (world_chance(faults.bell_twice_percent))
			ring_at(to, history, event_id, asset);
	}
}
