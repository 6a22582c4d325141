#include "common/solana_ix_token.h"

#include "common/solana_pda.h"
#include "common/solana_program.h"

void solana_ix_token_transfer(
    const struct solana_token_transfer *transfer, struct solana_instruction *ix_r)
{
	solana_instruction_init(ix_r, transfer->program);
	solana_instruction_account(ix_r, transfer->source, SOLANA_WRITE);
	solana_instruction_account(ix_r, transfer->mint, SOLANA_READ);
	solana_instruction_account(ix_r, transfer->destination, SOLANA_WRITE);
	solana_instruction_account(ix_r, transfer->owner, SOLANA_SIGN);
	solana_instruction_number(ix_r, SOLANA_TOKEN_TRANSFER_CHECKED, 1);
	solana_instruction_number(ix_r, transfer->amount, 8);
	solana_instruction_number(ix_r, transfer->decimals, 1);
}

void solana_ix_token_close(const uint8_t program[PUBKEY_LEN], const uint8_t account[PUBKEY_LEN],
    const uint8_t destination[PUBKEY_LEN], const uint8_t owner[PUBKEY_LEN],
    struct solana_instruction *ix_r)
{
	solana_instruction_init(ix_r, program);
	solana_instruction_account(ix_r, account, SOLANA_WRITE);
	solana_instruction_account(ix_r, destination, SOLANA_WRITE);
	solana_instruction_account(ix_r, owner, SOLANA_SIGN);
	solana_instruction_number(ix_r, SOLANA_TOKEN_CLOSE_ACCOUNT, 1);
}

void solana_ix_token_revoke(const uint8_t program[PUBKEY_LEN], const uint8_t account[PUBKEY_LEN],
    const uint8_t owner[PUBKEY_LEN], struct solana_instruction *ix_r)
{
	solana_instruction_init(ix_r, program);
	solana_instruction_account(ix_r, account, SOLANA_WRITE);
	solana_instruction_account(ix_r, owner, SOLANA_SIGN);
	solana_instruction_number(ix_r, SOLANA_TOKEN_REVOKE, 1);
}

int solana_ix_token_create_account(const uint8_t program[PUBKEY_LEN],
    const uint8_t funder[PUBKEY_LEN], const uint8_t wallet[PUBKEY_LEN],
    const uint8_t mint[PUBKEY_LEN], struct solana_instruction *ix_r)
{
	uint8_t account[PUBKEY_LEN];

	if (solana_pda_associated_token(wallet, program, mint, account) != 0)
		return -1;
	solana_instruction_init(ix_r, solana_program_key(SOLANA_PROGRAM_ASSOCIATED_TOKEN));
	solana_instruction_account(ix_r, funder, SOLANA_SIGN_WRITE);
	solana_instruction_account(ix_r, account, SOLANA_WRITE);
	solana_instruction_account(ix_r, wallet, SOLANA_READ);
	solana_instruction_account(ix_r, mint, SOLANA_READ);
	solana_instruction_account(ix_r, solana_program_key(SOLANA_PROGRAM_SYSTEM), SOLANA_READ);
	solana_instruction_account(ix_r, program, SOLANA_READ);
	solana_instruction_number(ix_r, SOLANA_ASSOCIATED_CREATE_IDEMPOTENT, 1);
	return 0;
}
