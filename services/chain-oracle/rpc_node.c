#include "services/chain-oracle/rpc_node.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/scoped.h"

#define BACKOFF_MS 250
#define BACKOFF_MAX_MS 30000
#define RETRY_AFTER_MAX_S 300 /* a node does not get to silence itself for good */

struct rpc_pending {
	TAILQ_ENTRY(rpc_pending) link;
	struct rpc_node *node; /* NULL: it is gone */
	rpc_node_answered answered;
	void *arg;
	uint64_t id;
	bool vital;
};

/* "https://host:port" of an address whose path may be a key. */
static int make_label(const char *url, char *label, struct error *err)
{
	if (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0)
		return error_set(
		    err, ERR_INVALID, "a node's address must begin with http:// or https://");
	const char *host = strstr(url, "//") + 2;
	size_t authority = strcspn(host, "/?#");
	const char *at = memrchr(host, '@', authority);
	const char *shown = at ? at + 1 : host;
	snprintf(label, RPC_NODE_LABEL_MAX, "%.*s%.*s", (int)(host - url), url,
	    (int)(host + authority - shown), shown);
	return 0;
}

static void open_metrics(struct rpc_node *node, struct metrics *metrics)
{
	char labels[64];
	for (size_t i = 0; i < RPC_OUTCOMES_LEN; i++) {
		snprintf(labels, sizeof(labels), "node=\"%zu\",outcome=\"%s\"", node->index,
		    rpc_outcome_text((enum rpc_outcome)i));
		node->outcomes[i] = metrics_counter(metrics, "multiclaw_oracle_rpc_requests_total",
		    "Requests to Solana nodes by outcome; an answer whose content is wrong counts "
		    "as ok and as broken.",
		    labels);
	}
	snprintf(labels, sizeof(labels), "node=\"%zu\"", node->index);
	node->healthy = metrics_gauge(metrics, "multiclaw_oracle_node_healthy",
	    "1: the node answers and is plausible.", labels);
	node->slot = metrics_gauge(metrics, "multiclaw_oracle_node_slot",
	    "Confirmed slot the node last answered for.", labels);
}

struct rpc_node *rpc_node_new(struct http_client *http, size_t index, const char *url,
    uint64_t timeout_ms, struct metrics *metrics, struct error *err)
{
	struct rpc_node *node = calloc(1, sizeof(*node));
	bug_if(!node);
	if (make_label(url, node->label, err) < 0) {
		free(node);
		return NULL;
	}
	node->http = http;
	node->index = index;
	node->timeout_ms = timeout_ms;
	node->url = strdup(url);
	bug_if(!node->url);
	/* no node can guess the id of a request it has not seen */
	node->next_id = (uint64_t)randombytes_random() << 16;
	TAILQ_INIT(&node->pending);
	open_metrics(node, metrics);
	return node;
}

void rpc_node_destroy(struct rpc_node **node)
{
	struct rpc_node *n = *node;
	struct rpc_pending *pending;
	const struct rpc_answer gone = {.outcome = RPC_UNREACHABLE};
	if (!n)
		return;
	while ((pending = TAILQ_FIRST(&n->pending))) {
		TAILQ_REMOVE(&n->pending, pending, link);
		pending->node = NULL;
		pending->answered(pending->arg, n, &gone);
	}
	free(n->url);
	free(n);
	*node = NULL;
}

uint64_t rpc_node_id(struct rpc_node *node)
{
	return ++node->next_id;
}

/* Half of it is certain, the other half is chance, so that replicas do not come back together. */
static uint64_t backoff_ms(unsigned failures)
{
	uint64_t ms = failures > 7 ? BACKOFF_MAX_MS : (uint64_t)BACKOFF_MS << failures;
	return ms / 2 + randombytes_uniform((uint32_t)(ms / 2 + 1));
}

static void fail(struct rpc_node *node, unsigned retry_after_s, const struct error *why)
{
	if (node->failures++ == 0)
		log_warn("node fails", "node", node->label, "why", why->text);
	uint64_t wait_ms = backoff_ms(node->failures - 1);
	if (retry_after_s > RETRY_AFTER_MAX_S)
		retry_after_s = RETRY_AFTER_MAX_S;
	if (wait_ms < (uint64_t)retry_after_s * 1000)
		wait_ms = (uint64_t)retry_after_s * 1000;
	node->retry_at = clock_boot_ms() + wait_ms;
	/* it may come back as somebody else */
	node->genesis[0] = '\0';
}

static void on_http(void *arg, const struct http_answer *http, const struct error *err)
{
	scoped_free struct rpc_pending *pending = arg;
	struct rpc_node *node = pending->node;
	if (!node)
		return;
	TAILQ_REMOVE(&node->pending, pending, link);
	node->in_flight--;
	struct rpc_answer answer;
	rpc_answer_read(http, err, pending->id, &answer);
	metric_add(node->outcomes[answer.outcome], 1);
	if (pending->vital && answer.outcome != RPC_OK && answer.outcome != RPC_BEHIND)
		fail(node, answer.retry_after_s, &answer.err);
	pending->answered(pending->arg, node, &answer);
	rpc_answer_wipe(&answer);
}

void rpc_node_call(
    struct rpc_node *node, struct rpc_call call, rpc_node_answered answered, void *arg)
{
	scoped_free char *body = call.body;
	struct rpc_pending *pending = malloc(sizeof(*pending));
	bug_if(!pending);
	*pending = (struct rpc_pending){
	    .node = node, .answered = answered, .arg = arg, .id = call.id, .vital = call.vital};
	TAILQ_INSERT_TAIL(&node->pending, pending, link);
	node->in_flight++;
	http_post(node->http, node->url, body, strlen(body), node->timeout_ms, call.body_max,
	    on_http, pending);
}

void rpc_node_broke(struct rpc_node *node, const struct error *why)
{
	metric_add(node->outcomes[RPC_BROKEN], 1);
	fail(node, 0, why);
}

void rpc_node_recovered(struct rpc_node *node)
{
	if (node->failures > 0)
		log_info("node answers again", "node", node->label);
	node->failures = 0;
	node->retry_at = 0;
}

bool rpc_node_is_trusted(const struct rpc_node *node)
{
	return node->view.known && !node->view.other_chain && node->aside == ASIDE_NONE;
}

bool rpc_node_is_healthy(const struct rpc_node *node)
{
	return rpc_node_is_trusted(node) && node->genesis[0] && node->failures == 0;
}

bool rpc_node_has_room(const struct rpc_node *node)
{
	return node->in_flight < RPC_NODE_IN_FLIGHT_MAX;
}

bool rpc_node_may_ask(const struct rpc_node *node)
{
	return clock_boot_ms() >= node->retry_at;
}
