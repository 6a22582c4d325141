/* core_asset - what matters of a Metaplex Core asset to a wallet: who holds it, its collection, and whether its plugins let others spend or nobody
 * (layout: solana-wire.md 2.1, 2.3). Pure; the account is hostile. */
#ifndef AGENT_WALLET_CORE_ASSET_H
#define AGENT_WALLET_CORE_ASSET_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base58.h"

struct core_asset {
	uint8_t owner[PUBKEY_LEN];
	bool has_collection;
	uint8_t collection[PUBKEY_LEN];
	bool plugins_known; /* the rest was there and could be read */
	bool
	    identity; /* an AgentIdentity that may approve Execute: execution delegates can spend */
	bool execute_frozen;
};

/* data: of an account that Core owns; its beginning is enough for owner and collection. False: no asset (burned, a collection, malformed). */
bool core_asset_read(const uint8_t *data, size_t len, struct core_asset *asset_r);

#endif
