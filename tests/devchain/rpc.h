/* rpc - the JSON-RPC methods of a node, without HTTP. Shapes, defaults and errors as in Agave's rpc. */
#ifndef DEVCHAIN_RPC_H
#define DEVCHAIN_RPC_H

#include "tests/devchain/bank.h"
#include "tests/devchain/jsonrpc.h"
#include "tests/devchain/node.h"

/* Answers one message, or a batch, into out; writes nothing for notifications. genesis is 32 bytes. */
struct rpc {
	struct node *node;
	struct bank *bank; /* borrowed, shared by the nodes */
	uint8_t genesis[PUBKEY_LEN];
};
void rpc_answer(struct rpc *rpc, const json_t *message, struct evbuffer *out);
/* The answer to a body that is not JSON. */
void rpc_answer_unparsable(struct evbuffer *out);

#endif
