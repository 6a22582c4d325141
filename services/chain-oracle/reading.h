/* reading - accounts as one node sees them in one slot, with the chain's clock: the only way in which the chain is read for
 * deciding. A reading that goes back in time, or comes from a node that is set aside after having said it, is none.
 *
 * A reading at confirmed is also how a node is known: its slot and clock become the node's view, its failing makes the node unwell. One at
 * finalized is some 32 slots older and not every node serves it, so it changes neither.
 */
#ifndef CHAIN_ORACLE_READING_H
#define CHAIN_ORACLE_READING_H

#include "services/chain-oracle/rpc_node.h"
#include "services/chain-oracle/rpc_request.h"

struct reading {
	uint64_t slot;
	size_t len;
	const struct rpc_account *account; /* in the order of the keys */
};

/* Called exactly once, never from inside reading_take. reading: borrowed, NULL unless outcome is RPC_OK. */
typedef void (*reading_taken)(
    void *arg, struct rpc_node *node, enum rpc_outcome outcome, const struct reading *reading);

/* Before what a node said of that slot is used, its view of the chain being up to date: may it be? Sets it aside if not. */
typedef bool (*reading_judge)(void *judge, struct rpc_node *node, uint64_t slot);

struct reading_request {
	const char *const *keys; /* base58; copied */
	size_t len;              /* at most RPC_KEYS_MAX; 0: the clock alone */
	uint64_t min_slot;
	enum rpc_commitment commitment;
	reading_judge judge;
	void *judge_arg;
};
void reading_take(
    struct rpc_node *node, const struct reading_request *request, reading_taken taken, void *arg);

#endif
