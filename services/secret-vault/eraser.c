#include "services/secret-vault/eraser.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/log.h"
#include "services/secret-vault/eraser_work.h"
#include "services/secret-vault/evidence.h"
#include "services/secret-vault/holder.h"

#define ASKED_MAX 16 /* at a time */
#define ORACLE_MS 10000

struct pending {
	struct period period; /* first: the key in the tree */
	uint64_t min_slot;
	bool is_asked;
	TAILQ_ENTRY(pending) link;
};
struct eraser {
	struct vault *vault;
	struct event *tick;
	TAILQ_HEAD(pendings, pending) pending;
	void *tree;
	size_t asked;
	bool is_tripped, is_scrubbing;
	struct metric *erased, *waiting;
	struct histogram *seconds;
};

/* ---- what is pending */

static int compare(const void *a, const void *b)
{
	const struct period *x = a, *y = b;
	int by = strcmp(x->asset, y->asset);
	if (by == 0)
		by = strcmp(x->wallet, y->wallet);
	return by ? by : (x->slot > y->slot) - (x->slot < y->slot);
}

static struct pending *find(const struct eraser *eraser, const struct period *period)
{
	struct pending **found = tfind(period, &eraser->tree, compare);
	return found ? *found : NULL;
}

static void drop(struct eraser *eraser, struct pending *pending)
{
	tdelete(pending, &eraser->tree, compare);
	TAILQ_REMOVE(&eraser->pending, pending, link);
	free(pending);
}

void eraser_add(struct eraser *eraser, const struct period *period, uint64_t min_slot)
{
	struct pending *pending = find(eraser, period);
	if (!pending) {
		pending = calloc(1, sizeof(*pending));
		bug_if(!pending);
		pending->period = *period;
		bug_if(!tsearch(pending, &eraser->tree, compare));
		TAILQ_INSERT_TAIL(&eraser->pending, pending, link);
	}
	if (pending->min_slot < min_slot)
		pending->min_slot = min_slot;
}

/* ---- after it: scrubbed */

struct scrub {
	struct vault *vault;
	void (*done)(void *arg, const struct error *err);
	void *arg;
};

static int scrub_work(void *arg, struct desk *desk, struct error *err)
{
	(void)arg;
	return eraser_scrub_work(desk, err);
}

static void scrubbed(void *arg, const struct error *err)
{
	struct scrub *scrub = arg;
	if (scrub->vault->eraser)
		scrub->vault->eraser->is_scrubbing = false;
	if (err)
		log_error("destroyed keys are perhaps still in a file of the store; tried again",
		    "why", err->text);
	if (scrub->done)
		scrub->done(scrub->arg, err);
	free(scrub);
}

void eraser_scrub(struct vault *vault, void (*done)(void *arg, const struct error *err), void *arg)
{
	struct scrub *scrub = calloc(1, sizeof(*scrub));
	bug_if(!scrub);
	*scrub = (struct scrub){vault, done, arg};
	vault->eraser->is_scrubbing = true;
	worker_do_alone(vault->worker, scrub_work, scrubbed, scrub);
}

/* ---- destroying one */

enum outcome { OUTCOME_ERASED, OUTCOME_GONE, OUTCOME_NOT_LOCKED, OUTCOME_TRIPPED };
struct erasure {
	struct vault *vault;
	struct period period;
	uint64_t min_slot, limit;
	char detail[160 + 1];
	enum outcome outcome;
	uint64_t locked_ms; /* Unix: since when it was locked */
};

static int erase(void *arg, struct desk *desk, struct error *err)
{
	struct erasure *erasure = arg;
	struct store_period row;
	bool allows;
	int found = store_period_find(desk->db, &erasure->period, &row, err);
	if (found < 0)
		return -1;
	erasure->outcome = OUTCOME_GONE;
	if (found == 0)
		return 0;
	/* by another vault, or before a crash: the marks of this one were not told */
	if (row.state == PERIOD_DESTROYED)
		return highwater_gone(desk->highwater, &row.period, err);
	erasure->outcome = OUTCOME_NOT_LOCKED;
	if (row.state != PERIOD_LOCKED || row.since >= erasure->min_slot)
		return 0;
	if (eraser_allow(desk, erasure->limit, &allows, err) != 0)
		return -1;
	erasure->outcome = allows ? OUTCOME_ERASED : OUTCOME_TRIPPED;
	erasure->locked_ms = row.changed_ms;
	return allows ? eraser_work(desk, &row, "vault", erasure->detail, err) : 0;
}

static void on_erased_and_scrubbed(void *arg, const struct error *err)
{
	struct erasure *erasure = arg;
	struct eraser *eraser = erasure->vault->eraser;
	char period[PERIOD_TEXT_MAX + 1];
	uint64_t now = clock_unix_ms();
	uint64_t ms = now > erasure->locked_ms ? now - erasure->locked_ms : 0;
	log_audit("erased", "period", period_text(&erasure->period, period), "evidence",
	    erasure->detail, "after_ms", log_u64(ms), "scrubbed", err ? "not yet" : "yes");
	if (eraser && !erasure->vault->is_stopping) {
		metric_add(eraser->erased, 1);
		histogram_observe_us(eraser->seconds, ms * 1000);
		eraser_release(erasure->vault, erasure->period.asset);
	}
	free(erasure);
}

static void trip(struct eraser *eraser)
{
	if (!eraser->is_tripped)
		log_audit("breaker", "outcome", "tripped", "why",
		    "more data keys were to be destroyed within an hour than "
		    "MULTICLAW_VAULT_ERASURES_PER_HOUR");
	eraser->is_tripped = true;
}

/* To look at it was to note that it is held, perhaps after whoever destroyed it had given it back. */
static void release_gone(struct erasure *erasure)
{
	if (!erasure->vault->is_stopping)
		eraser_release(erasure->vault, erasure->period.asset);
	free(erasure);
}

static void on_erased(void *arg, const struct error *err)
{
	struct erasure *erasure = arg;
	struct eraser *eraser = erasure->vault->eraser;
	struct pending *pending = eraser ? find(eraser, &erasure->period) : NULL;
	if (pending)
		pending->is_asked = false;
	const struct error stopping = {.text = "stopping"};
	if (err)
		log_error("a data key could not be destroyed; tried again", "why", err->text);
	if (err || !eraser) {
		free(erasure);
		return;
	}
	if (erasure->outcome == OUTCOME_NOT_LOCKED) {
		/* judged good again, or by an answer that was overtaken: a new look knows */
		if (pending)
			drop(eraser, pending);
		if (erasure->vault->holder && !erasure->vault->is_stopping)
			holder_look_at(erasure->vault->holder, erasure->period.asset);
		free(erasure);
		return;
	}
	if (erasure->outcome == OUTCOME_TRIPPED) {
		trip(eraser);
		free(erasure);
		return;
	}
	if (pending)
		drop(eraser, pending);
	if (erasure->outcome == OUTCOME_ERASED && erasure->vault->is_stopping)
		on_erased_and_scrubbed(erasure, &stopping); /* the next start scrubs */
	else if (erasure->outcome == OUTCOME_ERASED)
		eraser_scrub(erasure->vault, on_erased_and_scrubbed, erasure);
	else
		release_gone(erasure);
}

/* ---- asking for evidence */

struct asked {
	struct vault *vault;
	struct period period;
	uint64_t min_slot;
};

static void begin_erasure(
    const struct asked *asked, const struct oracle_finalized_rsp *rsp, struct pending *pending)
{
	struct erasure *erasure = calloc(1, sizeof(*erasure));
	bug_if(!erasure);
	erasure->vault = asked->vault;
	erasure->period = asked->period;
	erasure->min_slot = asked->min_slot;
	erasure->limit = asked->vault->erasures_per_hour;
	snprintf(erasure->detail, sizeof(erasure->detail), "%s %s at slot %llu, %llu nodes",
	    rsp->verdict, rsp->owner, (unsigned long long)rsp->slot,
	    (unsigned long long)rsp->nodes);
	pending->is_asked = true;
	worker_do(asked->vault->worker, WORKER_WRITE, erase, on_erased, erasure);
}

static void judge(const struct asked *asked, const struct oracle_finalized_rsp *rsp)
{
	struct eraser *eraser = asked->vault->eraser;
	struct pending *pending = find(eraser, &asked->period);
	char period[PERIOD_TEXT_MAX + 1];
	/* a later change was seen since it was asked: that one has to be finalized too */
	if (!pending || pending->min_slot != asked->min_slot)
		return;
	enum evidence evidence = evidence_judge(rsp, asked->period.wallet, asked->min_slot);
	if (evidence == EVIDENCE_OTHER) {
		begin_erasure(asked, rsp, pending);
	} else if (evidence == EVIDENCE_SAME || evidence == EVIDENCE_FOREIGN) {
		log_audit("stays locked", "period", period_text(&asked->period, period), "verdict",
		    rsp->verdict, "why",
		    evidence == EVIDENCE_SAME
			? "the same owner at finalized: `multiclaw vault reinstate` opens it"
			: "not of the collection, but nobody bought it");
		drop(eraser, pending);
	} else {
		log_warn("no evidence", "period", period_text(&asked->period, period), "verdict",
		    rsp->verdict);
	}
}

static void on_finalized(void *arg, const void *rsp, const struct error *err)
{
	struct asked *asked = arg;
	struct eraser *eraser = asked->vault->eraser;
	if (eraser && !asked->vault->is_stopping) {
		struct pending *pending = find(eraser, &asked->period);
		eraser->asked--;
		if (pending)
			pending->is_asked = false;
		if (err)
			log_debug(
			    "not finalized yet", "asset", asked->period.asset, "why", err->text);
		else
			judge(asked, rsp);
	}
	free(asked);
}

static void ask(struct eraser *eraser, struct pending *pending)
{
	struct vault *vault = eraser->vault;
	struct oracle_finalized_req req = {.min_slot = pending->min_slot};
	struct asked *asked = calloc(1, sizeof(*asked));
	bug_if(!asked);
	*asked = (struct asked){vault, pending->period, pending->min_slot};
	memcpy(req.asset, pending->period.asset, sizeof(pending->period.asset));
	pending->is_asked = true;
	eraser->asked++;
	bus_send(vault->oracles, &oracle_finalized_call, &req, clock_unix_ms() + ORACLE_MS, "",
	    on_finalized, asked);
}

static void ask_for_some(struct eraser *eraser)
{
	struct pending *pending = TAILQ_FIRST(&eraser->pending), *next;
	struct pending *last = TAILQ_LAST(&eraser->pending, pendings);
	size_t n = 0;
	for (; pending && eraser->asked < ASKED_MAX; pending = next) {
		next = pending == last ? NULL : TAILQ_NEXT(pending, link);
		if (pending->is_asked)
			continue;
		TAILQ_REMOVE(&eraser->pending, pending, link);
		TAILQ_INSERT_TAIL(&eraser->pending, pending, link);
		ask(eraser, pending);
		n++;
	}
	metric_set(eraser->waiting, (double)n);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct eraser *eraser = arg;
	(void)fd, (void)what;
	if (eraser->vault->state == VAULT_OPEN && !eraser->is_tripped)
		ask_for_some(eraser);
	evtimer_add(
	    eraser->tick, &(struct timeval){.tv_sec = (time_t)eraser->vault->erase_every_s});
}

/* ---- what others see */

bool eraser_is_tripped(const struct eraser *eraser)
{
	return eraser->is_tripped;
}

void eraser_take(struct eraser *eraser, bool is_tripped, bool must_scrub)
{
	if (is_tripped)
		trip(eraser);
	eraser->is_tripped = is_tripped;
	if (must_scrub && !eraser->is_scrubbing)
		eraser_scrub(eraser->vault, NULL, NULL);
}

struct eraser *eraser_new(struct vault *vault)
{
	struct metrics *metrics = vault->process->metrics;
	struct eraser *eraser = calloc(1, sizeof(*eraser));
	bug_if(!eraser);
	eraser->vault = vault;
	TAILQ_INIT(&eraser->pending);
	eraser->erased = metrics_counter(metrics, "multiclaw_vault_erased_total",
	    "Data keys destroyed because somebody else owns the asset.", NULL);
	eraser->waiting = metrics_gauge(metrics, "multiclaw_vault_erasing",
	    "Locked periods for which evidence was asked at the last turn.", NULL);
	eraser->seconds = metrics_histogram(metrics, "multiclaw_vault_erase_seconds",
	    "From a period locked to its data key destroyed and scrubbed.", NULL);
	eraser->tick = evtimer_new(vault->process->base, on_tick, eraser);
	bug_if(!eraser->tick);
	on_tick(-1, 0, eraser);
	return eraser;
}

void eraser_destroy(struct eraser **eraser)
{
	struct pending *pending;
	if (!*eraser)
		return;
	while ((pending = TAILQ_FIRST(&(*eraser)->pending)))
		drop(*eraser, pending);
	event_free((*eraser)->tick);
	free(*eraser);
	*eraser = NULL;
}
