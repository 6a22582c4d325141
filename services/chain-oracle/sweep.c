#include "services/chain-oracle/sweep.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/scoped.h"

#define TICK_MS 100
#define RETRY_MS 1000
#define READINGS_MAX 4

static void proceed(struct sweep *sweep);

/* ---- one asset ---- */

static void on_forgotten(void *arg, const char *word, const struct error *err)
{
	struct sweep *sweep = arg;
	(void)word; /* the next listing shows what is left */
	(void)err;
	sweep->run.writings--;
	proceed(sweep);
}

static void forget_if_idle(struct sweep *sweep, const char *asset)
{
	struct watched *watched = watch_find(sweep->watch, asset);
	if (!watched || clock_boot_ms() < watched->ask_at_ms)
		return;
	watch_keep(watched);
	sweep->run.writings++;
	ledger_forget(sweep->process->redis, asset, on_forgotten, sweep);
}

static void on_written(void *arg, const struct ledger_record *record, const struct error *err)
{
	struct sweep *sweep = arg;
	(void)record;
	sweep->run.writings--;
	if (err)
		sweep->run.failed = true;
	proceed(sweep);
}

static void see(
    struct sweep *sweep, const char *asset, const struct rpc_account *account, uint64_t slot)
{
	struct core_asset seen;
	core_account_read(&account->core, sweep->collection, &seen);
	const struct observation observation = {OBSERVER_SWEEP, asset, &seen, slot, false};
	sweep->run.writings++;
	observer_see(sweep->observer, &observation, on_written, sweep);
	watch_add(sweep->watch, asset);
	forget_if_idle(sweep, asset);
}

/* ---- one reading of at most RPC_KEYS_MAX assets ---- */

struct batch {
	struct sweep *sweep;
	size_t first;
};

static void on_reading(
    void *arg, struct rpc_node *node, enum rpc_outcome outcome, const struct reading *reading)
{
	scoped_free struct batch *batch = arg;
	struct sweep *sweep = batch->sweep;
	(void)node;
	sweep->run.readings--;
	if (!sweep->nodes)
		return;
	if (outcome != RPC_OK) {
		sweep->run.failed = true;
		log_debug("sweep's reading failed", "outcome", rpc_outcome_text(outcome));
	} else {
		if (reading->slot < sweep->run.lowest)
			sweep->run.lowest = reading->slot;
		for (size_t i = 0; i < reading->len; i++)
			see(sweep, sweep->run.page[batch->first + i], &reading->account[i],
			    reading->slot);
	}
	proceed(sweep);
}

/* The first reading of a sweep is taken even if nothing is watched: it shows that the chain was there. */
static void read_next(struct sweep *sweep)
{
	struct sweep_run *run = &sweep->run;
	const char *keys[RPC_KEYS_MAX];
	struct batch *batch = malloc(sizeof(*batch));
	bug_if(!batch);
	*batch = (struct batch){sweep, run->next};
	size_t len = run->len - run->next < RPC_KEYS_MAX ? run->len - run->next : RPC_KEYS_MAX;
	for (size_t i = 0; i < len; i++)
		keys[i] = run->page[run->next + i];
	run->next += len;
	run->readings++;
	rpc_nodes_read(sweep->nodes, run->node, keys, len, run->min_slot, on_reading, batch);
}

/* ---- one page of mc:assets ---- */

static int page_take(struct sweep_run *run, const redisReply *reply)
{
	uint8_t key[PUBKEY_LEN];
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
	    reply->element[0]->type != REDIS_REPLY_STRING ||
	    reply->element[0]->len >= (int)sizeof(run->cursor) ||
	    reply->element[1]->type != REDIS_REPLY_ARRAY)
		return -1;
	const redisReply *members = reply->element[1];
	snprintf(run->cursor, sizeof(run->cursor), "%s", reply->element[0]->str);
	free(run->page);
	run->page = calloc(members->elements + 1, sizeof(*run->page));
	bug_if(!run->page);
	run->len = run->next = 0;
	for (size_t i = 0; i < members->elements; i++) {
		const redisReply *member = members->element[i];
		if (member->type == REDIS_REPLY_STRING && pubkey_parse(member->str, key) == 0)
			pubkey_text(key, run->page[run->len++]);
		else
			log_warn("mc:assets holds what is no address");
	}
	return 0;
}

static void on_page(void *arg, const redisReply *reply, const struct error *err)
{
	struct sweep *sweep = arg;
	sweep->run.readings--;
	if (!sweep->nodes)
		return;
	if (err || page_take(&sweep->run, reply) < 0)
		sweep->run.failed = true;
	else if (sweep->run.len > 0 || sweep->run.lowest == UINT64_MAX)
		read_next(sweep);
	proceed(sweep);
}

static void ask_page(struct sweep *sweep)
{
	char count[16];
	snprintf(count, sizeof(count), "%d", SWEEP_PAGE);
	const char *argv[] = {"SSCAN", "mc:assets", sweep->run.cursor, "COUNT", count};
	sweep->run.readings++;
	redis_command(sweep->process->redis, ARRAY_LEN(argv), argv, NULL, on_page, sweep);
}

/* ---- the whole ---- */

/* Longer each time, so that a failing or frozen node is not hammered. */
static uint64_t backoff_ms(const struct sweep *sweep)
{
	uint64_t ms = (uint64_t)RETRY_MS << (sweep->failures < 4 ? sweep->failures : 4);
	if (ms > sweep->interval_ms)
		ms = sweep->interval_ms;
	return ms / 2 + randombytes_uniform((uint32_t)(ms / 2 + 1));
}

static void finish(struct sweep *sweep, bool counted)
{
	struct sweep_run *run = &sweep->run;
	free(run->page);
	run->page = NULL;
	sweep->running = false;
	sweep->jitter_ms = randombytes_uniform((uint32_t)(sweep->interval_ms / 10) + 1);
	histogram_observe_us(sweep->seconds, (clock_boot_ms() - run->began_ms) * 1000);
	if (counted) {
		sweep->failures = 0;
		sweep->counted_ms = run->began_ms;
		sweep->retry_at_ms = 0;
	} else {
		sweep->retry_at_ms = clock_boot_ms() + backoff_ms(sweep);
		sweep->failures++;
	}
}

static void fail(struct sweep *sweep, const char *why)
{
	metric_add(sweep->failed, 1);
	if (sweep->failures == 0)
		log_warn("sweep failed", "why", why, "node", sweep->run.node->label);
	sweep->wanted = true;
	finish(sweep, false);
}

static void on_counted(void *arg, const char *word, const struct error *err)
{
	struct sweep *sweep = arg;
	if (!sweep->nodes)
		return;
	if (err) {
		fail(sweep, err->text);
		return;
	}
	if (strcmp(word, "other_chain") == 0) {
		fail(sweep, "the state in Redis belongs to another chain");
		return;
	}
	bool counted = strcmp(word, "counted") == 0;
	metric_add(counted ? sweep->counted : sweep->behind, 1);
	/* not above mc:chain: another replica was faster, or the node stands still; the next one is of another node */
	finish(sweep, counted);
}

static void conclude(struct sweep *sweep)
{
	struct sweep_run *run = &sweep->run;
	if (!run->failed && run->history != follower_history_number(sweep->process->follower)) {
		fail(sweep, "Redis was restarted meanwhile");
		return;
	}
	if (run->failed) {
		fail(sweep, "a reading or a writing failed");
		return;
	}
	watch_list_end(sweep->watch);
	metric_set(sweep->assets, (double)watch_len(sweep->watch));
	ledger_chain(sweep->process->redis, run->lowest, clock_boot_ms() - run->began_ms,
	    rpc_nodes_genesis(sweep->nodes), on_counted, sweep);
}

/* After each answer: what can be done next? */
static void proceed(struct sweep *sweep)
{
	struct sweep_run *run = &sweep->run;
	if (!sweep->nodes)
		return;
	while (!run->failed && run->next < run->len && run->readings < READINGS_MAX)
		read_next(sweep);
	if (run->readings > 0 || run->writings > 0)
		return;
	if (!run->failed && strcmp(run->cursor, "0") != 0)
		ask_page(sweep);
	else
		conclude(sweep);
}

static void begin(struct sweep *sweep, struct rpc_node *node)
{
	const struct ledger_chain *chain = follower_chain(sweep->process->follower);
	sweep->running = true;
	sweep->wanted = false;
	sweep->observer->missed = false;
	sweep->run = (struct sweep_run){
	    .node = node,
	    .began_ms = clock_boot_ms(),
	    .min_slot = chain->known ? chain->slot : 0,
	    .lowest = UINT64_MAX,
	    .history = follower_history_number(sweep->process->follower),
	    .cursor = "0",
	};
	watch_list_begin(sweep->watch);
	ask_page(sweep);
}

/* What the follower knows of mc:chain may be older than our own last sweep. */
static bool is_due(const struct sweep *sweep)
{
	const struct follower *follower = sweep->process->follower;
	uint64_t wait_ms = sweep->interval_ms + sweep->jitter_ms;
	if (clock_boot_ms() < sweep->retry_at_ms)
		return false;
	if (sweep->wanted ||
	    (sweep->observer->missed && clock_boot_ms() >= sweep->run.began_ms + RETRY_MS))
		return true;
	if (sweep->counted_ms > 0 && clock_boot_ms() < sweep->counted_ms + wait_ms)
		return false;
	const struct ledger_chain *chain = follower_chain(follower);
	uint64_t now_ms = follower_redis_now_ms(follower);
	/* a sweep of the future: Redis' clock was set back */
	return !chain->known || now_ms < chain->at_ms || now_ms >= chain->at_ms + wait_ms;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct sweep *sweep = arg;
	(void)fd;
	(void)what;
	if (sweep->running || follower_history_number(sweep->process->follower) == 0 ||
	    !redis_is_ready(sweep->process->redis) || rpc_nodes_are_foreign(sweep->nodes) ||
	    !is_due(sweep))
		return;
	struct rpc_node *node = sweep->wanted_node;
	if (!node || !rpc_node_is_healthy(node))
		node = rpc_nodes_next(sweep->nodes);
	sweep->wanted_node = NULL;
	if (node)
		begin(sweep, node);
}

static double age_s(void *arg)
{
	const struct sweep *sweep = arg;
	return (double)follower_chain_age_ms(sweep->process->follower) / 1000;
}

static void open_metrics(struct sweep *sweep, struct metrics *metrics)
{
	static const char name[] = "multiclaw_oracle_sweeps_total", help[] = "Sweeps by result.";
	sweep->counted = metrics_counter(metrics, name, help, "result=\"counted\"");
	sweep->behind = metrics_counter(metrics, name, help, "result=\"behind\"");
	sweep->failed = metrics_counter(metrics, name, help, "result=\"failed\"");
	sweep->assets = metrics_gauge(
	    metrics, "multiclaw_oracle_watched_assets", "Assets that the sweep reads.", NULL);
	sweep->seconds = metrics_histogram(
	    metrics, "multiclaw_oracle_sweep_seconds", "Length of a sweep.", NULL);
	metrics_gauge_fn(metrics, "multiclaw_oracle_sweep_age_seconds",
	    "Since the last sweep that counted began, whichever replica made it.", NULL, age_s,
	    sweep);
}

void sweep_open(struct sweep *sweep, struct process *process, struct rpc_nodes *nodes,
    struct observer *observer, const uint8_t *collection, uint64_t interval_ms)
{
	const struct timeval every = {.tv_usec = TICK_MS * 1000};
	sweep->process = process;
	sweep->nodes = nodes;
	sweep->observer = observer;
	sweep->watch = observer->watch;
	sweep->collection = collection;
	sweep->interval_ms = interval_ms;
	open_metrics(sweep, process->metrics);
	sweep->tick = event_new(process->base, -1, EV_PERSIST, on_tick, sweep);
	bug_if(!sweep->tick);
	event_add(sweep->tick, &every);
}

void sweep_close(struct sweep *sweep)
{
	if (!sweep->tick)
		return;
	event_free(sweep->tick);
	free(sweep->run.page);
	sweep->tick = NULL;
	sweep->nodes = NULL;
	sweep->run.page = NULL;
}

void sweep_want(struct sweep *sweep, struct rpc_node *node)
{
	sweep->wanted = true;
	sweep->wanted_node = node;
}
