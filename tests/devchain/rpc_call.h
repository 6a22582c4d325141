/* rpc_call - one JSON-RPC call being answered: what the files of methods share. Private to rpc*.c. */
#ifndef DEVCHAIN_RPC_CALL_H
#define DEVCHAIN_RPC_CALL_H

#include "tests/devchain/read_config.h"
#include "tests/devchain/rpc.h"

#define RPC_API_VERSION "2.3.8"

struct call {
	struct rpc *rpc;
	const json_t *params;
	struct evbuffer *out;
	struct rpc_error *err;
};
typedef int (*rpc_method)(struct call *call);

const json_t *call_param(const struct call *call, size_t i);
/* -1: at least n parameters are needed. */
int call_missing(struct call *call, size_t n);
/* The configuration, and whether this node may answer under it. */
int call_config(struct call *call, size_t i, struct read_config *config_r);
void call_begin_context(const struct call *call, const struct read_config *config);
void call_end_context(const struct call *call);
int call_write_u64(const struct call *call, uint64_t value);

int rpc_get_latest_blockhash(struct call *call);
int rpc_is_blockhash_valid(struct call *call);
int rpc_get_fee_for_message(struct call *call);
int rpc_simulate_transaction(struct call *call);
int rpc_send_transaction(struct call *call);
int rpc_get_signature_statuses(struct call *call);
int rpc_get_signatures_for_address(struct call *call);
int rpc_get_token_accounts_by_owner(struct call *call);

#endif
