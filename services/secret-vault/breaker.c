#include "services/secret-vault/breaker.h"

#include <string.h>

int breaker_decode(const uint8_t *bytes, size_t len, struct breaker *breaker_r, struct error *err)
{
	breaker_r->is_tripped = false;
	breaker_r->len = 0;
	if (len == 0)
		return 0;
	if (len > BREAKER_BYTES_MAX || len % 8 != 1 || bytes[0] > 1)
		return error_set(err, ERR_INTERNAL, "the store's count of erasures is damaged");
	breaker_r->is_tripped = bytes[0];
	breaker_r->len = len / 8;
	for (size_t i = 0; i < breaker_r->len; i++) {
		breaker_r->at_ms[i] = 0;
		for (size_t k = 0; k < 8; k++)
			breaker_r->at_ms[i] |= (uint64_t)bytes[1 + 8 * i + k] << 8 * k;
	}
	return 0;
}

size_t breaker_encode(const struct breaker *breaker, uint8_t bytes_r[BREAKER_BYTES_MAX])
{
	bytes_r[0] = breaker->is_tripped;
	for (size_t i = 0; i < breaker->len; i++)
		for (size_t k = 0; k < 8; k++)
			bytes_r[1 + 8 * i + k] = (uint8_t)(breaker->at_ms[i] >> 8 * k);
	return 1 + 8 * breaker->len;
}

/* What is of the future, by a clock that was set back, counts. */
static void drop_old(struct breaker *breaker, uint64_t now_ms)
{
	size_t n = 0;
	while (n < breaker->len && breaker->at_ms[n] + BREAKER_HOUR_MS <= now_ms)
		n++;
	breaker->len -= n;
	memmove(breaker->at_ms, breaker->at_ms + n, breaker->len * sizeof(breaker->at_ms[0]));
}

bool breaker_lets(struct breaker *breaker, uint64_t limit, uint64_t now_ms)
{
	bug_if(limit > BREAKER_MAX);
	drop_old(breaker, now_ms);
	if (breaker->len >= limit)
		breaker->is_tripped = true;
	if (breaker->is_tripped)
		return false;
	breaker->at_ms[breaker->len++] = now_ms;
	return true;
}
