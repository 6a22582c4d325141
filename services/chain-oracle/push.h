/* push - one node's subscriptions: programSubscribe by collection, accountSubscribe per watched asset (the filter of the first is silent on burns
 * and on moves out), slotSubscribe as heartbeat. For speed only: what push loses, the sweep finds.
 *
 * Subscriptions belong to a connection; after each connecting all are made again, and then a sweep is asked for. A line on which no slot was heard for 10 s is
 * dead. Beyond the setting's number of accounts no more are subscribed: burns and moves out of the rest wait for the sweep.
 */
#ifndef CHAIN_ORACLE_PUSH_H
#define CHAIN_ORACLE_PUSH_H

#include "common/metrics.h"
#include "services/chain-oracle/rpc_node.h"
#include "services/chain-oracle/watch.h"
#include "services/chain-oracle/websocket_client.h"

struct push;
struct push_hooks {
	void (*seen)(void *arg, struct rpc_node *node, const char *asset,
	    const struct rpc_account *account, uint64_t slot);
	/* Everything is subscribed: what changed before must be read. */
	void (*caught_up)(void *arg, struct rpc_node *node);
	void *arg;
};
struct push_config {
	struct event_base *base;
	struct http_client *http;
	struct rpc_node *node;
	const uint8_t *collection;
	struct watch *watch;
	size_t accounts_max;
	struct metrics *metrics;
};
/* Caller owns the result. Keeps the pointers in config. Connects when the node is first trusted. NULL: url is no address. */
struct push *push_new(const struct push_config *config, const char *url,
    const struct push_hooks *hooks, struct error *err);
void push_destroy(struct push **push);

void push_add(struct push *push, const char *asset);
void push_remove(struct push *push, const char *asset);
/* Connected, and everything subscribed that is going to be. */
bool push_is_live(const struct push *push);

#endif
