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

/* The list of keys as the node wants it; caller owns it. */
json_t *chain_keys(size_t len, const struct keys_item *keys);
/* Reads value: a list of len accounts of a slice each. */
int chain_read_accounts(const json_t *value, size_t len, size_t slice,
    struct accounts_item *accounts_r, struct error *err);

#endif
