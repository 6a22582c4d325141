/* subscriptions - what one connection is subscribed to, or is going to be: the slots, the collection, and one account per watched asset. No I/O. They end with their
 * connection, and ids mean nothing in the next one. */
#ifndef CHAIN_ORACLE_SUBSCRIPTIONS_H
#define CHAIN_ORACLE_SUBSCRIPTIONS_H

#include <sys/queue.h>

#include "common/base58.h"
#include "common/error.h"

#define SUBSCRIPTIONS_ASKED_MAX 32 /* without an answer yet */

enum subscription_kind { SUBSCRIPTION_SLOTS, SUBSCRIPTION_COLLECTION, SUBSCRIPTION_ACCOUNT };
enum subscription_state {
	SUBSCRIPTION_WANTED,
	SUBSCRIPTION_ASKED,
	SUBSCRIPTION_ACTIVE,
	SUBSCRIPTION_REFUSED
};
#define SUBSCRIPTION_STATES (SUBSCRIPTION_REFUSED + 1)

struct subscription {
	TAILQ_ENTRY(subscription) link; /* of the list that its state names */
	enum subscription_kind kind;
	enum subscription_state state;
	bool dropped;     /* ASKED, and not wanted any more */
	uint64_t request; /* ASKED: the id of the request */
	uint64_t id;      /* ACTIVE: the node's */
	char asset[PUBKEY_TEXT_MAX + 1];
};

struct subscriptions {
	struct subscription slots, collection;
	TAILQ_HEAD(subscription_list, subscription) list[SUBSCRIPTION_STATES];
	size_t nasked, naccounts;
	uint64_t next_request;
	void *by_asset, *by_id; /* trees */
};

/* Starts with the slots and the collection wanted. */
void subscriptions_open(struct subscriptions *all);
void subscriptions_close(struct subscriptions *all);
/* A new connection: all are wanted again, the slots and the collection first. */
void subscriptions_start_over(struct subscriptions *all);

bool subscriptions_has(struct subscriptions *all, const char *asset);
/* Wanted from now on; it is not there yet. */
void subscriptions_add(struct subscriptions *all, const char *asset);
/* True: id_r must be unsubscribed. */
bool subscriptions_remove(struct subscriptions *all, const char *asset, uint64_t *id_r);

/* The next one to ask for, as asked; its request is set. NULL: none is wanted, or enough are asked for. */
struct subscription *subscriptions_ask(struct subscriptions *all);
uint64_t subscriptions_request(struct subscriptions *all); /* an id for another request */

/* The node answered. -1: two have the same id, which no node means well. *unsubscribe_r: nobody wants it any more. */
int subscriptions_answered(struct subscriptions *all, uint64_t request, uint64_t id,
    bool *unsubscribe_r, struct error *err);
/* True: it was the first one refused in this connection. */
bool subscriptions_refused(struct subscriptions *all, uint64_t request);
/* The active one; NULL: unsubscribed meanwhile, or never heard of. */
const struct subscription *subscriptions_find(struct subscriptions *all, uint64_t id);
/* Every one is answered. */
bool subscriptions_settled(const struct subscriptions *all);

#endif
