/* operations - the C side of operations.lua: transactions on their way, in Redis, so that they outlive this process and are everybody's. Each step is one
 * script and is on the disk before it is answered (deploy/redis/redis.conf, appendfsync always).
 *
 * Every done callback is called exactly once, never from inside the call; op is borrowed for the call and NULL when err is set. */
#ifndef AGENT_WALLET_OPERATIONS_H
#define AGENT_WALLET_OPERATIONS_H

#include "common/base58.h"
#include "common/redis.h"
#include "proto/wallet.h"

struct operation {
	char id[WALLET_ID_LEN + 1];
	char asset[PUBKEY_TEXT_MAX + 1], wallet[PUBKEY_TEXT_MAX + 1];
	uint64_t slot; /* of proof, the session's it was built in */
	char operation[20 + 1];
	char state[9 + 1];
	uint8_t built[CHAIN_TRANSACTION_MAX];
	size_t built_len;
	uint64_t last_valid, built_ms;
	/* once sent */
	uint8_t sent[CHAIN_TRANSACTION_MAX];
	size_t sent_len;
	char signature[SIGNATURE_TEXT_MAX + 1];
	uint64_t sent_ms, landed;
	char error[CHAIN_ERROR_MAX + 1];
	char least[9 + 1], most[9 + 1];
	bool differ, accepted; /* nodes took it once (relay.h) */
};

struct operation_note {
	const char *id, *state, *error, *least, *most;
	uint64_t landed, again_ms;
	bool differ, accepted;
};

/* op NULL, err NULL: there is none. */
typedef void (*operations_done)(void *arg, const struct operation *op, const struct error *err);
typedef void (*operations_accepted)(
    void *arg, const char *word, const struct operation *op, const struct error *err);
typedef void (*operations_claimed)(
    void *arg, const struct operation *ops, size_t n, const struct error *err);

/* Of op: id to last_valid. done's op is op's copy with built_ms. */
void operations_put(struct redis *redis, const struct operation *op, uint64_t ttl_ms, uint64_t max,
    operations_done done, void *arg);
void operations_get(struct redis *redis, const char *id, operations_done done, void *arg);
/* word: accepted, same (bytes), other (bytes were accepted before), twin (these bytes were, for another operation), unknown (op NULL). */
void operations_accept(struct redis *redis, const struct operation *op, uint64_t keep_ms,
    uint64_t again_ms, operations_accepted done, void *arg);
#define OPERATIONS_CLAIM_MAX 32
void operations_claim(struct redis *redis, uint64_t lease_ms, operations_claimed done, void *arg);
void operations_note(
    struct redis *redis, const struct operation_note *note, operations_done done, void *arg);

#endif
