/* verdict - what an operation's state is, from what the nodes say of its signature. Pure. Forward only, and nothing on the word of one node of several: landed is
 * what every node says has landed, lost what no node knows after the block height has passed for the slowest. */
#ifndef AGENT_WALLET_VERDICT_H
#define AGENT_WALLET_VERDICT_H

#include "proto/chain.h"
#include "services/agent-wallet/operations.h"

/* Blocks behind last_valid after which a transaction that nobody knows is called lost: forks of the last seconds, and a node that lags, have settled. */
#define VERDICT_MARGIN 32

/* height: asked for before the status was. Updates state, error, landed, least, most, differ of op. */
void verdict_take(struct operation *op, const struct states_item *status, uint64_t height);
bool verdict_is_final(const struct operation *op);
/* It can still land, and some node does not know it: one that lies that it has landed keeps nobody from sending it. */
bool verdict_wants_sending(const struct operation *op, uint64_t height);

#endif
