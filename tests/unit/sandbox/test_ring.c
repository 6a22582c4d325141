/* The last of what an agent wrote, by position. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "services/sandbox/ring.h"

#define FIRST 1000

static int set_up(void **state)
{
	*state = ring_new(8, FIRST);
	return 0;
}

static int tear_down(void **state)
{
	struct ring *ring = *state;
	ring_destroy(&ring);
	return 0;
}

static struct ring_part expect(
    const struct ring *ring, uint64_t after, size_t size, const char *text, uint64_t next)
{
	uint8_t bytes[64];
	struct ring_part part = ring_read(ring, after, bytes, size);
	assert_int_equal(part.len, strlen(text));
	assert_memory_equal(bytes, text, part.len);
	assert_int_equal(part.next, next);
	return part;
}

static void an_empty_one_has_nothing(void **state)
{
	assert_false(expect(*state, 0, 8, "", FIRST).is_lost);
	assert_false(expect(*state, FIRST, 8, "", FIRST).is_lost);
}

static void what_follows_is_read_on_from_a_position(void **state)
{
	struct ring *ring = *state;
	ring_add(ring, "abc", 3);
	assert_false(expect(ring, 0, 8, "abc", FIRST + 3).is_lost);
	ring_add(ring, "def", 3);
	assert_false(expect(ring, FIRST + 3, 8, "def", FIRST + 6).is_lost);
	assert_false(expect(ring, FIRST + 3, 2, "de", FIRST + 5).is_lost);
	assert_false(expect(ring, FIRST + 6, 8, "", FIRST + 6).is_lost);
}

static void the_last_is_kept_and_a_slow_reader_is_told(void **state)
{
	struct ring *ring = *state;
	ring_add(ring, "0123456", 7);
	ring_add(ring, "789abc", 6);
	assert_true(expect(ring, FIRST + 2, 8, "56789abc", FIRST + 13).is_lost);
	assert_false(expect(ring, FIRST + 5, 8, "56789abc", FIRST + 13).is_lost);
	assert_false(expect(ring, 0, 4, "9abc", FIRST + 13).is_lost);
	ring_add(ring, "ABCDEFGHIJKLMNOPQRS", 19);
	assert_true(expect(ring, FIRST + 13, 8, "LMNOPQRS", FIRST + 32).is_lost);
}

static void a_position_of_another_ring_is_told_as_lost(void **state)
{
	struct ring *ring = *state;
	ring_add(ring, "abc", 3);
	assert_true(expect(ring, 5, 8, "abc", FIRST + 3).is_lost);
	assert_true(expect(ring, FIRST + 99, 8, "abc", FIRST + 3).is_lost);
}

static void what_was_dropped_is_told_where_it_stood(void **state)
{
	struct ring *ring = *state;
	ring_add(ring, "abc", 3);
	ring_skip(ring);
	assert_false(expect(ring, FIRST, 2, "ab", FIRST + 2).is_lost);
	ring_add(ring, "de", 2);
	assert_true(expect(ring, FIRST + 2, 8, "cde", FIRST + 5).is_lost);
	assert_false(expect(ring, FIRST + 4, 8, "e", FIRST + 5).is_lost);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(an_empty_one_has_nothing),
	    TEST(what_follows_is_read_on_from_a_position),
	    TEST(the_last_is_kept_and_a_slow_reader_is_told),
	    TEST(a_position_of_another_ring_is_told_as_lost),
	    TEST(what_was_dropped_is_told_where_it_stood),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
