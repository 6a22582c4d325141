/* wallet_amount - amounts as people write them, with a token's decimals (SOL has 9), and as programs do, in the smallest unit. Exact: no
 * floating point. */
#ifndef COMMON_WALLET_AMOUNT_H
#define COMMON_WALLET_AMOUNT_H

#include <stdint.h>

#include "common/error.h"

#define WALLET_SOL_DECIMALS 9
#define WALLET_AMOUNT_MAX 32

/* No more zeros than it needs: 1500000, 6 -> "1.5". With more than 20 decimals: "15e-30". Returns text. */
char *wallet_amount_text(uint64_t amount, uint8_t decimals, char text[WALLET_AMOUNT_MAX]);
/* "1.5", 6 -> 1500000. Digits and at most one point with digits on both sides; no sign, no exponent, no space, no more digits behind the point
 * than decimals. ERR_INVALID, reason amount. */
int wallet_amount_parse(const char *text, uint8_t decimals, uint64_t *amount_r, struct error *err);

#endif
