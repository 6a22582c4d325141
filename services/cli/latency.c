#include "services/cli/latency.h"

static size_t bucket_of(uint64_t us)
{
	unsigned octave = us < LATENCY_EXACT ? 0 : 63u - (unsigned)__builtin_clzll(us);

	if (us < LATENCY_EXACT)
		return (size_t)us;
	if (octave - 5 >= LATENCY_OCTAVES)
		return LATENCY_BUCKETS - 1;
	return LATENCY_EXACT + (octave - 5) * 16 + ((us >> (octave - 4)) & 15);
}

uint64_t latency_upto_us(size_t bucket)
{
	if (bucket < LATENCY_EXACT)
		return bucket;
	unsigned octave = (unsigned)(bucket - LATENCY_EXACT) / 16 + 5;
	uint64_t sixteenth = (bucket - LATENCY_EXACT) % 16;
	return ((17 + sixteenth) << (octave - 4)) - 1;
}

void latency_add(struct latency *latency, uint64_t us)
{
	latency->bucket[bucket_of(us)]++;
	latency->n++;
	if (us > latency->max_us)
		latency->max_us = us;
}

uint64_t latency_quantile(const struct latency *latency, unsigned permille)
{
	uint64_t wanted = (latency->n * permille + 999) / 1000, seen = 0;

	for (size_t i = 0; i < LATENCY_BUCKETS && latency->n; i++) {
		seen += latency->bucket[i];
		if (seen >= wanted && latency->bucket[i])
			return latency_upto_us(i) < latency->max_us ? latency_upto_us(i)
								    : latency->max_us;
	}
	return latency->max_us;
}
