#include "common/solana_ix_budget.h"

#include "common/solana_program.h"

bool solana_ix_is_budget(
    const struct solana_tx *tx, const struct solana_tx_instruction *instruction)
{
	return solana_program_of(solana_tx_program(tx, instruction)) ==
	       SOLANA_PROGRAM_COMPUTE_BUDGET;
}

void solana_ix_budget_limit(uint32_t units, struct solana_instruction *ix_r)
{
	solana_instruction_init(ix_r, solana_program_key(SOLANA_PROGRAM_COMPUTE_BUDGET));
	solana_instruction_number(ix_r, SOLANA_BUDGET_LIMIT, 1);
	solana_instruction_number(ix_r, units, 4);
}

void solana_ix_budget_price(uint64_t micro_lamports, struct solana_instruction *ix_r)
{
	solana_instruction_init(ix_r, solana_program_key(SOLANA_PROGRAM_COMPUTE_BUDGET));
	solana_instruction_number(ix_r, SOLANA_BUDGET_PRICE, 1);
	solana_instruction_number(ix_r, micro_lamports, 8);
}
