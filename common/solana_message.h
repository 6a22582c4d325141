/* solana_message - composes an unsigned transaction, legacy or v0 without lookup tables. Keys are in the order that web3.js, kit and umi
 * write (solana-wire.md 3.3): payer, then each instruction's program and accounts, first occurrence first, grouped by flags. */
#ifndef COMMON_SOLANA_MESSAGE_H
#define COMMON_SOLANA_MESSAGE_H

#include "common/solana_instruction.h"
#include "common/solana_tx.h"

struct solana_message {
	enum solana_version version;
	const uint8_t *payer, *blockhash;              /* borrowed */
	const struct solana_instruction *instructions; /* borrowed */
	size_t n_instructions;
};

/* Signatures are zeros. ERR_INVALID: tx_too_long, tx_too_many (keys, signers, instructions), tx_index (the payer is a program). */
int solana_message_compose(const struct solana_message *message, uint8_t tx_r[SOLANA_TX_MAX],
    size_t *len_r, struct error *err);

#endif
