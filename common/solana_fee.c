#include "common/solana_fee.h"

#include <string.h>

#include "common/little_endian.h"
#include "common/solana_ix_budget.h"
#include "common/solana_program.h"

static const size_t budget_lens[] = {
    [SOLANA_BUDGET_HEAP] = 5,
    [SOLANA_BUDGET_LIMIT] = 5,
    [SOLANA_BUDGET_PRICE] = 9,
    [SOLANA_BUDGET_DATA_SIZE] = 5,
};

static int read_budget(const struct solana_tx_instruction *instruction, struct solana_fee *fee,
    unsigned *seen, struct error *err)
{
	const uint8_t *data = instruction->data;
	if (instruction->data_len == 0 || data[0] >= ARRAY_LEN(budget_lens) ||
	    budget_lens[data[0]] != instruction->data_len || *seen & 1U << data[0])
		return error_refuse(err, ERR_INVALID, "tx_budget",
		    "a Compute Budget instruction of %zu bytes that is unknown or comes twice",
		    instruction->data_len);
	*seen |= 1U << data[0];
	if (data[0] == SOLANA_BUDGET_PRICE)
		fee->unit_price = little_endian_u64(data + 1);
	if (data[0] == SOLANA_BUDGET_LIMIT) {
		fee->has_limit = true;
		fee->unit_limit = little_endian_u32(data + 1);
	}
	return 0;
}

/* Programs that verify signatures say in their first byte how many; each costs what a transaction's does. */
static size_t verified(enum solana_program program, const struct solana_tx_instruction *instruction)
{
	bool verifies = program == SOLANA_PROGRAM_ED25519 || program == SOLANA_PROGRAM_SECP256K1 ||
			program == SOLANA_PROGRAM_SECP256R1;
	return verifies && instruction->data_len > 0 ? instruction->data[0] : 0;
}

static void add_up(struct solana_fee *fee, size_t n_instructions)
{
	if (!fee->has_limit)
		fee->unit_limit = (uint64_t)n_instructions * SOLANA_UNITS_DEFAULT;
	if (fee->unit_limit > SOLANA_UNITS_MAX)
		fee->unit_limit = SOLANA_UNITS_MAX;
	unsigned __int128 micro = (unsigned __int128)fee->unit_price * fee->unit_limit;
	unsigned __int128 priority = (micro + 999999) / 1000000;
	fee->signature_lamports = fee->n_signatures * SOLANA_SIGNATURE_FEE;
	fee->priority_lamports = priority > UINT64_MAX ? UINT64_MAX : (uint64_t)priority;
	if (__builtin_add_overflow(fee->signature_lamports, fee->priority_lamports, &fee->lamports))
		fee->lamports = UINT64_MAX;
}

int solana_fee_read(const struct solana_tx *tx, struct solana_fee *fee_r, struct error *err)
{
	size_t n_others = 0;
	unsigned seen = 0;

	memset(fee_r, 0, sizeof(*fee_r));
	fee_r->n_signatures = tx->n_signers;
	for (size_t i = 0; i < tx->n_instructions; i++) {
		const struct solana_tx_instruction *instruction = &tx->instructions[i];
		enum solana_program program = solana_program_of(solana_tx_program(tx, instruction));
		if (program != SOLANA_PROGRAM_COMPUTE_BUDGET) {
			n_others++;
			fee_r->n_signatures += verified(program, instruction);
		} else if (read_budget(instruction, fee_r, &seen, err) != 0) {
			return -1;
		}
	}
	add_up(fee_r, n_others);
	return 0;
}
