/* breaker - lets so many through within an hour; one more trips it, and then none until it is reset. Kept in the store as bytes, so that neither a restart
 * nor a second vault begins counting anew. */
#ifndef SECRET_VAULT_BREAKER_H
#define SECRET_VAULT_BREAKER_H

#include "common/error.h"

#define BREAKER_HOUR_MS 3600000
#define BREAKER_MAX 10000
#define BREAKER_BYTES_MAX (1 + 8 * BREAKER_MAX)

struct breaker {
	bool is_tripped;
	size_t len;
	uint64_t at_ms[BREAKER_MAX]; /* of what was let through, Unix, oldest first */
};
/* len 0: new. ERR_INTERNAL if the bytes are not a breaker's. */
int breaker_decode(const uint8_t *bytes, size_t len, struct breaker *breaker_r, struct error *err);
size_t breaker_encode(const struct breaker *breaker, uint8_t bytes_r[BREAKER_BYTES_MAX]);
/* limit: at most BREAKER_MAX. False: it is tripped, perhaps just now. */
bool breaker_lets(struct breaker *breaker, uint64_t limit, uint64_t now_ms);

#endif
