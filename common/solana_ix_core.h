/* solana_ix_core - instructions of Metaplex Core (mpl-core 2181404; solana-wire.md 2.4 and 3.1). An optional account that is not given is the
 * Core program's own id, read-only. */
#ifndef COMMON_SOLANA_IX_CORE_H
#define COMMON_SOLANA_IX_CORE_H

#include "common/solana_instruction.h"
#include "common/solana_tx.h"

enum { SOLANA_CORE_BURN = 12, SOLANA_CORE_TRANSFER = 14, SOLANA_CORE_EXECUTE = 31 };

/* Accounts of ExecuteV1 before those of the inner instruction. */
enum {
	SOLANA_EXECUTE_ASSET,
	SOLANA_EXECUTE_COLLECTION,
	SOLANA_EXECUTE_SIGNER, /* the PDA */
	SOLANA_EXECUTE_PAYER,
	SOLANA_EXECUTE_AUTHORITY,
	SOLANA_EXECUTE_SYSTEM,
	SOLANA_EXECUTE_PROGRAM, /* the inner instruction's */
	SOLANA_EXECUTE_INNER
};
#define SOLANA_EXECUTE_FEE 48720 /* lamports, payer to asset, at the rent of solana-wire.md 3.2 */

/* By its program and number: its fields may still be wrong. */
bool solana_ix_is_execute(
    const struct solana_tx *tx, const struct solana_tx_instruction *instruction);

struct solana_core_execute {
	const uint8_t *asset;
	const uint8_t *collection; /* NULL: the asset is in none */
	const uint8_t *payer;      /* signs, pays the execute fee */
	const uint8_t *authority;  /* NULL: the payer is the owner */
	const uint8_t *record;     /* NULL, or the ExecutionDelegateRecord the authority acts by */
};

/* Wraps inner so that the asset's PDA signs it. ERR_INVALID: it needs another's signature than payer, authority and PDA (reason
 * inner_signer), or does not fit (tx_too_long). */
int solana_ix_core_execute(const struct solana_core_execute *execute,
    const struct solana_instruction *inner, struct solana_instruction *ix_r, struct error *err);

struct solana_core_transfer {
	const uint8_t *asset;
	const uint8_t *collection; /* NULL: the asset is in none */
	const uint8_t *payer;      /* signs */
	const uint8_t *authority;  /* NULL: the payer is the owner; signs */
	const uint8_t *new_owner;
};
/* Hands over an NFT. Of one that the agent's wallet holds: authority is its PDA, the instruction goes into ExecuteV1. */
void solana_ix_core_transfer(
    const struct solana_core_transfer *transfer, struct solana_instruction *ix_r);

#endif
