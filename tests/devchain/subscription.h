/* subscription - what one WebSocket connection has asked to be told, and how it is told. */
#ifndef DEVCHAIN_SUBSCRIPTION_H
#define DEVCHAIN_SUBSCRIPTION_H

#include "tests/devchain/read_config.h"

enum topic { TOPIC_ACCOUNT, TOPIC_PROGRAM, TOPIC_SLOT };

struct subscription {
	enum topic topic;
	uint64_t id;
	char *text; /* topic and parameters: equal ones share an id */
	uint8_t key[PUBKEY_LEN];
	struct read_config config;
};

struct subscriptions {
	size_t n, room;
	struct subscription *item;
};

/* Which topic a method is about, and whether it subscribes; false: no such method. */
bool subscription_method(const char *method, enum topic *topic_r, bool *subscribes_r);
/* From a request's parameters; the id is the caller's to choose. Caller clears. */
int subscription_read(enum topic topic, const json_t *params, struct subscription *subscription_r,
    struct rpc_error *err);
void subscription_clear(struct subscription *subscription);

/* Takes the contents; drops them if the id is there already. */
void subscriptions_add(struct subscriptions *set, struct subscription *subscription);
/* False: no such id of this topic. */
bool subscriptions_remove(struct subscriptions *set, enum topic topic, uint64_t id);
void subscriptions_clear(struct subscriptions *set);
/* The id of an equal subscription, or 0. */
uint64_t subscriptions_find(const struct subscriptions *set, const char *text);

/* Append a notification. */
void subscription_write_account(struct evbuffer *out, const struct subscription *subscription,
    uint64_t slot, const struct reading *reading);
void subscription_write_slot(struct evbuffer *out, const struct subscription *subscription,
    uint64_t slot, uint64_t parent, uint64_t root);

#endif
