#include "services/chain-oracle/rpc_nodes.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"

#define TICK_MS 100
#define READ_EVERY_MS 5000
#define READ_ASIDE_EVERY_MS 1000
#define GENESIS_BODY_MAX 4096

struct rpc_nodes {
	struct rpc_nodes_hooks hooks;
	struct event *tick;
	bool stopping;
	bool foreign; /* mc:chain names another genesis hash than ours */
	char genesis[PUBKEY_TEXT_MAX + 1];
	size_t turn;
	size_t len;
	struct rpc_node *node[PLAUSIBLE_NODES_MAX];
	bool was_healthy[PLAUSIBLE_NODES_MAX];
};

static void say_aside(const struct rpc_node *node, enum plausible_aside before)
{
	if (node->aside == before)
		return;
	if (node->aside == ASIDE_NONE)
		log_info("node is listened to again", "node", node->label);
	else
		log_warn("node set aside", "node", node->label, "why", plausible_text(node->aside),
		    "slot", log_u64(node->view.slot), "chain_clock",
		    log_u64((uint64_t)node->view.clock_s));
}

static bool view(
    const struct rpc_nodes *nodes, struct plausible_view *views, struct plausible_chain *chain)
{
	const char *genesis;
	for (size_t i = 0; i < nodes->len; i++)
		views[i] = nodes->node[i]->view;
	return nodes->hooks.chain(nodes->hooks.arg, chain, &genesis);
}

static void compare_state(struct rpc_nodes *nodes)
{
	struct plausible_chain chain;
	const char *genesis;
	bool before = nodes->foreign;
	if (!nodes->genesis[0] || !nodes->hooks.chain(nodes->hooks.arg, &chain, &genesis))
		return;
	nodes->foreign = genesis[0] && strcmp(genesis, nodes->genesis) != 0;
	if (nodes->foreign && !before)
		log_error(
		    "the state in Redis belongs to another chain now: nothing is read or written",
		    "genesis", genesis, "ours", nodes->genesis);
}

static bool judge(void *arg, struct rpc_node *node, uint64_t slot)
{
	struct rpc_nodes *nodes = arg;
	(void)slot; /* is the view's */
	struct plausible_view views[PLAUSIBLE_NODES_MAX];
	enum plausible_aside asides[PLAUSIBLE_NODES_MAX];
	struct plausible_chain chain;
	if (!view(nodes, views, &chain))
		return rpc_node_is_trusted(node);
	plausible_judge(views, nodes->len, &chain, asides);
	for (size_t i = 0; i < nodes->len; i++) {
		enum plausible_aside before = nodes->node[i]->aside;
		nodes->node[i]->aside = asides[i];
		say_aside(nodes->node[i], before);
	}
	return rpc_node_is_trusted(node);
}

static void compare_genesis(struct rpc_nodes *nodes, struct rpc_node *node)
{
	bool before = node->view.other_chain;
	node->view.other_chain = strcmp(node->genesis, nodes->genesis) != 0;
	if (node->view.other_chain && !before)
		log_error("node is of another chain", "node", node->label, "genesis", node->genesis,
		    "expected", nodes->genesis);
}

/* Has each node either said its genesis hash or failed to? */
static bool all_were_asked(const struct rpc_nodes *nodes)
{
	for (size_t i = 0; i < nodes->len; i++)
		if (!nodes->node[i]->genesis[0] && nodes->node[i]->failures == 0)
			return false;
	return true;
}

static struct rpc_node *first_with_genesis(const struct rpc_nodes *nodes)
{
	for (size_t i = 0; i < nodes->len; i++)
		if (nodes->node[i]->genesis[0])
			return nodes->node[i];
	return NULL;
}

static bool any_matches(const struct rpc_nodes *nodes, const char *genesis)
{
	for (size_t i = 0; i < nodes->len; i++)
		if (strcmp(nodes->node[i]->genesis, genesis) == 0)
			return true;
	return false;
}

/* Once: which chain is ours? */
static void settle_genesis(struct rpc_nodes *nodes)
{
	struct plausible_chain chain;
	const char *state;
	const struct rpc_node *first = first_with_genesis(nodes);
	if (!first || !all_were_asked(nodes) ||
	    !nodes->hooks.chain(nodes->hooks.arg, &chain, &state))
		return;
	if (state[0] && !any_matches(nodes, state)) {
		nodes->hooks.other_chain(nodes->hooks.arg, state, first->genesis);
		return;
	}
	snprintf(nodes->genesis, sizeof(nodes->genesis), "%s", state[0] ? state : first->genesis);
	log_info("chain", "genesis", nodes->genesis);
	for (size_t i = 0; i < nodes->len; i++)
		if (nodes->node[i]->genesis[0])
			compare_genesis(nodes, nodes->node[i]);
}

/* What a node has just said may let the next thing be asked: a start takes a few round trips, not as many ticks. EV_READ, because
 * libevent takes EV_TIMEOUT for the tick that was due and puts off the next one. */
static void tick_now(struct rpc_nodes *nodes)
{
	event_active(nodes->tick, EV_READ, 0);
}

static void on_genesis(void *arg, struct rpc_node *node, const struct rpc_answer *answer)
{
	struct rpc_nodes *nodes = arg;
	struct error err;
	node->asking = false;
	tick_now(nodes);
	if (answer->outcome != RPC_OK)
		return;
	if (rpc_answer_genesis(answer, node->genesis, &err) < 0)
		rpc_node_broke(node, &err);
	else if (nodes->genesis[0])
		compare_genesis(nodes, node);
}

static void on_reading(
    void *arg, struct rpc_node *node, enum rpc_outcome outcome, const struct reading *reading)
{
	(void)outcome;
	(void)reading;
	node->asking = false;
	tick_now(arg);
}

static bool view_is_old(const struct rpc_node *node)
{
	uint64_t every_ms = node->aside == ASIDE_NONE ? READ_EVERY_MS : READ_ASIDE_EVERY_MS;
	return !node->view.known || node->failures > 0 ||
	       clock_unix_ms() - node->view.at_ms > every_ms;
}

static void look_after(struct rpc_nodes *nodes, struct rpc_node *node)
{
	if (node->asking || !rpc_node_may_ask(node))
		return;
	if (!node->genesis[0]) {
		node->asking = true;
		uint64_t id = rpc_node_id(node);
		rpc_node_call(node,
		    (struct rpc_call){rpc_request_genesis(id), id, GENESIS_BODY_MAX, true},
		    on_genesis, nodes);
	} else if (nodes->genesis[0] && !node->view.other_chain && view_is_old(node)) {
		node->asking = true;
		rpc_nodes_read(nodes, node, NULL, 0, 0, on_reading, nodes);
	}
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct rpc_nodes *nodes = arg;
	(void)fd;
	(void)what;
	if (!nodes->genesis[0])
		settle_genesis(nodes);
	compare_state(nodes);
	for (size_t i = 0; i < nodes->len; i++) {
		struct rpc_node *node = nodes->node[i];
		look_after(nodes, node);
		bool healthy = rpc_node_is_healthy(node);
		bool became = healthy && !nodes->was_healthy[i];
		nodes->was_healthy[i] = healthy;
		metric_set(node->healthy, healthy);
		if (became)
			nodes->hooks.healthy(nodes->hooks.arg, node);
	}
}

struct rpc_nodes *rpc_nodes_new(struct event_base *base, struct http_client *http,
    const char *const *urls, size_t len, uint64_t timeout_ms, struct metrics *metrics,
    const struct rpc_nodes_hooks *hooks, struct error *err)
{
	struct rpc_nodes *nodes = calloc(1, sizeof(*nodes));
	bug_if(!nodes || len > PLAUSIBLE_NODES_MAX);
	nodes->hooks = *hooks;
	for (size_t i = 0; i < len; i++) {
		nodes->node[i] = rpc_node_new(http, i, urls[i], timeout_ms, metrics, err);
		if (!nodes->node[i]) {
			rpc_nodes_destroy(&nodes);
			return NULL;
		}
		nodes->len++;
	}
	const struct timeval every = {.tv_usec = TICK_MS * 1000};
	nodes->tick = event_new(base, -1, EV_PERSIST, on_tick, nodes);
	bug_if(!nodes->tick);
	event_add(nodes->tick, &every);
	tick_now(nodes);
	return nodes;
}

void rpc_nodes_destroy(struct rpc_nodes **nodes)
{
	struct rpc_nodes *n = *nodes;
	if (!n)
		return;
	n->stopping = true;
	for (size_t i = 0; i < n->len; i++)
		rpc_node_destroy(&n->node[i]); /* whose last answers still wake the tick */
	if (n->tick)
		event_free(n->tick);
	free(n);
	*nodes = NULL;
}

bool rpc_nodes_are_stopping(const struct rpc_nodes *nodes)
{
	return nodes->stopping;
}

size_t rpc_nodes_len(const struct rpc_nodes *nodes)
{
	return nodes->len;
}

struct rpc_node *rpc_nodes_at(struct rpc_nodes *nodes, size_t index)
{
	return nodes->node[index];
}

static bool is_healthy(const struct rpc_nodes *nodes, size_t i)
{
	return !nodes->stopping && !nodes->foreign && rpc_node_is_healthy(nodes->node[i]);
}

bool rpc_nodes_is_healthy(const struct rpc_nodes *nodes, const struct rpc_node *node)
{
	return is_healthy(nodes, node->index);
}

struct rpc_node *rpc_nodes_first(struct rpc_nodes *nodes, unsigned except)
{
	for (size_t i = 0; i < nodes->len; i++)
		if (!(except & 1U << i) && is_healthy(nodes, i) &&
		    rpc_node_has_room(nodes->node[i]))
			return nodes->node[i];
	return NULL;
}

bool rpc_nodes_any_healthy(const struct rpc_nodes *nodes, unsigned except)
{
	for (size_t i = 0; i < nodes->len; i++)
		if (!(except & 1U << i) && is_healthy(nodes, i))
			return true;
	return false;
}

struct rpc_node *rpc_nodes_next(struct rpc_nodes *nodes)
{
	for (size_t i = 0; i < nodes->len; i++) {
		nodes->turn = (nodes->turn + 1) % nodes->len;
		if (is_healthy(nodes, nodes->turn) && rpc_node_has_room(nodes->node[nodes->turn]))
			return nodes->node[nodes->turn];
	}
	return NULL;
}

size_t rpc_nodes_healthy(const struct rpc_nodes *nodes)
{
	size_t n = 0;
	for (size_t i = 0; i < nodes->len; i++)
		n += is_healthy(nodes, i);
	return n;
}

void rpc_nodes_read(struct rpc_nodes *nodes, struct rpc_node *node, const char *const *keys,
    size_t len, uint64_t min_slot, reading_taken taken, void *arg)
{
	const struct reading_request request = {keys, len, min_slot, RPC_CONFIRMED, judge, nodes};
	reading_take(node, &request, taken, arg);
}

bool rpc_nodes_accept(struct rpc_nodes *nodes, struct rpc_node *node, uint64_t slot)
{
	struct plausible_view views[PLAUSIBLE_NODES_MAX];
	struct plausible_chain chain;
	if (!rpc_node_is_trusted(node) || nodes->foreign || !view(nodes, views, &chain))
		return false;
	if (slot <= plausible_ceiling(views, nodes->len, &chain))
		return true;
	enum plausible_aside before = node->aside;
	node->aside = ASIDE_AHEAD;
	say_aside(node, before);
	return false;
}

static bool judge_finalized(void *arg, struct rpc_node *node, uint64_t slot)
{
	return rpc_nodes_accept(arg, node, slot);
}

void rpc_nodes_read_finalized(struct rpc_nodes *nodes, struct rpc_node *node, const char *key,
    uint64_t min_slot, reading_taken taken, void *arg)
{
	const struct reading_request request = {
	    &key, 1, min_slot, RPC_FINALIZED, judge_finalized, nodes};
	reading_take(node, &request, taken, arg);
}

bool rpc_nodes_are_foreign(const struct rpc_nodes *nodes)
{
	return nodes->foreign;
}

const char *rpc_nodes_genesis(const struct rpc_nodes *nodes)
{
	return nodes->genesis;
}
