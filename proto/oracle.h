/* oracle - calls served by services/chain-oracle, the only one that talks to Solana. */
#ifndef PROTO_ORACLE_H
#define PROTO_ORACLE_H

#include "common/schema.h"
#include "proto/auth.h" /* assets_item */

/* clang-format off */
#define oracle_owner_REQ(F, M) \
	F(M, STR, asset, 32, 44, MUST, "base58 address") \
	F(M, STR, wallet, 32, 44, MUST, "who wants to sign in: if it is the owner, the asset is watched from now on")
#define oracle_owner_RSP(F, M) \
	F(M, STR, history, 1, 40, MUST, "in which the read was observed") \
	F(M, STR, verdict, 1, 24, MUST, "owned, or why not: burned missing wrong_program hashed malformed no_collection wrong_collection off_curve") \
	F(M, STR, owner, 0, 44, MAY, "base58; only with owned and off_curve") \
	F(M, UINT, slot, 0, UINT64_MAX, MUST, "of the read, at confirmed") \
	F(M, STR, name, 0, 64, MAY, "of the asset, cut to 64 bytes: hostile text")

#define oracle_assets_REQ(F, M) \
	F(M, STR, wallet, 32, 44, MUST, "base58 public key")
#define oracle_assets_RSP(F, M) \
	F(M, LIST, assets, 0, 100, MUST, "by the index; for discovery, never for deciding")

#define oracle_reset_REQ(F, M) \
	F(M, STR, asset, 32, 44, MUST, "whose record is poisoned")
#define oracle_reset_RSP(F, M) \
	F(M, STR, event, 3, 42, MUST, "that tells everybody") \
	F(M, STR, history, 1, 40, MUST, "of that event")

#define oracle_finalized_REQ(F, M) \
	F(M, STR, asset, 32, 44, MUST, "base58 address") \
	F(M, UINT, min_slot, 0, UINT64_MAX, MUST, "the reading has to reach: what is doubted was seen there")
#define oracle_finalized_RSP(F, M) \
	F(M, STR, verdict, 1, 24, MUST, "as of oracle.owner") \
	F(M, STR, owner, 0, 44, MAY, "base58; only with owned and off_curve") \
	F(M, UINT, slot, 0, UINT64_MAX, MUST, "of the reading, at finalized; the lower one of two") \
	F(M, UINT, nodes, 1, 2, MUST, "how many said the same; 1 only where one node is configured")

#define ORACLE_CALLS(C) \
	C(oracle, owner, ROLE_AUTH | ROLE_SESSION | ROLE_VAULT | ROLE_WALLET, READ, "Read the owner now, from the chain; the read is an observation.") \
	C(oracle, finalized, ROLE_VAULT, READ, "Read the owner at finalized, from two nodes where two are configured: evidence that may destroy.") \
	C(oracle, assets, ROLE_AUTH, READ, "What does this wallet own in the collection? From the index, no RPC.") \
	C(oracle, reset, ROLE_OPERATOR_REVOKE, ONCE, "Begin an asset's record anew; its sessions end.")
ORACLE_CALLS(PROTO_DECLARE)
/* clang-format on */

#endif
