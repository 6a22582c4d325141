/* What a drill's words mean: each has a round that is it, and one beside it that is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "services/cli/drill_judge.h"

#define EVENT 10000000u
#define BOUND 1000000u

static const struct drill_point router = {.index = 1, .is_router = true, .is_one = true};
static const struct drill_point edge_of_one = {.index = 1, .is_one = true};
static const struct drill_point edge_of_several = {.index = 1};

static struct drill_times times(void)
{
	return (struct drill_times){
	    .event_us = EVENT, .whole_us = EVENT, .known_us = EVENT, .bound_us = BOUND};
}

/* After the event, in us. */
static struct drill_sample at(int64_t sent, int64_t got, uint16_t status)
{
	return (struct drill_sample){.sent_us = (uint64_t)(EVENT + sent),
	    .got_us = (uint64_t)(EVENT + got),
	    .status = status,
	    .point = 1};
}

static struct drill_verdict of(const struct drill_sample *samples, size_t n,
    const struct drill_point *point, struct drill_times t)
{
	struct drill_verdict verdict;

	drill_judge(samples, n, point, &t, &verdict);
	return verdict;
}

static void counts_from_the_event_to_the_first_refusal(void **state)
{
	const struct drill_sample samples[] = {at(-500, -200, 200), at(100, 900, 200),
	    at(1000, 3000, 503), at(2000, 4000, 403), at(3000, 5000, 401), at(5000, 6000, 0)};
	struct drill_verdict v = of(samples, 6, &router, times());

	(void)state;
	assert_true(v.enforced && !v.late && !v.lost);
	assert_int_equal(v.enforced_us, 4000);
	assert_int_equal(v.stale, 0);
	assert_int_equal(v.allowed, 2);
	assert_int_equal(v.denied, 2);
	assert_int_equal(v.closed, 1);
	assert_int_equal(v.silent, 1);
}

static void a_refusal_before_the_event_takes_no_time(void **state)
{
	const struct drill_sample samples[] = {at(-900, -800, 401)};

	(void)state;
	assert_int_equal(of(samples, 1, &router, times()).enforced_us, 0);
}

static void other_points_do_not_count(void **state)
{
	struct drill_sample samples[] = {at(10, 20, 401), at(BOUND * 2, BOUND * 2 + 1, 200)};
	struct drill_times t = times();

	(void)state;
	samples[0].point = samples[1].point = 0;
	t.is_over = true;
	struct drill_verdict v = of(samples, 2, &router, t);
	assert_true(v.lost && !v.enforced);
	assert_int_equal(v.stale, 0);
}

static void is_late_after_the_bound_and_not_at_it(void **state)
{
	const struct drill_sample in_time[] = {at(0, BOUND, 401)}, late[] = {at(0, BOUND + 1, 401)};
	struct drill_times t = times();

	(void)state;
	assert_false(of(in_time, 1, &router, t).late);
	assert_true(of(late, 1, &router, t).late);
	/* a router that was stopped meanwhile */
	t.whole_us += 1;
	assert_false(of(late, 1, &router, t).late);
}

static void is_lost_only_when_the_limit_has_come(void **state)
{
	const struct drill_sample closed[] = {at(0, 10, 503)};
	struct drill_times t = times();

	(void)state;
	assert_false(of(closed, 1, &router, t).lost);
	t.is_over = true;
	assert_true(of(closed, 1, &router, t).lost);
}

static void an_allow_asked_for_after_the_refusal_is_stale(void **state)
{
	const struct drill_sample after[] = {at(0, 10, 401), at(11, 20, 200)},
				  beside[] = {at(0, 10, 401), at(10, 20, 200)};
	struct drill_verdict v = of(after, 2, &router, times());

	(void)state;
	assert_int_equal(v.stale, 1);
	assert_int_equal(v.worst_us, 20);
	assert_int_equal(of(after, 2, &edge_of_one, times()).stale, 1);
	/* it was on its way already */
	assert_int_equal(of(beside, 2, &router, times()).stale, 0);
	/* of another router */
	assert_int_equal(of(after, 2, &edge_of_several, times()).stale, 0);
}

static void an_allow_beyond_the_bound_is_stale(void **state)
{
	const struct drill_sample sent_before[] = {at(BOUND - 5, BOUND + 1, 200)},
				  sent_after[] = {at(BOUND + 1, BOUND + 2, 200)},
				  at_it[] = {at(BOUND - 5, BOUND, 200)};
	struct drill_times t = times();

	(void)state;
	assert_int_equal(of(at_it, 1, &router, t).stale, 0);
	/* a router's own answer counts when it comes; the edge's may have been held back */
	assert_int_equal(of(sent_before, 1, &router, t).stale, 1);
	assert_int_equal(of(sent_before, 1, &edge_of_several, t).stale, 0);
	assert_int_equal(of(sent_after, 1, &edge_of_several, t).stale, 1);
	/* nobody could know of it before */
	t.known_us += 10;
	assert_int_equal(of(sent_after, 1, &edge_of_several, t).stale, 0);
	/* that a router was away excuses no allow */
	t = times();
	t.whole_us += BOUND;
	assert_int_equal(of(sent_after, 1, &router, t).stale, 1);
}

static void any_allow_of_the_former_session_is_stale_and_its_refusals_enforce_nothing(void **state)
{
	struct drill_sample samples[] = {at(-100, -90, 200), at(-50, -40, 401)};
	struct drill_times t = times();

	(void)state;
	samples[0].former = samples[1].former = true;
	t.is_over = true;
	struct drill_verdict v = of(samples, 2, &edge_of_several, t);
	assert_int_equal(v.stale, 1);
	assert_true(v.lost);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(counts_from_the_event_to_the_first_refusal),
	    cmocka_unit_test(a_refusal_before_the_event_takes_no_time),
	    cmocka_unit_test(other_points_do_not_count),
	    cmocka_unit_test(is_late_after_the_bound_and_not_at_it),
	    cmocka_unit_test(is_lost_only_when_the_limit_has_come),
	    cmocka_unit_test(an_allow_asked_for_after_the_refusal_is_stale),
	    cmocka_unit_test(an_allow_beyond_the_bound_is_stale),
	    cmocka_unit_test(
		any_allow_of_the_former_session_is_stale_and_its_refusals_enforce_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
