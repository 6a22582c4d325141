/* node_urls - where a node's PubSub is if only its RPC address is given. */
#ifndef CHAIN_ORACLE_NODE_URLS_H
#define CHAIN_ORACLE_NODE_URLS_H

#include "common/error.h"

/* ws for http, wss for https; the port above for a node on this machine, the same address otherwise. Caller frees. */
char *node_urls_pubsub(const char *rpc_url, struct error *err);

#endif
