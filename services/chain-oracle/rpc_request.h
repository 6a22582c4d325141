/* rpc_request - the JSON-RPC and PubSub messages sent to a node (solana-wire.md section 4), always with base64, a slice of CORE_SLICE bytes, and
 * `confirmed` where nothing else is said. Each returns a NUL-terminated text that the caller frees. id is repeated in the answer. */
#ifndef CHAIN_ORACLE_RPC_REQUEST_H
#define CHAIN_ORACLE_RPC_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#define RPC_CLOCK "SysvarC1ock11111111111111111111111111111111"
#define RPC_KEYS_MAX 99 /* a node takes 100, and the Clock sysvar always comes along */

enum rpc_commitment {
	RPC_CONFIRMED,
	RPC_FINALIZED,
};

/* getMultipleAccounts of at most RPC_KEYS_MAX keys and the Clock sysvar, in one slot at or above min_slot. The keys are base58, and written as
 * they are. */
char *rpc_request_accounts(uint64_t id, const char *const *keys, size_t len, uint64_t min_slot,
    enum rpc_commitment commitment);
/* getProgramAccounts: every asset of the collection. */
char *rpc_request_collection(uint64_t id, const uint8_t collection[32]);
char *rpc_request_genesis(uint64_t id);

char *rpc_request_subscribe_account(uint64_t id, const char *key);
char *rpc_request_subscribe_collection(uint64_t id, const uint8_t collection[32]);
char *rpc_request_subscribe_slots(uint64_t id);
char *rpc_request_unsubscribe_account(uint64_t id, uint64_t subscription);

#endif
