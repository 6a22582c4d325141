/* wallet_accept - is what an owner's wallet returns still what was built? Wallets change transactions: they put Compute Budget instructions
 * in, some add Lighthouse assertions (solana-wire.md 3.4). So instruction by instruction, never byte for byte:
 *
 * - the same version, blockhash, fee payer and signers; a wallet that refreshes the blockhash is refused, because the expiry that was shown
 *   and is waited for belongs to this one;
 * - every instruction that was built is there, once, in order, with the same program, data and accounts, and those accounts have the flags
 *   they had;
 * - beside them only Compute Budget's limit, price and limit of loaded data (which costs nothing; no wallet asks for a heap), each at most once, whose priority fee stays within max_priority_lamports (those that
 *   were built may be replaced or gone), and, if allowed, Lighthouse's assertions (2..15 of its instructions: they read and fail; those that
 *   write or call out are refused);
 * - no other key than these need, and what was added neither signs nor is written;
 * - every signature verifies. */
#ifndef COMMON_WALLET_ACCEPT_H
#define COMMON_WALLET_ACCEPT_H

#include "common/solana_tx.h"

struct wallet_terms {
	uint64_t max_priority_lamports;
	bool allow_lighthouse;
};

#define WALLET_LIGHTHOUSE_MAX 8 /* assertions in one transaction */

/* 0, or -1 with ERR_DENIED and reason tx_changed (text: what was), tx_fee (more than the maximum), ERR_INVALID with tx_budget or
 * tx_signature. */
int wallet_accept(const struct solana_tx *built, const struct solana_tx *returned,
    const struct wallet_terms *terms, struct error *err);
/* The same without the signatures: for who is about to sign what another built, and composed himself what he wants. */
int wallet_accept_unsigned(const struct solana_tx *built, const struct solana_tx *returned,
    const struct wallet_terms *terms, struct error *err);

#endif
