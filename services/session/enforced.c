/* session.enforced and unlist - who has enforced an event (architecture, rule 15). Whoever waits is asked for again each 25 ms, in one read of Redis each; there
 * are not more than WAITERS_MAX. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/suite_settings.h"
#include "services/session/session.h"

#define WAITERS_MAX 64
#define AGAIN_MS 25
#define ANSWER_MS 200 /* kept of the caller's time for the answer */

struct waiter {
	struct session *self;
	struct bus_request *request;
	LIST_ENTRY(waiter) link;
	struct event_id event;
	char history[HISTORY_MAX + 1];
	uint64_t until_ms; /* boot clock */
	bool is_asking;
};

static void end(struct waiter *waiter)
{
	LIST_REMOVE(waiter, link);
	waiter->self->nwaiters--;
	free(waiter);
}

static const char *const states[] = {
#define LEDGER_PROGRESS_NAME(name, text) [LEDGER_##name] = (text),
    LEDGER_PROGRESS(LEDGER_PROGRESS_NAME)
#undef LEDGER_PROGRESS_NAME
};

static void fill(const struct ledger_enforced *out, struct session_enforced_rsp *rsp)
{
	rsp->lost = !out->known;
	rsp->settling = out->settling_ms > 0;
	rsp->done = !rsp->lost && !rsp->settling && out->waited_for == 0;
	for (size_t i = 0; i < out->len && i < ARRAY_LEN(rsp->replicas.item); i++) {
		const struct ledger_replica *from = &out->replica[i];
		struct replicas_item *to = &rsp->replicas.item[rsp->replicas.len++];
		memcpy(to->replica, from->name, sizeof(from->name));
		memcpy(to->role, from->role, sizeof(from->role));
		snprintf(to->state, sizeof(to->state), "%s", states[from->state]);
		to->silent_ms = from->silent_ms;
		to->ms = from->ms;
	}
}

/* Somebody may still say that it is done. */
static bool is_open(const struct ledger_enforced *out)
{
	if (!out->known)
		return false;
	for (size_t i = 0; i < out->len; i++)
		if (out->replica[i].state == LEDGER_OPEN)
			return true;
	return out->settling_ms > 0;
}

static void on_answer(void *arg, const struct ledger_enforced *out, const struct error *err)
{
	struct waiter *waiter = arg;
	waiter->is_asking = false;
	if (err) {
		bus_fail(waiter->request, err);
		end(waiter);
		return;
	}
	if (is_open(out) && clock_boot_ms() < waiter->until_ms && !waiter->self->is_stopping)
		return;
	struct session_enforced_rsp *rsp = calloc(1, sizeof(*rsp));
	bug_if(!rsp);
	fill(out, rsp);
	bus_reply(waiter->request, rsp);
	free(rsp);
	end(waiter);
}

static void ask(struct waiter *waiter)
{
	waiter->is_asking = true;
	ledger_enforced(
	    waiter->self->process->redis, waiter->event, waiter->history, on_answer, waiter);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	struct session *self = arg;
	struct waiter *waiter;
	(void)fd, (void)what;
	LIST_FOREACH(waiter, &self->waiters, link)
	if (!waiter->is_asking)
		ask(waiter);
	if (self->nwaiters == 0)
		event_del(self->again);
}

static uint64_t wait_of(const struct session_enforced_req *req, const struct bus_request *request)
{
	uint64_t now = clock_unix_ms(), deadline = bus_request_deadline(request);
	uint64_t left = deadline > now + ANSWER_MS ? deadline - now - ANSWER_MS : 0;
	return req->wait_ms < left ? req->wait_ms : left;
}

void session_enforced(
    struct session *self, const struct session_enforced_req *req, struct bus_request *request)
{
	static const struct timeval every = {.tv_usec = AGAIN_MS * 1000};
	struct event_id event;
	struct error err;
	if (event_id_parse(req->event, &event) != 0) {
		error_set(&err, ERR_INVALID, "that is no event");
		bus_fail(request, &err);
		return;
	}
	if (self->nwaiters == WAITERS_MAX) {
		error_refuse(&err, ERR_BUSY, "rate_limited", "too many wait");
		err.retry_after_s = 1;
		bus_fail(request, &err);
		return;
	}
	struct waiter *waiter = calloc(1, sizeof(*waiter));
	bug_if(!waiter);
	waiter->self = self;
	waiter->request = request;
	waiter->event = event;
	memcpy(waiter->history, req->history, sizeof(req->history));
	waiter->until_ms = clock_boot_ms() + wait_of(req, request);
	LIST_INSERT_HEAD(&self->waiters, waiter, link);
	self->nwaiters++;
	if (!event_pending(self->again, EV_TIMEOUT, NULL))
		bug_if(event_add(self->again, &every) != 0);
	ask(waiter);
}

/* Redis answers those that ask; nobody else will be heard of. */
static void refuse(struct waiter *waiter)
{
	struct error err;
	error_set(&err, ERR_UNAVAILABLE, "stopping");
	bus_fail(waiter->request, &err);
	end(waiter);
}

void enforced_start(struct session *self)
{
	LIST_INIT(&self->waiters);
	self->again = event_new(self->process->base, -1, EV_PERSIST, on_again, self);
	bug_if(!self->again);
}

void enforced_stop(struct session *self)
{
	struct waiter *waiter = LIST_FIRST(&self->waiters), *following;
	self->is_stopping = true;
	for (; waiter; waiter = following) {
		following = LIST_NEXT(waiter, link);
		if (!waiter->is_asking)
			refuse(waiter);
	}
	event_free(self->again);
}

/* ---- unlist */

struct unlisting {
	struct bus_request *request;
	char replica[64 + 1];
};

static void on_unlisted(void *arg, const char *word, const struct error *err)
{
	struct unlisting *unlisting = arg;
	char caller[128];
	if (err) {
		bus_fail(unlisting->request, err);
	} else {
		const struct session_unlist_rsp rsp = {.was_listed = strcmp(word, "1") == 0};
		role_text(bus_request_caller(unlisting->request), caller, sizeof(caller));
		log_audit("operator", "act", "unlist", "target", unlisting->replica, "caller",
		    caller, "trace", bus_request_trace(unlisting->request));
		bus_reply(unlisting->request, &rsp);
	}
	free(unlisting);
}

void session_unlist(
    struct session *self, const struct session_unlist_req *req, struct bus_request *request)
{
	struct error err;
	if (!suite_settings_is_replica(req->replica)) {
		error_set(&err, ERR_INVALID, "that is no replica's name");
		bus_fail(request, &err);
		return;
	}
	struct unlisting *unlisting = calloc(1, sizeof(*unlisting));
	bug_if(!unlisting);
	unlisting->request = request;
	memcpy(unlisting->replica, req->replica, sizeof(req->replica));
	ledger_unlist(self->process->redis, unlisting->replica, on_unlisted, unlisting);
}
