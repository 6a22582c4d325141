/* wallets - /v1/wallet and /v1/wallet/transactions: the agent's on-chain wallet, as agent-wallet says, which composes, checks and sends; the owner's own wallet
 * signs. Each call carries the session's token: agent-wallet judges it itself. */
#ifndef ROUTER_WALLETS_H
#define ROUTER_WALLETS_H

#include "services/router/api.h"

void wallets_show(struct api_call *call, const struct session_check_rsp *session);
void wallets_recent(struct api_call *call, const struct session_check_rsp *session);
/* The text that the owner signs before raw instructions are built. */
void wallets_challenge(struct api_call *call, const struct session_check_rsp *session);
void wallets_build(struct api_call *call, const struct session_check_rsp *session);
void wallets_submit(struct api_call *call, const struct session_check_rsp *session);
void wallets_status(struct api_call *call, const struct session_check_rsp *session);

#endif
