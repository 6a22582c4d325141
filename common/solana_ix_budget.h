/* solana_ix_budget - instructions of the Compute Budget program: how much a transaction may compute and what it bids for that. */
#ifndef COMMON_SOLANA_IX_BUDGET_H
#define COMMON_SOLANA_IX_BUDGET_H

#include "common/solana_instruction.h"
#include "common/solana_tx.h"

/* The first byte; borsh. */
enum {
	SOLANA_BUDGET_HEAP = 1,
	SOLANA_BUDGET_LIMIT = 2,
	SOLANA_BUDGET_PRICE = 3,
	SOLANA_BUDGET_DATA_SIZE = 4
};

bool solana_ix_is_budget(
    const struct solana_tx *tx, const struct solana_tx_instruction *instruction);
void solana_ix_budget_limit(uint32_t units, struct solana_instruction *ix_r);
void solana_ix_budget_price(uint64_t micro_lamports, struct solana_instruction *ix_r);

#endif
