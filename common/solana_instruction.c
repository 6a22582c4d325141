#include "common/solana_instruction.h"

#include <string.h>

void solana_instruction_init(
    struct solana_instruction *instruction, const uint8_t program[PUBKEY_LEN])
{
	memset(instruction, 0, sizeof(*instruction));
	memcpy(instruction->program, program, PUBKEY_LEN);
}

void solana_instruction_account(
    struct solana_instruction *instruction, const uint8_t key[PUBKEY_LEN], enum solana_flags flags)
{
	if (instruction->n_accounts == SOLANA_ACCOUNTS_MAX) {
		instruction->overflow = true;
		return;
	}
	struct solana_account *account = &instruction->accounts[instruction->n_accounts++];
	memcpy(account->key, key, PUBKEY_LEN);
	account->flags = flags;
}

void solana_instruction_bytes(struct solana_instruction *instruction, const void *bytes, size_t len)
{
	if (len > SOLANA_DATA_MAX - instruction->data_len) {
		instruction->overflow = true;
		return;
	}
	if (len > 0)
		memcpy(instruction->data + instruction->data_len, bytes, len);
	instruction->data_len += len;
}

void solana_instruction_number(struct solana_instruction *instruction, uint64_t value, size_t size)
{
	uint8_t bytes[8];

	bug_if(size > sizeof(bytes));
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(value >> (8 * i));
	solana_instruction_bytes(instruction, bytes, size);
}

int solana_instruction_check(const struct solana_instruction *instruction, struct error *err)
{
	if (!instruction->overflow)
		return 0;
	return error_refuse(err, ERR_INVALID, "tx_too_long",
	    "an instruction has at most %d accounts and %d bytes of data", SOLANA_ACCOUNTS_MAX,
	    SOLANA_DATA_MAX);
}
