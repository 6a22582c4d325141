/* solana_instruction - one instruction before it is part of a message: program, accounts with their flags, data. A bounded value, no
 * pointers. The appending functions say nothing of a full instruction until solana_instruction_check. */
#ifndef COMMON_SOLANA_INSTRUCTION_H
#define COMMON_SOLANA_INSTRUCTION_H

#include <stdbool.h>

#include "common/base58.h"
#include "common/error.h"

#define SOLANA_ACCOUNTS_MAX 64
#define SOLANA_DATA_MAX 1024

enum solana_flags { SOLANA_READ = 0, SOLANA_WRITE = 1, SOLANA_SIGN = 2, SOLANA_SIGN_WRITE = 3 };

struct solana_account {
	uint8_t key[PUBKEY_LEN];
	enum solana_flags flags;
};

struct solana_instruction {
	uint8_t program[PUBKEY_LEN];
	struct solana_account accounts[SOLANA_ACCOUNTS_MAX];
	size_t n_accounts;
	uint8_t data[SOLANA_DATA_MAX];
	size_t data_len;
	bool overflow; /* something did not fit */
};

void solana_instruction_init(
    struct solana_instruction *instruction, const uint8_t program[PUBKEY_LEN]);
void solana_instruction_account(
    struct solana_instruction *instruction, const uint8_t key[PUBKEY_LEN], enum solana_flags flags);
void solana_instruction_bytes(
    struct solana_instruction *instruction, const void *bytes, size_t len);
/* Little-endian, size bytes (1, 4 or 8). */
void solana_instruction_number(struct solana_instruction *instruction, uint64_t value, size_t size);
/* Did everything fit? ERR_INVALID with reason tx_too_long. */
int solana_instruction_check(const struct solana_instruction *instruction, struct error *err);

#endif
