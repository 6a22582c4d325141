/* The breaker of the erasures: so many within any hour, and then none, whatever is restarted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "services/secret-vault/breaker.h"

#define NOW 1767323045123u

static struct breaker *fresh(void)
{
	struct breaker *breaker = calloc(1, sizeof(*breaker));
	assert_non_null(breaker);
	return breaker;
}

static void lets_as_many_through_as_the_limit_says_and_trips_at_one_more(void **state)
{
	struct breaker *breaker = fresh();
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_true(breaker_lets(breaker, 3, NOW + i));
	assert_false(breaker->is_tripped);
	assert_false(breaker_lets(breaker, 3, NOW + 3));
	assert_true(breaker->is_tripped);
	free(breaker);
}

static void stays_tripped_when_the_hour_is_over(void **state)
{
	struct breaker *breaker = fresh();
	(void)state;
	assert_true(breaker_lets(breaker, 1, NOW));
	assert_false(breaker_lets(breaker, 1, NOW + 1));
	assert_false(breaker_lets(breaker, 1, NOW + 100 * (uint64_t)BREAKER_HOUR_MS));
	free(breaker);
}

static void counts_any_hour_not_that_of_the_clock(void **state)
{
	struct breaker *breaker = fresh();
	(void)state;
	assert_true(breaker_lets(breaker, 2, NOW));
	assert_true(breaker_lets(breaker, 2, NOW + BREAKER_HOUR_MS - 1));
	assert_true(breaker_lets(breaker, 2, NOW + BREAKER_HOUR_MS));
	assert_false(breaker_lets(breaker, 2, NOW + BREAKER_HOUR_MS + 1));
	free(breaker);
}

static void a_clock_that_was_set_back_gives_nothing_back(void **state)
{
	struct breaker *breaker = fresh();
	(void)state;
	assert_true(breaker_lets(breaker, 1, NOW));
	assert_false(breaker_lets(breaker, 1, NOW - 10 * (uint64_t)BREAKER_HOUR_MS));
	free(breaker);
}

static void is_the_same_after_being_kept(void **state)
{
	struct breaker *breaker = fresh(), *again = fresh();
	uint8_t *bytes = malloc(BREAKER_BYTES_MAX);
	struct error err;
	(void)state;
	for (unsigned i = 0; i < 7; i++)
		assert_true(breaker_lets(breaker, 7, NOW + i));
	assert_int_equal(breaker_decode(bytes, breaker_encode(breaker, bytes), again, &err), 0);
	assert_false(again->is_tripped);
	assert_false(breaker_lets(again, 7, NOW + 8));
	size_t len = breaker_encode(again, bytes);
	assert_int_equal(breaker_decode(bytes, len, breaker, &err), 0);
	assert_true(breaker->is_tripped);
	assert_int_equal(breaker->len, 7);
	free(bytes);
	free(again);
	free(breaker);
}

static void begins_anew_from_nothing_and_refuses_what_is_damaged(void **state)
{
	struct breaker *breaker = fresh();
	static const uint8_t bytes[17] = {2};
	static const size_t bad[] = {1, 2, 8, 10, 17};
	struct error err;
	(void)state;
	assert_int_equal(breaker_decode(NULL, 0, breaker, &err), 0);
	assert_true(breaker_lets(breaker, 1, NOW));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(breaker_decode(bytes, bad[i], breaker, &err), -1);
		assert_int_equal(err.code, ERR_INTERNAL);
	}
	free(breaker);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lets_as_many_through_as_the_limit_says_and_trips_at_one_more),
	    cmocka_unit_test(stays_tripped_when_the_hour_is_over),
	    cmocka_unit_test(counts_any_hour_not_that_of_the_clock),
	    cmocka_unit_test(a_clock_that_was_set_back_gives_nothing_back),
	    cmocka_unit_test(is_the_same_after_being_kept),
	    cmocka_unit_test(begins_anew_from_nothing_and_refuses_what_is_damaged),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
