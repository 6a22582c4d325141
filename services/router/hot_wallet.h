/* hot_wallet - /v1/wallet/hot: the address of the agent's own keypair, and its making, after a signature that names the act. */
#ifndef ROUTER_HOT_WALLET_H
#define ROUTER_HOT_WALLET_H

#include "services/router/api.h"

void hot_wallet_show(struct api_call *call, const struct session_check_rsp *session);
void hot_wallet_challenge(struct api_call *call, const struct session_check_rsp *session);
void hot_wallet_make(struct api_call *call, const struct session_check_rsp *session);

#endif
