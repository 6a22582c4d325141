/* endpoint - a node's two ports: JSON-RPC over HTTP, and PubSub. It carries out the faults that concern the transport, and hands
 * control commands (methods that begin with devchain_) on untouched by any fault. */
#ifndef DEVCHAIN_ENDPOINT_H
#define DEVCHAIN_ENDPOINT_H

#include <event2/event.h>

#include "tests/devchain/pubsub.h"
#include "tests/devchain/rpc.h"

struct devchain;
struct endpoint;

/* Listens on 127.0.0.1; a port of 0 is replaced by the one taken. Borrows the rest. */
struct endpoint *endpoint_new(struct devchain *devchain, struct node *node, uint16_t *port,
    uint16_t *ws_port, struct error *err);
void endpoint_destroy(struct endpoint **endpoint);
struct pubsub *endpoint_pubsub(struct endpoint *endpoint);
/* Cuts the connections whose requests a silent node holds. */
void endpoint_release(struct endpoint *endpoint);

#endif
