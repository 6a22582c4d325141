#include "services/router/reach.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/envelope.h"
#include "common/log.h"
#include "services/router/router.h"

#define TRIES 3
#define GOOD_MAX_MS 60000
/* How long a sandbox may let an agent come up before it answers; nginx waits a second for the whole decision. */
#define WAIT_MS 600
/* Of the time left, what the way there and back may take. */
#define TRAVEL_MS 250

struct waiter {
	STAILQ_ENTRY(waiter) link;
	reach_done done;
	void *arg;
	uint64_t deadline;
	char trace[TRACE_LEN + 1];
	size_t token_len;
	char token[COOKIE_TOKEN_MAX + 1];
};
STAILQ_HEAD(waiters, waiter);

/* Everybody who waits for one agent; the first one's token asks. */
struct reach {
	LIST_ENTRY(reach) link;
	struct reaches *reaches;
	uint8_t asset[PUBKEY_LEN];
	bool is_overtaken; /* an event came while the answer was on its way */
	unsigned tries;
	struct waiters waiters;
};

struct reaches {
	struct router *router;
	struct upstream_range range;
	struct places *places;
	LIST_HEAD(reach_list, reach) list;
	struct metric *asked, *refused;
};

/* What is told to those who wait. */
struct verdict {
	enum reach_state state;
	struct place place;
	const struct error *err;
};

static void waiter_end(struct waiter *waiter, const struct verdict *verdict)
{
	waiter->done(waiter->arg, verdict->state, &verdict->place, verdict->err);
	sodium_memzero(waiter, sizeof(*waiter));
	free(waiter);
}

/* Callbacks may ask again: whoever does, begins anew. */
static void finish(struct reach *reach, const struct verdict *verdict)
{
	struct waiter *waiter;
	LIST_REMOVE(reach, link);
	while ((waiter = STAILQ_FIRST(&reach->waiters))) {
		STAILQ_REMOVE_HEAD(&reach->waiters, link);
		waiter_end(waiter, verdict);
	}
	free(reach);
}

static void finish_error(struct reach *reach, const struct error *err)
{
	finish(reach, &(struct verdict){.err = err});
}

/* A sandbox is a host that may have been taken over: it names an agent's place, and no other. */
static int read_place(struct reaches *reaches, const struct sandbox_reach_rsp *rsp,
    struct place *place_r, struct error *err)
{
	if (!upstream_is_within(&reaches->range, rsp->upstream) ||
	    !upstream_is_token(rsp->agent_token)) {
		metric_add(reaches->refused, 1);
		log_error("a sandbox names a place that is no agent's", "image", rsp->image, "boot",
		    rsp->boot_id, "upstream", rsp->upstream);
		return error_refuse(
		    err, ERR_UNAVAILABLE, "service_unavailable", "upstream out of range");
	}
	place_r->upstream = rsp->upstream;
	place_r->token = rsp->agent_token;
	place_r->allows_workers = rsp->workers;
	return 0;
}

static int read_state(const char *text, enum reach_state *state_r, struct error *err)
{
	static const struct {
		const char *text;
		enum reach_state state;
	} states[] = {{"running", REACH_RUNNING}, {"starting", REACH_STARTING},
	    {"sleeping", REACH_STARTING}, {"stopped", REACH_STOPPED}, {"failed", REACH_FAILED}};
	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		if (strcmp(states[i].text, text) != 0)
			continue;
		*state_r = states[i].state;
		return 0;
	}
	return error_set(err, ERR_INTERNAL, "sandbox answered with a state that is none");
}

static void take_answer(struct reach *reach, const struct sandbox_reach_rsp *rsp)
{
	struct reaches *reaches = reach->reaches;
	struct verdict verdict = {.state = REACH_STARTING};
	struct error err;
	if (read_state(rsp->state, &verdict.state, &err) != 0 ||
	    (verdict.state == REACH_RUNNING && read_place(reaches, rsp, &verdict.place, &err) != 0))
		verdict.err = &err;
	uint64_t good_ms = rsp->good_ms < GOOD_MAX_MS ? rsp->good_ms : GOOD_MAX_MS;
	if (!verdict.err && verdict.state == REACH_RUNNING && good_ms > 0)
		places_put(
		    reaches->places, reach->asset, &verdict.place, clock_boot_ms() + good_ms);
	finish(reach, &verdict);
}

static void reach_send(struct reach *reach);

/* It was the token of the first that was refused: it says nothing about the others'. */
static void refuse_first(struct reach *reach, const struct error *err)
{
	struct waiter *first = STAILQ_FIRST(&reach->waiters), *waiter, *next;
	struct waiters refused = STAILQ_HEAD_INITIALIZER(refused);
	for (waiter = first; waiter; waiter = next) {
		next = STAILQ_NEXT(waiter, link);
		if (waiter != first && strcmp(waiter->token, first->token) != 0)
			continue;
		STAILQ_REMOVE(&reach->waiters, waiter, waiter, link);
		STAILQ_INSERT_TAIL(&refused, waiter, link);
	}
	while ((waiter = STAILQ_FIRST(&refused))) {
		STAILQ_REMOVE_HEAD(&refused, link);
		waiter_end(waiter, &(struct verdict){.err = err});
	}
	reach->tries = 0;
	reach_send(reach);
}

static void on_reach(void *arg, const void *rsp, const struct error *failure)
{
	struct reach *reach = arg;
	struct error err;
	if (failure && (failure->code == ERR_UNAUTHENTICATED || failure->code == ERR_DENIED)) {
		refuse_first(reach, failure);
	} else if (failure) {
		finish_error(reach, failure);
	} else if (!reach->is_overtaken) {
		take_answer(reach, rsp);
	} else if (reach->tries < TRIES) {
		reach_send(reach);
	} else {
		error_refuse(&err, ERR_UNAVAILABLE, "service_unavailable", "overtaken by events");
		finish_error(reach, &err);
	}
}

/* Those for whom it is too late. */
static void drop_late(struct reach *reach, uint64_t now)
{
	struct waiter *first;
	struct error err;
	error_refuse(&err, ERR_TIMEOUT, "service_unavailable", "no time left to ask the sandbox");
	while ((first = STAILQ_FIRST(&reach->waiters)) && first->deadline <= now) {
		STAILQ_REMOVE_HEAD(&reach->waiters, link);
		waiter_end(first, &(struct verdict){.err = &err});
	}
}

static void reach_send(struct reach *reach)
{
	struct reaches *reaches = reach->reaches;
	struct sandbox_reach_req req = {0};
	uint64_t now = clock_unix_ms();
	drop_late(reach, now);
	struct waiter *first = STAILQ_FIRST(&reach->waiters);
	if (!first) {
		finish(reach, &(struct verdict){0});
		return;
	}
	uint64_t left = first->deadline - now;
	uint64_t wait_ms = left > TRAVEL_MS ? left - TRAVEL_MS : 0;
	reach->tries++;
	reach->is_overtaken = false;
	memcpy(req.token, first->token, first->token_len);
	req.wait_ms = wait_ms < WAIT_MS ? wait_ms : WAIT_MS;
	metric_add(reaches->asked, 1);
	sandboxes_ask(reaches->router->sandboxes,
	    &(struct sandboxes_question){
		.call = &sandbox_reach_call,
		.req = &req,
		.asset = reach->asset,
		.deadline = first->deadline,
		.trace = first->trace,
	    },
	    on_reach, reach);
	sodium_memzero(&req, sizeof(req));
}

static struct reach *reach_for(
    struct reaches *reaches, const uint8_t asset[PUBKEY_LEN], bool *is_new_r)
{
	struct reach *reach;
	LIST_FOREACH(reach, &reaches->list, link)
	if (memcmp(reach->asset, asset, PUBKEY_LEN) == 0)
		return reach;
	reach = calloc(1, sizeof(*reach));
	bug_if(!reach);
	reach->reaches = reaches;
	memcpy(reach->asset, asset, PUBKEY_LEN);
	STAILQ_INIT(&reach->waiters);
	LIST_INSERT_HEAD(&reaches->list, reach, link);
	*is_new_r = true;
	return reach;
}

void reach_ask(
    struct reaches *reaches, const struct reach_question *question, reach_done done, void *arg)
{
	bool is_new = false;
	struct reach *reach = reach_for(reaches, question->asset, &is_new);
	struct waiter *waiter = calloc(1, sizeof(*waiter));
	bug_if(!waiter || question->token.len > COOKIE_TOKEN_MAX);
	waiter->done = done;
	waiter->arg = arg;
	/* never in the past: then the answer would come from inside */
	uint64_t now = clock_unix_ms();
	waiter->deadline = question->deadline > now ? question->deadline : now + 1;
	snprintf(waiter->trace, sizeof(waiter->trace), "%s", question->trace);
	waiter->token_len = question->token.len;
	memcpy(waiter->token, question->token.text, question->token.len);
	STAILQ_INSERT_TAIL(&reach->waiters, waiter, link);
	if (is_new)
		reach_send(reach);
}

bool reach_lookup(struct reaches *reaches, const uint8_t asset[PUBKEY_LEN], struct place *place_r)
{
	return places_find(reaches->places, asset, clock_boot_ms(), place_r);
}

void reaches_mark(struct reaches *reaches, const uint8_t asset[PUBKEY_LEN])
{
	struct reach *reach;
	places_drop(reaches->places, asset);
	LIST_FOREACH(reach, &reaches->list, link)
	if (!asset || memcmp(reach->asset, asset, PUBKEY_LEN) == 0)
		reach->is_overtaken = true;
}

struct reaches *reaches_new(struct router *router, struct error *err)
{
	struct metrics *metrics = router->process->metrics;
	struct reaches *reaches = calloc(1, sizeof(*reaches));
	bug_if(!reaches);
	if (upstream_range_init(
		&reaches->range, router->agents_network, router->agents_port, err) != 0) {
		free(reaches);
		return NULL;
	}
	reaches->router = router;
	reaches->places = places_new(router->place_entries);
	LIST_INIT(&reaches->list);
	reaches->asked = metrics_counter(metrics, "multiclaw_reach_total",
	    "Questions to sandboxes about an agent's place.", NULL);
	reaches->refused = metrics_counter(metrics, "multiclaw_reach_refused_total",
	    "Places named by a sandbox that are no agent's.", NULL);
	return reaches;
}

void reaches_destroy(struct reaches **reaches)
{
	struct reach *reach;
	if (!*reaches)
		return;
	while ((reach = LIST_FIRST(&(*reaches)->list)))
		finish(reach, &(struct verdict){.err = &(struct error){.code = ERR_UNAVAILABLE}});
	places_destroy(&(*reaches)->places);
	free(*reaches);
	*reaches = NULL;
}
