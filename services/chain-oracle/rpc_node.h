/* rpc_node - one Solana node: requests to it, whether it answers, what it last said about the chain. Its address may hold an API key; label is what may be shown.
 *
 * A vital request (a reading at confirmed, the genesis hash) that fails makes the node unwell until a reading succeeds; it is tried again by the set (rpc_nodes) with
 * exponential back-off and jitter, not before its Retry-After. getProgramAccounts and readings at finalized are not
 * vital: not every node serves them.
 */
#ifndef CHAIN_ORACLE_RPC_NODE_H
#define CHAIN_ORACLE_RPC_NODE_H

#include <sys/queue.h>

#include "common/http_client.h"
#include "common/metrics.h"
#include "services/chain-oracle/plausible.h"
#include "services/chain-oracle/rpc_answer.h"

#define RPC_NODE_LABEL_MAX 300
#define RPC_NODE_IN_FLIGHT_MAX \
	32 /* twice the connections libcurl opens: a longer queue would time out in it */

struct rpc_pending;
struct rpc_node {
	size_t index; /* in the list of settings; also the label of its metrics */
	char *url;
	char label[RPC_NODE_LABEL_MAX]; /* scheme and host */
	struct http_client *http;
	uint64_t timeout_ms;
	uint64_t next_id;
	size_t in_flight;
	TAILQ_HEAD(rpc_pendings, rpc_pending) pending;

	char genesis[PUBKEY_TEXT_MAX + 1]; /* "": not known, or to be asked for again */
	struct plausible_view view;
	enum plausible_aside aside; /* by the set */

	unsigned failures; /* vital ones in a row */
	uint64_t retry_at; /* boot milliseconds; no request before */
	bool asking;       /* a probe is under way */

	struct metric *outcomes[RPC_OUTCOMES_LEN];
	struct metric *healthy, *slot;
};

/* Caller owns the result. url: http or https. NULL with err if it is neither. */
struct rpc_node *rpc_node_new(struct http_client *http, size_t index, const char *url,
    uint64_t timeout_ms, struct metrics *metrics, struct error *err);
/* Requests under way are answered first, as unreachable. */
void rpc_node_destroy(struct rpc_node **node);

/* Called exactly once, never from inside rpc_node_call. answer is borrowed. */
typedef void (*rpc_node_answered)(
    void *arg, struct rpc_node *node, const struct rpc_answer *answer);
struct rpc_call {
	char *body; /* by rpc_request, with the id rpc_node_id gave; taken */
	uint64_t id;
	size_t body_max; /* of the answer */
	bool vital;
};
uint64_t rpc_node_id(struct rpc_node *node);
void rpc_node_call(
    struct rpc_node *node, struct rpc_call call, rpc_node_answered answered, void *arg);

/* A vital request came to nothing although an answer came (its content is wrong): counts like a failure. */
void rpc_node_broke(struct rpc_node *node, const struct error *why);
/* A reading came: it is well. */
void rpc_node_recovered(struct rpc_node *node);

/* Trusted: of the right chain and not set aside. Healthy: also well. Whether there is room for a request is another question: who fills a node's queue
 * must not make it count as absent. */
bool rpc_node_is_trusted(const struct rpc_node *node);
bool rpc_node_is_healthy(const struct rpc_node *node);
bool rpc_node_has_room(const struct rpc_node *node);
/* May it be asked now (back-off over)? */
bool rpc_node_may_ask(const struct rpc_node *node);

#endif
