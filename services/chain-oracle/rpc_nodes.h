/* rpc_nodes - every Solana node that is configured: asks each how it is, sets aside what is not plausible, chooses whom to ask.
 *
 * A node that was not read for 5 s is read for the clock alone. One that failed is first asked for its genesis hash again, then read. The genesis
 * hash expected is the one the state was made on (mc:chain), or, on new state, that of the first node in the list that answers.
 */
#ifndef CHAIN_ORACLE_RPC_NODES_H
#define CHAIN_ORACLE_RPC_NODES_H

#include "services/chain-oracle/reading.h"

struct rpc_nodes;
struct rpc_nodes_hooks {
	/* What mc:chain says now; false: it has not been read yet. genesis_r: "" on new state. Borrowed. */
	bool (*chain)(void *arg, struct plausible_chain *chain_r, const char **genesis_r);
	/* A node became healthy that was not. */
	void (*healthy)(void *arg, struct rpc_node *node);
	/* Every node that could be asked is of another chain than the state. */
	void (*other_chain)(void *arg, const char *state, const char *node);
	void *arg;
};

/* Caller owns the result. Keeps http and hooks' pointers. */
struct rpc_nodes *rpc_nodes_new(struct event_base *base, struct http_client *http,
    const char *const *urls, size_t len, uint64_t timeout_ms, struct metrics *metrics,
    const struct rpc_nodes_hooks *hooks, struct error *err);
/* Requests under way are answered first, as unreachable; nobody is healthy meanwhile. */
void rpc_nodes_destroy(struct rpc_nodes **nodes);

bool rpc_nodes_are_stopping(const struct rpc_nodes *nodes);
size_t rpc_nodes_len(const struct rpc_nodes *nodes);
struct rpc_node *rpc_nodes_at(struct rpc_nodes *nodes, size_t index);

/* The first healthy node in the list that has room and whose bit (1 << index) is not in except; NULL: none. */
struct rpc_node *rpc_nodes_first(struct rpc_nodes *nodes, unsigned except);
/* Is any healthy, with room or without, whose bit is not in except? */
bool rpc_nodes_any_healthy(const struct rpc_nodes *nodes, unsigned except);
/* Each healthy node that has room in turn; NULL: none. */
struct rpc_node *rpc_nodes_next(struct rpc_nodes *nodes);
size_t rpc_nodes_healthy(const struct rpc_nodes *nodes);
bool rpc_nodes_is_healthy(const struct rpc_nodes *nodes, const struct rpc_node *node);

/* reading_take with the set's judge, at confirmed. */
void rpc_nodes_read(struct rpc_nodes *nodes, struct rpc_node *node, const char *const *keys,
    size_t len, uint64_t min_slot, reading_taken taken, void *arg);
/* The same of one account at finalized: what it says of the node, or its failing, sets nobody aside but a node whose slot is from the future. */
void rpc_nodes_read_finalized(struct rpc_nodes *nodes, struct rpc_node *node, const char *key,
    uint64_t min_slot, reading_taken taken, void *arg);
/* May something be believed that this node pushed? A slot from the future sets it aside. */
bool rpc_nodes_accept(struct rpc_nodes *nodes, struct rpc_node *node, uint64_t slot);
/* Redis has the state of another chain than it had (somebody replaced it): nobody is healthy, nothing is believed. */
bool rpc_nodes_are_foreign(const struct rpc_nodes *nodes);
/* The genesis hash expected; "": not known yet. */
const char *rpc_nodes_genesis(const struct rpc_nodes *nodes);

#endif
