/* solana_lighthouse - the program whose assertions wallets add to what they sign. */
#ifndef COMMON_SOLANA_LIGHTHOUSE_H
#define COMMON_SOLANA_LIGHTHOUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 2 (AssertAccountData) to 15 (AssertSysvarClock) read accounts and fail; 0 and 1 write memory accounts that a payer funds, later ones
 * call other programs (lighthouse, clients/rust/src/generated/instructions). */
static inline bool solana_lighthouse_is_assertion(const uint8_t *data, size_t len)
{
	return len > 0 && data[0] >= 2 && data[0] <= 15;
}

#endif
