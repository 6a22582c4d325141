/* Marks: an answer that an event has overtaken is void, also one of a bucket's neighbour, never the other way round. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>

#include "common/marks.h"

#define ASSET "So11111111111111111111111111111111111111112"
#define OTHER "Stake11111111111111111111111111111111111111"

static int set_up(void **state)
{
	*state = marks_new();
	return sodium_init() >= 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	struct marks *marks = *state;
	marks_destroy(&marks);
	return 0;
}

static struct event_id at(uint64_t ms, uint64_t seq)
{
	return (struct event_id){ms, seq};
}

static void an_answer_below_the_assets_event_is_void(void **state)
{
	struct marks *marks = *state;
	assert_true(marks_is_current(marks, ASSET, at(0, 0)));
	marks_add(marks, ASSET, at(10, 2));
	assert_false(marks_is_current(marks, ASSET, at(10, 1)));
	assert_true(marks_is_current(marks, ASSET, at(10, 2)));
	assert_true(marks_is_current(marks, ASSET, at(11, 0)));
	assert_true(marks_is_current(marks, OTHER, at(1, 0)));
}

static void an_event_of_every_asset_voids_all_answers_before_it(void **state)
{
	struct marks *marks = *state;
	marks_add(marks, "*", at(10, 0));
	assert_false(marks_is_current(marks, ASSET, at(9, 9)));
	assert_false(marks_is_current(marks, OTHER, at(9, 9)));
	assert_true(marks_is_current(marks, OTHER, at(10, 0)));
}

static void a_mark_never_falls_within_a_history(void **state)
{
	struct marks *marks = *state;
	marks_add(marks, ASSET, at(10, 0));
	marks_add(marks, ASSET, at(5, 0));
	marks_add(marks, "*", at(8, 0));
	marks_add(marks, "*", at(7, 0));
	assert_false(marks_is_current(marks, ASSET, at(9, 0)));
	assert_false(marks_is_current(marks, OTHER, at(7, 5)));
}

static void in_a_new_history_only_its_head_counts(void **state)
{
	struct marks *marks = *state;
	marks_add(marks, ASSET, at(100, 0));
	marks_add(marks, "*", at(100, 0));
	marks_restart(marks, at(3, 0));
	assert_true(marks_is_current(marks, ASSET, at(3, 0)));
	assert_false(marks_is_current(marks, ASSET, at(2, 9)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		an_answer_below_the_assets_event_is_void, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		an_event_of_every_asset_voids_all_answers_before_it, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_mark_never_falls_within_a_history, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		in_a_new_history_only_its_head_counts, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
