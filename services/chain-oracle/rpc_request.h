/* rpc_request - the JSON-RPC and PubSub messages sent to a node (solana-wire.md section 4), always with base64, a slice of CORE_SLICE bytes, and
 * `confirmed` where nothing else is said. Each returns a NUL-terminated text that the caller frees. id is repeated in the answer. */
#ifndef CHAIN_ORACLE_RPC_REQUEST_H
#define CHAIN_ORACLE_RPC_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RPC_CLOCK "SysvarC1ock11111111111111111111111111111111"
#define RPC_KEYS_MAX 99 /* a node takes 100, and the Clock sysvar always comes along */

/* ExecutionDelegateRecordV1 of mpl-agent-tools (solana-wire.md 3.5). */
#define RPC_RECORD_PROGRAM "TLREGni9ZEyGC3vnPZtqUh95xQ8oPqJSvNjvB7FGK8S"
#define RPC_RECORD_LEN 104
#define RPC_RECORD_ASSET_AT 72

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

/* What agent-wallet wants to know (proto/chain.h). Keys and signatures are base58; slice: bytes of each account's data. */
char *rpc_request_blockhash(uint64_t id, uint64_t min_slot);
/* getMultipleAccounts without the clock, of at most RPC_KEYS_MAX + 1 keys. keys: an array of strings, taken. */
char *rpc_request_data(uint64_t id, json_t *keys, size_t slice, uint64_t min_slot);
char *rpc_request_rent(uint64_t id, uint64_t size);
char *rpc_request_tokens(
    uint64_t id, const char *owner, const char *program, size_t slice, uint64_t min_slot);
/* getProgramAccounts: the ExecutionDelegateRecordV1 of an asset (solana-wire.md 3.5). */
char *rpc_request_records(uint64_t id, const char *asset, uint64_t min_slot);
/* Unsigned allowed, the blockhash replaced. keys: accounts to show afterwards, taken. */
char *rpc_request_simulate(
    uint64_t id, const uint8_t *transaction, size_t len, json_t *keys, uint64_t min_slot);
/* maxRetries 0: whoever wants it sent again sends it again. */
char *rpc_request_send(uint64_t id, const uint8_t *transaction, size_t len, bool skip_preflight);
/* signatures: taken. */
char *rpc_request_statuses(uint64_t id, json_t *signatures, bool history);
/* before: "" for the newest. */
char *rpc_request_recent(
    uint64_t id, const char *address, uint64_t limit, const char *before, uint64_t min_slot);

char *rpc_request_subscribe_account(uint64_t id, const char *key);
char *rpc_request_subscribe_collection(uint64_t id, const uint8_t collection[32]);
char *rpc_request_subscribe_slots(uint64_t id);
char *rpc_request_unsubscribe_account(uint64_t id, uint64_t subscription);

#endif
