#include "services/chain-oracle/oracle.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/scoped.h"
#include "services/chain-oracle/node_urls.h"

#define CHAIN_AGE_MAX_MS 60000 /* older: no new sign-ins (rule 18) */

#define ROW(name, type, member, least, most, value, doc) \
	{ \
		name, SETTING_##type, offsetof(struct oracle, member), least, most, value, doc \
	}
const struct setting oracle_settings[] = {
    ROW("SOLANA_RPC_URL", LIST, rpc_urls, 1, PLAUSIBLE_NODES_MAX, NULL,
	"Solana nodes, best first, comma-separated; of two or more operators, because a single one "
	"is trusted entirely. May "
	"hold API keys."),
    ROW("SOLANA_WS_URL", LIST, ws_urls, 0, PLAUSIBLE_NODES_MAX, "",
	"Their PubSub addresses in the same order; empty: derived (ws for http, wss for https; the "
	"port above for a node on "
	"this machine)."),
    ROW("MULTICLAW_SWEEP_S", UINT, sweep_s, 1, 60, "15",
	"Seconds from the beginning of one sweep over all watched assets to the next."),
    ROW("MULTICLAW_RPC_TIMEOUT_MS", UINT, rpc_timeout_ms, 100, 30000, "3000",
	"Time that a node has for an answer."),
    ROW("MULTICLAW_CHAIN_CLOCK_LAG_S", UINT, clock_lag_s, 10, 3600, "60",
	"Seconds that the chain's clock, as a node sees it, may be behind ours before the node is "
	"set aside."),
    ROW("MULTICLAW_CHAIN_SLOTS_PER_S", UINT, slots_per_s, 3, 1000, "10",
	"More slots than the chain can make in a second: a node whose slot grew faster is set "
	"aside. Only a development chain needs more than the default."),
    ROW("MULTICLAW_WATCH_MAX", UINT, watch_max, 0, 100000, "2000",
	"Accounts subscribed per node; for the rest, burns and moves out of the collection wait "
	"for the sweep."),
    ROW("MULTICLAW_INDEX_MAX", UINT, index_max, 0, 1000000, "20000",
	"Assets of the collection kept in memory, to find them by wallet; each takes about 250 "
	"bytes."),
    ROW("MULTICLAW_INDEX_S", UINT, index_s, 10, 86400, "600",
	"Seconds between two scans of the collection (getProgramAccounts)."),
};
const size_t oracle_nsettings = ARRAY_LEN(oracle_settings);

/* ---- start and stop ---- */

int oracle_open(void *arg, struct error *err)
{
	struct oracle *self = arg;
	if (pubkey_parse(self->process->settings.collection, self->collection) < 0)
		return error_set(
		    err, ERR_INVALID, "MULTICLAW_COLLECTION is not the address of a collection");
	if (self->ws_urls.len != 0 && self->ws_urls.len != self->rpc_urls.len)
		return error_set(
		    err, ERR_INVALID, "SOLANA_WS_URL must be empty, or as long as SOLANA_RPC_URL");
	TAILQ_INIT(&self->reads);
	return 0;
}

static bool on_chain(void *arg, struct plausible_chain *chain_r, const char **genesis_r)
{
	struct oracle *self = arg;
	const struct follower *follower = self->process->follower;
	const struct ledger_chain *chain = follower_chain(follower);
	if (follower_history_number(follower) == 0)
		return false;
	*chain_r = (struct plausible_chain){chain->known, chain->slot,
	    follower_chain_age_ms(follower), self->clock_lag_s, self->slots_per_s, clock_unix_ms()};
	*genesis_r = chain->genesis;
	return true;
}

static void on_healthy(void *arg, struct rpc_node *node)
{
	(void)arg;
	log_info("node is healthy", "node", node->label, "slot", log_u64(node->view.slot));
}

/* Not yet ready, and never going to be: what Redis knows is of no use on this chain, and the other way round. */
static void on_other_chain(void *arg, const char *state, const char *node)
{
	(void)arg;
	fatal("the state in Redis belongs to the chain with genesis %s, but SOLANA_RPC_URL leads "
	      "to %s: use that chain's node, "
	      "or a Redis of its own",
	    state, node);
}

static void on_seen(void *arg, struct rpc_node *node, const char *asset,
    const struct rpc_account *account, uint64_t slot)
{
	struct oracle *self = arg;
	struct core_asset seen;
	if (!rpc_nodes_accept(self->nodes, node, slot))
		return;
	core_account_read(&account->core, self->collection, &seen);
	const struct observation observation = {OBSERVER_PUSH, asset, &seen, slot, false};
	observer_see(&self->observer, &observation, NULL, NULL);
}

static void on_caught_up(void *arg, struct rpc_node *node)
{
	struct oracle *self = arg;
	sweep_want(&self->sweep, node);
}

static void on_watched(void *arg, const char *asset)
{
	struct oracle *self = arg;
	for (size_t i = 0; i < self->rpc_urls.len; i++)
		if (self->push[i])
			push_add(self->push[i], asset);
}

static void on_unwatched(void *arg, const char *asset)
{
	struct oracle *self = arg;
	for (size_t i = 0; i < self->rpc_urls.len; i++)
		if (self->push[i])
			push_remove(self->push[i], asset);
}

static int open_push(struct oracle *self, size_t i, struct error *err)
{
	const struct push_hooks hooks = {on_seen, on_caught_up, self};
	const struct push_config config = {self->process->base, self->http,
	    rpc_nodes_at(self->nodes, i), self->collection, self->watch, self->watch_max,
	    self->process->metrics};
	scoped_free char *derived = NULL;
	const char *url = self->ws_urls.len > 0 ? self->ws_urls.item[i] : NULL;
	if (!url && !(derived = node_urls_pubsub(self->rpc_urls.item[i], err)))
		return -1;
	self->push[i] = push_new(&config, url ? url : derived, &hooks, err);
	return self->push[i] ? 0 : -1;
}

static double index_size(void *arg)
{
	const struct oracle *self = arg;
	return self->index ? (double)index_len(self->index) : 0;
}

int oracle_start(void *arg, struct error *err)
{
	struct oracle *self = arg;
	struct process *process = self->process;
	const struct watch_hooks watch_hooks = {on_watched, on_unwatched, self};
	const struct rpc_nodes_hooks nodes_hooks = {on_chain, on_healthy, on_other_chain, self};
	self->watch = watch_new(&watch_hooks);
	self->index = index_new(self->index_max);
	self->http = http_client_new(process->base, err);
	if (!self->http)
		return -1;
	self->nodes =
	    rpc_nodes_new(process->base, self->http, (const char *const *)self->rpc_urls.item,
		self->rpc_urls.len, self->rpc_timeout_ms, process->metrics, &nodes_hooks, err);
	if (!self->nodes)
		return -1;
	observer_open(&self->observer, process, self->watch, self->index);
	sweep_open(&self->sweep, process, self->nodes, &self->observer, self->collection,
	    self->sweep_s * 1000);
	for (size_t i = 0; i < self->rpc_urls.len; i++)
		if (open_push(self, i, err) < 0)
			return -1;
	collection_scan_open(&self->scan, process->base, self->nodes, self->index, self->collection,
	    self->index_max, self->index_s * 1000);
	oracle_finalized_start(self);
	askings_open(&self->chain.askings, process, &self->nodes);
	self->disagreements =
	    metrics_counter(process->metrics, "multiclaw_oracle_disagreements_total",
		"Sign-ins refused because two nodes named different owners.", NULL);
	metrics_gauge_fn(process->metrics, "multiclaw_oracle_index_assets",
	    "Assets that can be found by wallet.", NULL, index_size, self);
	if (self->rpc_urls.len == 1)
		log_warn("only one Solana node is configured: its word alone decides who owns what",
		    "node", rpc_nodes_at(self->nodes, 0)->label);
	return 0;
}

void oracle_stop(void *arg)
{
	struct oracle *self = arg;
	sweep_close(&self->sweep);
	collection_scan_close(&self->scan);
	for (size_t i = 0; i < self->rpc_urls.len; i++)
		push_destroy(&self->push[i]);
	rpc_nodes_destroy(&self->nodes);
	http_client_destroy(&self->http);
	oracle_owner_stop(self);
	oracle_finalized_stop(self);
	askings_stop(&self->chain.askings);
	self->observer.watch = NULL;
	self->observer.index = NULL;
	watch_destroy(&self->watch);
	index_destroy(&self->index);
}

/* ---- what others did ---- */

void oracle_on_event(void *arg, const struct ledger_event *event)
{
	struct oracle *self = arg;
	struct watched *watched;
	uint8_t key[PUBKEY_LEN];
	if (strcmp(event->kind, "session") == 0 && pubkey_parse(event->asset, key) == 0) {
		watched = watch_add(self->watch, event->asset);
		if (watched)
			watch_keep(watched);
	} else if (strcmp(event->kind, "reset") == 0) {
		watched = watch_find(self->watch, event->asset);
		if (watched)
			watched->seen_slot = 0;
	}
}

void oracle_on_restart(void *arg, const char *history, struct event_id head)
{
	struct oracle *self = arg;
	(void)history;
	(void)head;
	if (!self->watch)
		return;
	watch_unsee(self->watch);
	sweep_want(&self->sweep, NULL);
}

bool oracle_chain_is_ready(void *arg, char *why, size_t size)
{
	struct oracle *self = arg;
	const struct follower *follower = self->process->follower;
	size_t healthy = rpc_nodes_healthy(self->nodes);
	if (rpc_nodes_are_foreign(self->nodes)) {
		snprintf(why, size, "the state in Redis belongs to another chain");
		return false;
	}
	uint64_t age_ms = follower_chain_age_ms(follower);
	snprintf(why, size, "%zu of %zu nodes healthy, slot %llu", healthy,
	    rpc_nodes_len(self->nodes), (unsigned long long)follower_chain(follower)->slot);
	return healthy > 0 && age_ms <= CHAIN_AGE_MAX_MS && self->scan.was_tried;
}

/* For information: without push the sweep still finds everything. */
bool oracle_push_is_ready(void *arg, char *why, size_t size)
{
	struct oracle *self = arg;
	size_t live = 0;
	for (size_t i = 0; i < self->rpc_urls.len; i++)
		live += push_is_live(self->push[i]);
	snprintf(why, size, "%zu of %zu connections live, %zu assets watched", live,
	    self->rpc_urls.len, watch_len(self->watch));
	return true;
}

/* ---- calls ---- */

static void put_asset(void *arg, const char *asset, const char *name)
{
	struct oracle_assets_rsp *rsp = arg;
	struct assets_item *item = &rsp->assets.item[rsp->assets.len++];
	snprintf(item->asset, sizeof(item->asset), "%s", asset);
	snprintf(item->name, sizeof(item->name), "%s", name);
}

static void refuse(struct bus_request *request, const char *reason, const char *what)
{
	struct error err;
	error_refuse(&err, ERR_INVALID, reason, "%s is not an address", what);
	bus_fail(request, &err);
}

void oracle_assets(
    struct oracle *self, const struct oracle_assets_req *req, struct bus_request *request)
{
	struct oracle_assets_rsp rsp = {0};
	uint8_t wallet[PUBKEY_LEN];
	if (pubkey_parse(req->wallet, wallet) < 0) {
		refuse(request, "wallet_invalid", "wallet");
		return;
	}
	if (!self->scan.was_tried) {
		struct error err;
		error_refuse(&err, ERR_UNAVAILABLE, "chain_unavailable",
		    "the collection was not scanned yet");
		err.retry_after_s = 1;
		bus_fail(request, &err);
		return;
	}
	index_list(self->index, req->wallet, ARRAY_LEN(rsp.assets.item), put_asset, &rsp);
	bus_reply(request, &rsp);
}

struct reset {
	struct oracle *self;
	struct bus_request *request;
	char asset[PUBKEY_TEXT_MAX + 1];
};

static void on_reset(void *arg, const struct ledger_ended *ended, const struct error *err)
{
	scoped_free struct reset *reset = arg;
	struct oracle_reset_rsp rsp = {0};
	if (err) {
		bus_fail(reset->request, err);
		return;
	}
	process_announce(reset->self->process, ended->history, ended->event, reset->asset);
	log_audit("record reset", "asset", reset->asset);
	event_id_text(ended->event, rsp.event);
	snprintf(rsp.history, sizeof(rsp.history), "%s", ended->history);
	bus_reply(reset->request, &rsp);
}

void oracle_reset(
    struct oracle *self, const struct oracle_reset_req *req, struct bus_request *request)
{
	uint8_t key[PUBKEY_LEN];
	if (pubkey_parse(req->asset, key) < 0) {
		refuse(request, "asset_invalid", "asset");
		return;
	}
	struct reset *reset = calloc(1, sizeof(*reset));
	bug_if(!reset);
	*reset = (struct reset){.self = self, .request = request};
	snprintf(reset->asset, sizeof(reset->asset), "%s", req->asset);
	ledger_reset(self->process->redis, req->asset, on_reset, reset);
}
