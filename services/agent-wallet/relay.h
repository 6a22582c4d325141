/* relay - gives a signed transaction to every node (chain.send) and says what came of it in the words of an operation. */
#ifndef AGENT_WALLET_RELAY_H
#define AGENT_WALLET_RELAY_H

#include "proto/chain.h"
#include "services/agent-wallet/operations.h"

/* What is known of an operation after a sending; rsp NULL: no node answered, which says nothing. error: how a preflight failed, if no node took it. */
void relay_judge(const struct chain_send_rsp *rsp, struct operation *op);
/* Another sending. Nodes run it first until two have taken it (or the only one) and none refused: what would fail costs its owner a fee, and one that lies must not
 * decide that. */
void relay_request(const struct operation *op, struct chain_send_req *req_r);

#endif
