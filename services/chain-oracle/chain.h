/* chain - what agent-wallet asks of Solana (proto/chain.h): its own calls, apart from who owns what. Decides nothing and keeps nothing. */
#ifndef CHAIN_ORACLE_CHAIN_H
#define CHAIN_ORACLE_CHAIN_H

#include "proto/chain.h"
#include "services/chain-oracle/asking.h"

struct chain {
	struct askings askings;
};

CHAIN_CALLS(PROTO_HANDLER)

/* A word of the wallet's checked before a node sees it; -1 with address_invalid or signature_invalid. */
int chain_check_key(const char *text, struct error *err);
int chain_check_signature(const char *text, struct error *err);

/* getLatestBlockhash's answer: slot, and the block height there, which is last_valid less a blockhash's life. -1 if it is none, or names a block height
 * above its slot: a height that never comes would keep every transaction from coming to an end. */
struct chain_latest {
	uint8_t blockhash[PUBKEY_LEN];
	uint64_t slot, height, last_valid;
};
int chain_read_latest(const struct asking_turn *turn, const struct rpc_answer *answer,
    struct chain_latest *latest_r, struct error *err);

static inline uint64_t chain_lower(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t chain_higher(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* The list of keys as the node wants it; caller owns it. */
json_t *chain_keys(size_t len, const struct keys_item *keys);
/* Reads value: a list of len accounts of a slice each. */
int chain_read_accounts(const json_t *value, size_t len, size_t slice,
    struct accounts_item *accounts_r, struct error *err);

#endif
