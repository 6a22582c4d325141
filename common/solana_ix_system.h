/* solana_ix_system - instructions of the System Program (bincode: u32 number, then fields). */
#ifndef COMMON_SOLANA_IX_SYSTEM_H
#define COMMON_SOLANA_IX_SYSTEM_H

#include "common/solana_instruction.h"

/* The first four bytes of an instruction (Solana SDK, system_instruction). */
enum {
	SOLANA_SYSTEM_CREATE_ACCOUNT = 0,
	SOLANA_SYSTEM_ASSIGN = 1,
	SOLANA_SYSTEM_TRANSFER = 2,
	SOLANA_SYSTEM_ALLOCATE = 8
};

void solana_ix_system_transfer(const uint8_t from[PUBKEY_LEN], const uint8_t to[PUBKEY_LEN],
    uint64_t lamports, struct solana_instruction *ix_r);

#endif
