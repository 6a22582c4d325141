/* token_account - accounts and mints of SPL Token and Token-2022, read from their bytes (spl-token state.rs; Token-2022 extension/mod.rs). Pure. */
#ifndef COMMON_TOKEN_ACCOUNT_H
#define COMMON_TOKEN_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base58.h"

#define TOKEN_MULTISIG_LEN 355 /* of a multisig, which is no account of either kind */
#define TOKEN_ACCOUNT_LEN 165  /* so much of one, and of a mint 82, is the same in both programs */
#define TOKEN_MINT_LEN 82

struct token_account {
	const uint8_t *mint, *owner; /* borrowed */
	uint64_t amount;
	bool frozen, wrapped;             /* SOL */
	const uint8_t *delegate, *closer; /* NULL: none */
	uint64_t delegated;
};

struct token_mint {
	uint8_t decimals;
	size_t account_len; /* of an associated account for it, at least */
	bool stays;         /* non-transferable */
	bool
	    hooked; /* a program of somebody's is asked at each transfer, with accounts that are not known here */
	unsigned
	    fee_bps; /* that much of what is sent may be withheld, in hundredths of a percent: the higher of the present rate and the next */
};

/* False: it is none, or was not initialised. */
bool token_account_read(const uint8_t *data, size_t len, struct token_account *account_r);
bool token_mint_read(bool token_2022, const uint8_t *data, size_t len, struct token_mint *mint_r);

#endif
