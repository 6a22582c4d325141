/* Buckets of times: none is lost, each is at most a sixteenth wide, quantiles are never below what they stand for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "services/cli/latency.h"

static void each_time_falls_into_a_bucket_that_ends_just_above_it(void **state)
{
	(void)state;
	for (uint64_t us = 0; us < 1ull << 36; us += 1 + us / 37) {
		struct latency latency = {0};
		size_t at = 0;

		latency_add(&latency, us);
		while (!latency.bucket[at])
			at++;
		assert_true(latency_upto_us(at) >= us);
		assert_true(latency_upto_us(at) - us <= us / 16);
		assert_true(at == 0 || latency_upto_us(at - 1) < us);
	}
}

static void what_is_too_long_is_counted_all_the_same(void **state)
{
	struct latency latency = {0};

	(void)state;
	latency_add(&latency, UINT64_MAX);
	assert_int_equal(latency.bucket[LATENCY_BUCKETS - 1], 1);
	assert_int_equal(latency_quantile(&latency, 500), latency_upto_us(LATENCY_BUCKETS - 1));
}

static void quantiles(void **state)
{
	struct latency latency = {0};

	(void)state;
	assert_int_equal(latency_quantile(&latency, 990), 0);
	for (uint64_t us = 1; us <= 1000; us++)
		latency_add(&latency, us);
	assert_in_range(latency_quantile(&latency, 500), 500, 531);
	assert_in_range(latency_quantile(&latency, 990), 990, 1000);
	/* never above the longest that there was */
	assert_int_equal(latency_quantile(&latency, 1000), 1000);
	assert_int_equal(latency.max_us, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_time_falls_into_a_bucket_that_ends_just_above_it),
	    cmocka_unit_test(what_is_too_long_is_counted_all_the_same),
	    cmocka_unit_test(quantiles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
