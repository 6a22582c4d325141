#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "common/enforcing.h"

static struct event_id at(uint64_t ms)
{
	return (struct event_id){ms, 1};
}

static uint64_t open_ms(const struct enforcing *e)
{
	struct event_id id = {0, 0};

	return enforcing_open(e, &id) ? id.ms : 0;
}

static void an_event_is_open_until_all_that_it_began_is_over(void **state)
{
	struct enforcing e = {0};
	(void)state;

	assert_int_equal(open_ms(&e), 0);
	uint64_t one = enforcing_hold(&e, at(1)), other = enforcing_hold(&e, at(1));
	enforcing_release(&e, one);
	assert_int_equal(open_ms(&e), 1);
	enforcing_release(&e, other);
	assert_int_equal(open_ms(&e), 0);
}

static void a_later_event_that_is_over_waits_for_an_earlier_one(void **state)
{
	struct enforcing e = {0};
	(void)state;

	uint64_t first = enforcing_hold(&e, at(1)), second = enforcing_hold(&e, at(2));
	enforcing_release(&e, second);
	assert_int_equal(open_ms(&e), 1);
	enforcing_hold(&e, at(3));
	enforcing_release(&e, first);
	assert_int_equal(open_ms(&e), 3);
}

static void a_shared_ticket_is_given_back_as_often(void **state)
{
	struct enforcing e = {0};
	(void)state;

	uint64_t ticket = enforcing_hold(&e, at(1));
	enforcing_share(&e, ticket);
	enforcing_release(&e, ticket);
	assert_int_equal(open_ms(&e), 1);
	enforcing_release(&e, ticket);
	assert_int_equal(open_ms(&e), 0);
}

static void starting_over_opens_everything_again(void **state)
{
	struct enforcing e = {0};
	const struct event_id all = {0, 1};
	struct event_id open;
	(void)state;

	uint64_t old = enforcing_hold(&e, at(7)), over = enforcing_hold(&e, all);
	assert_true(enforcing_open(&e, &open));
	assert_int_equal(event_id_compare(open, all), 0);
	enforcing_release(&e, over);
	assert_int_equal(open_ms(&e), 7);
	enforcing_release(&e, old);
	assert_int_equal(open_ms(&e), 0);
}

/* More than there is room for: never earlier than it is true, and no more memory. */
static void what_is_held_is_of_all_of_a_new_history(void **state)
{
	struct enforcing e = {0};
	struct event_id id = {9, 9};
	(void)state;

	uint64_t old = enforcing_hold(&e, at(2000));
	enforcing_restart(&e);
	/* its ids are lower: Redis' clock was set back */
	enforcing_release(&e, enforcing_hold(&e, at(1600)));
	assert_true(enforcing_open(&e, &id) && id.ms == 0);
	enforcing_release(&e, old);
	assert_false(enforcing_open(&e, &id));
}

static void many_open_events_are_never_done_too_early(void **state)
{
	enum { EVENTS = 10 * ENFORCING_BATCHES };
	struct enforcing e = {0};
	uint64_t ticket[EVENTS];
	(void)state;

	for (uint64_t i = 0; i < EVENTS; i++)
		ticket[i] = enforcing_hold(&e, at(i + 1));
	for (uint64_t i = 0; i < EVENTS; i++) {
		assert_in_range(open_ms(&e), 1, i + 1);
		enforcing_release(&e, ticket[i]);
	}
	assert_int_equal(open_ms(&e), 0);
	uint64_t again = enforcing_hold(&e, at(EVENTS + 1));
	assert_int_equal(open_ms(&e), EVENTS + 1);
	enforcing_release(&e, again);
}

/* The same, given back in any order. */
static void the_oldest_that_is_held_is_what_is_open(void **state)
{
	enum { EVENTS = ENFORCING_BATCHES };
	struct enforcing e = {0};
	uint64_t ticket[EVENTS];
	bool is_held[EVENTS];
	uint64_t seed = 1;
	(void)state;

	for (size_t i = 0; i < EVENTS; i++) {
		ticket[i] = enforcing_hold(&e, at(i + 1));
		is_held[i] = true;
	}
	for (size_t left = EVENTS; left > 0; left--) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		size_t i = (size_t)(seed >> 33) % EVENTS, first = 0;
		while (!is_held[i])
			i = (i + 1) % EVENTS;
		while (!is_held[first])
			first++;
		assert_int_equal(open_ms(&e), first + 1);
		enforcing_release(&e, ticket[i]);
		is_held[i] = false;
	}
	assert_int_equal(open_ms(&e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_event_is_open_until_all_that_it_began_is_over),
	    cmocka_unit_test(a_later_event_that_is_over_waits_for_an_earlier_one),
	    cmocka_unit_test(a_shared_ticket_is_given_back_as_often),
	    cmocka_unit_test(starting_over_opens_everything_again),
	    cmocka_unit_test(what_is_held_is_of_all_of_a_new_history),
	    cmocka_unit_test(many_open_events_are_never_done_too_early),
	    cmocka_unit_test(the_oldest_that_is_held_is_what_is_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
