#include "common/solana_ix_system.h"

#include "common/solana_program.h"

void solana_ix_system_transfer(const uint8_t from[PUBKEY_LEN], const uint8_t to[PUBKEY_LEN],
    uint64_t lamports, struct solana_instruction *ix_r)
{
	solana_instruction_init(ix_r, solana_program_key(SOLANA_PROGRAM_SYSTEM));
	solana_instruction_account(ix_r, from, SOLANA_SIGN_WRITE);
	solana_instruction_account(ix_r, to, SOLANA_WRITE);
	solana_instruction_number(ix_r, SOLANA_SYSTEM_TRANSFER, 4);
	solana_instruction_number(ix_r, lamports, 8);
}
