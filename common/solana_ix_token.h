/* solana_ix_token - instructions of SPL Token and Token-2022 (one number byte, then fields; alike in both) and of the Associated Token
 * Account program. program says which of the two owns the mint; accounts of the one are nothing to the other. */
#ifndef COMMON_SOLANA_IX_TOKEN_H
#define COMMON_SOLANA_IX_TOKEN_H

#include "common/solana_instruction.h"

/* The first byte of an instruction (spl-token, instruction.rs). */
enum {
	SOLANA_TOKEN_TRANSFER = 3,
	SOLANA_TOKEN_APPROVE = 4,
	SOLANA_TOKEN_REVOKE = 5,
	SOLANA_TOKEN_SET_AUTHORITY = 6,
	SOLANA_TOKEN_BURN = 8,
	SOLANA_TOKEN_CLOSE_ACCOUNT = 9,
	SOLANA_TOKEN_TRANSFER_CHECKED = 12,
	SOLANA_TOKEN_APPROVE_CHECKED = 13,
	SOLANA_TOKEN_BURN_CHECKED = 15
};
enum { SOLANA_ASSOCIATED_CREATE = 0, SOLANA_ASSOCIATED_CREATE_IDEMPOTENT = 1 };

/* lamports that an associated account has to hold, at the rent of solana-wire.md 3.2: of Token 165 bytes, of Token-2022 at least 170 */
#define SOLANA_TOKEN_RENT 2039280
#define SOLANA_TOKEN_2022_RENT 2074080

struct solana_token_transfer {
	const uint8_t *program, *mint, *source, *destination,
	    *owner;       /* token accounts; owner signs */
	uint64_t amount;  /* in the smallest unit */
	uint8_t decimals; /* the mint's, or it fails */
};

/* Also how a fungible-standard or SPL NFT moves: amount 1, decimals 0. */
void solana_ix_token_transfer(
    const struct solana_token_transfer *transfer, struct solana_instruction *ix_r);
/* Closes an empty account; its rent goes to destination. */
void solana_ix_token_close(const uint8_t program[PUBKEY_LEN], const uint8_t account[PUBKEY_LEN],
    const uint8_t destination[PUBKEY_LEN], const uint8_t owner[PUBKEY_LEN],
    struct solana_instruction *ix_r);
/* Takes a delegate off a token account. */
void solana_ix_token_revoke(const uint8_t program[PUBKEY_LEN], const uint8_t account[PUBKEY_LEN],
    const uint8_t owner[PUBKEY_LEN], struct solana_instruction *ix_r);
/* Creates the wallet's associated account if it is missing; funder pays its rent and signs. -1: no such address. */
int solana_ix_token_create_account(const uint8_t program[PUBKEY_LEN],
    const uint8_t funder[PUBKEY_LEN], const uint8_t wallet[PUBKEY_LEN],
    const uint8_t mint[PUBKEY_LEN], struct solana_instruction *ix_r);

#endif
