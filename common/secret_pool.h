/* secret_pool - slots for small secrets that live briefly, in pages that are locked, left out of core dumps and fenced in by guard pages (libsodium's
 * sodium_malloc), so that taking one costs no system call. A slot is all zeros whenever nobody has it, and ends in bytes that nobody may write: whoever did is
 * found when it is given back. Safe to call from any thread. What the pool has once taken it keeps.
 */
#ifndef COMMON_SECRET_POOL_H
#define COMMON_SECRET_POOL_H

#include <stddef.h>
#include <stdint.h>

#define SECRET_POOL_MAX 496 /* bytes; more is not for the pool */

/* len bytes of zeros; never NULL. */
uint8_t *secret_pool_take(size_t len);
/* Wipes it. len: as it was taken. */
void secret_pool_give(uint8_t *bytes, size_t len);

#endif
