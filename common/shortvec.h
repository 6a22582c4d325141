/* shortvec - Solana's compact-u16, the length in front of every list of a transaction: 7 bits a byte, little end first, at most
 * 3 bytes and 65535, the shortest form only (solana-wire.md 3.3). */
#ifndef COMMON_SHORTVEC_H
#define COMMON_SHORTVEC_H

#include <stddef.h>
#include <stdint.h>

#define SHORTVEC_MAX 3

/* Writes value; returns how many bytes it took. */
size_t shortvec_put(uint16_t value, uint8_t bytes_r[SHORTVEC_MAX]);
/* Reads one value from the beginning of bytes; returns how many bytes it took, 0 if it is cut off, too large or not minimal. */
size_t shortvec_get(const uint8_t *bytes, size_t len, uint16_t *value_r);

#endif
