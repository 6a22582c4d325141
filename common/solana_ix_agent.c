#include "common/solana_ix_agent.h"

#include "common/solana_program.h"

void solana_ix_agent_revoke(const uint8_t record[PUBKEY_LEN], const uint8_t asset[PUBKEY_LEN],
    const uint8_t destination[PUBKEY_LEN], const uint8_t payer[PUBKEY_LEN],
    struct solana_instruction *ix_r)
{
	const uint8_t *program = solana_program_key(SOLANA_PROGRAM_AGENT_TOOLS);

	solana_instruction_init(ix_r, program);
	solana_instruction_account(ix_r, record, SOLANA_WRITE);
	solana_instruction_account(ix_r, asset, SOLANA_READ);
	solana_instruction_account(ix_r, destination, SOLANA_WRITE);
	solana_instruction_account(ix_r, payer, SOLANA_SIGN_WRITE);
	solana_instruction_account(ix_r, program, SOLANA_READ); /* no authority beside the payer */
	solana_instruction_account(ix_r, solana_program_key(SOLANA_PROGRAM_SYSTEM), SOLANA_READ);
	solana_instruction_number(ix_r, SOLANA_AGENT_REVOKE, 1);
	solana_instruction_bytes(ix_r, (const uint8_t[7]){0}, 7);
}
