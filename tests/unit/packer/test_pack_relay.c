#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "services/packer/relay.h"

#define BLOCKS 20000

struct sum {
	struct relay *relay;
	uint64_t bytes, sum;
	size_t most; /* blocks that are taken before relay_stop(); 0: all */
};

static size_t len_of(size_t i)
{
	return 1 + (i * 7919) % 2000;
}

static void *take_all(void *arg)
{
	struct sum *sum = arg;
	const uint8_t *bytes;
	size_t len, n = 0;

	while ((len = relay_take(sum->relay, &bytes)) > 0) {
		for (size_t i = 0; i < len; i++)
			sum->sum = sum->sum * 31 + bytes[i];
		sum->bytes += len;
		if (++n == sum->most)
			relay_stop(sum->relay);
	}
	return NULL;
}

/* How many went in. */
static size_t make(struct relay *relay, size_t n, struct sum *expected)
{
	uint8_t *room;

	for (size_t i = 0; i < n; i++) {
		if (!(room = relay_room(relay)))
			return i;
		memset(room, (int)(i % 251), len_of(i));
		for (size_t at = 0; at < len_of(i); at++)
			expected->sum = expected->sum * 31 + i % 251;
		expected->bytes += len_of(i);
		relay_put(relay, len_of(i));
	}
	relay_end(relay);
	return n;
}

static void gives_all_of_it_in_its_order(void **state)
{
	struct sum got = {.relay = relay_new()}, expected = {0};
	pthread_t taker;

	(void)state;
	assert_int_equal(pthread_create(&taker, NULL, take_all, &got), 0);
	assert_int_equal(make(got.relay, BLOCKS, &expected), BLOCKS);
	pthread_join(taker, NULL);
	assert_true(got.bytes == expected.bytes && got.sum == expected.sum);
	relay_destroy(&got.relay);
}

static void says_that_nobody_takes_it_any_more(void **state)
{
	struct sum got = {.relay = relay_new(), .most = 100}, expected = {0};
	pthread_t taker;

	(void)state;
	assert_int_equal(pthread_create(&taker, NULL, take_all, &got), 0);
	size_t n = make(got.relay, SIZE_MAX, &expected);
	pthread_join(taker, NULL);
	assert_in_range(n, 100, 100 + RELAY_BLOCKS);
	relay_destroy(&got.relay);
}

static void wakes_who_takes_when_the_maker_gives_up(void **state)
{
	struct sum got = {.relay = relay_new()};
	pthread_t taker;

	(void)state;
	assert_int_equal(pthread_create(&taker, NULL, take_all, &got), 0);
	relay_stop(got.relay);
	pthread_join(taker, NULL);
	assert_int_equal(got.bytes, 0);
	assert_null(relay_room(got.relay));
	relay_destroy(&got.relay);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(gives_all_of_it_in_its_order),
	    cmocka_unit_test(says_that_nobody_takes_it_any_more),
	    cmocka_unit_test(wakes_who_takes_when_the_maker_gives_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
