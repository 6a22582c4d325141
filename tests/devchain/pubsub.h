/* pubsub - a node's WebSocket side: subscriptions to accounts, programs and slots. It pushes what each new block of the node's view
 * changed, once per slot and account; nothing at the moment of subscribing; a program's filters look at the new state alone. */
#ifndef DEVCHAIN_PUBSUB_H
#define DEVCHAIN_PUBSUB_H

#include <event2/event.h>

#include "common/error.h"
#include "tests/devchain/node.h"

struct pubsub;
/* Listens on 127.0.0.1:port; 0: any, *port gets the one taken. Borrows node. */
struct pubsub *pubsub_new(
    struct event_base *base, struct node *node, uint16_t *port, struct error *err);
void pubsub_destroy(struct pubsub **pubsub);
/* Pushes everything up to the node's present view. */
void pubsub_advance(struct pubsub *pubsub);
/* A fork dropped all blocks above this height: what takes their place is new. */
void pubsub_rewind(struct pubsub *pubsub, uint64_t height);
/* Cuts every connection. */
void pubsub_drop(struct pubsub *pubsub);
size_t pubsub_connections(const struct pubsub *pubsub);
size_t pubsub_subscriptions(const struct pubsub *pubsub);

#endif
