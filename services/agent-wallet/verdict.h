/* verdict - what an operation's state is, from what the nodes say of its signature. Pure. Forward only, and nothing on the word of one node of several, also not
 * while the others are silent: landed is what every node that answers says has landed, two of them at least where two are configured; lost what none
 * of these knows after the block height has passed for the slowest, if no healthy one is silent. */
#ifndef AGENT_WALLET_VERDICT_H
#define AGENT_WALLET_VERDICT_H

#include "proto/chain.h"
#include "services/agent-wallet/operations.h"

/* Blocks behind last_valid after which a transaction that nobody knows is called lost: forks of the last seconds, and a node that lags, have settled. */
#define VERDICT_MARGIN 32

/* Whose word a status is, as in chain.statuses. */
struct verdict_look {
	uint64_t nodes, of, silent;
	uint64_t height, highest;
	bool history; /* they searched it */
};

/* Updates state, error, landed, least, most, differ of op. Too few nodes: least is none, whatever they say. */
void verdict_take(
    struct operation *op, const struct states_item *status, const struct verdict_look *look);
/* It may be lost, but it is so old that nodes know nothing of it without searching their history. */
bool verdict_wants_history(const struct operation *op, const struct verdict_look *look);
bool verdict_is_final(const struct operation *op);
/* It can still land, and some node does not know it: one that lies that it has landed keeps nobody from sending it. */
bool verdict_wants_sending(const struct operation *op, const struct verdict_look *look);

#endif
