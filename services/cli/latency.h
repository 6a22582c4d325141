/* latency - times in buckets of at most 1/16 of their value, as HdrHistogram has them: exact below 32 us, nothing is lost above. No I/O. */
#ifndef CLI_LATENCY_H
#define CLI_LATENCY_H

#include <stddef.h>
#include <stdint.h>

#define LATENCY_EXACT 32
#define LATENCY_OCTAVES 32 /* 32 us .. 38 hours; what is longer falls into the last bucket */
#define LATENCY_BUCKETS (LATENCY_EXACT + LATENCY_OCTAVES * 16)

struct latency {
	uint64_t n, max_us;
	uint64_t bucket[LATENCY_BUCKETS];
};

void latency_add(struct latency *latency, uint64_t us);
/* The time that so many of a thousand did not exceed: the upper end of its bucket, never above the longest. 0 if there is none. */
uint64_t latency_quantile(const struct latency *latency, unsigned permille);
/* The longest time that falls into a bucket. */
uint64_t latency_upto_us(size_t bucket);

#endif
