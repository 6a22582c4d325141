/* What happens to an agent next, with a clock of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "common/error.h"
#include "services/sandbox/machine.h"

static const struct machine_rules rules = {.restarts_max = 3,
    .restarts_window_ms = 600000,
    .backoff_ms = 1000,
    .backoff_max_ms = 4000,
    .start_max_ms = 60000,
    .stop_max_ms = 20000};

static int set_up(void **state)
{
	static struct machine machine;
	machine_init(&machine, &rules, MACHINE_NEW);
	*state = &machine;
	return 0;
}

static void run(struct machine *m, uint64_t now)
{
	machine_want_start(m);
	assert_int_equal(machine_next(m, now), MACHINE_START);
	machine_started(m, now);
	assert_string_equal(machine_state(m), "running");
}

static void crash(struct machine *m, uint64_t now)
{
	machine_ended(m, now, false, "ended with status 1");
	assert_int_equal(machine_next(m, now), MACHINE_WAIT);
	machine_gone(m, now);
}

static void a_new_one_is_stopped_and_a_request_wakes_it(void **state)
{
	struct machine *m = *state;
	assert_string_equal(machine_state(m), "stopped");
	assert_int_equal(machine_next(m, 0), MACHINE_WAIT);
	assert_true(machine_want_wake(m));
	assert_string_equal(machine_state(m), "starting");
	assert_int_equal(machine_next(m, 0), MACHINE_START);
	assert_int_equal(machine_next(m, 0), MACHINE_WAIT);
	machine_started(m, 10);
	assert_string_equal(machine_state(m), "running");
}

static void one_that_was_stopped_by_a_word_is_woken_by_a_start_alone(void **state)
{
	struct machine *m = *state;
	run(m, 0);
	machine_want_stop(m);
	assert_int_equal(machine_next(m, 1), MACHINE_STOP);
	assert_string_equal(machine_state(m), "stopped");
	machine_ended(m, 2, true, "");
	machine_gone(m, 3);
	assert_false(machine_want_wake(m));
	assert_int_equal(machine_next(m, 4), MACHINE_WAIT);
	machine_want_start(m);
	assert_int_equal(machine_next(m, 5), MACHINE_START);
}

static void a_sleeping_one_wakes_also_while_it_still_ends(void **state)
{
	struct machine *m = *state;
	run(m, 0);
	machine_want_sleep(m);
	assert_int_equal(machine_next(m, 1), MACHINE_STOP);
	assert_string_equal(machine_state(m), "sleeping");
	assert_true(machine_want_wake(m));
	assert_string_equal(machine_state(m), "starting");
	assert_int_equal(machine_next(m, 2), MACHINE_WAIT);
	machine_ended(m, 3, true, "");
	machine_gone(m, 4);
	assert_int_equal(machine_next(m, 4), MACHINE_START);
}

static void a_crash_is_followed_by_a_start_that_waits_longer_each_time(void **state)
{
	struct machine *m = *state;
	uint64_t now = 100;
	static const uint64_t waits[] = {1000, 2000, 4000};
	run(m, now);
	for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
		crash(m, now);
		assert_string_equal(machine_state(m), "starting");
		assert_string_equal(m->why, "ended with status 1");
		assert_int_equal(machine_wait_ms(m, now), waits[i]);
		assert_int_equal(machine_next(m, now + waits[i] - 1), MACHINE_WAIT);
		now += waits[i];
		assert_int_equal(machine_next(m, now), MACHINE_START);
		machine_started(m, now);
	}
	crash(m, now);
	assert_string_equal(machine_state(m), "failed");
	assert_int_equal(machine_wait_ms(m, now), UINT64_MAX);
	assert_false(machine_want_wake(m));
	machine_want_start(m);
	assert_string_equal(m->why, "");
	assert_int_equal(machine_next(m, now), MACHINE_START);
}

static void crashes_that_are_far_apart_do_not_add_up(void **state)
{
	struct machine *m = *state;
	uint64_t now = 0;
	run(m, now);
	for (int i = 0; i < 20; i++) {
		crash(m, now);
		assert_int_equal(machine_wait_ms(m, now), 1000);
		now += 1000;
		assert_int_equal(machine_next(m, now), MACHINE_START);
		machine_started(m, now);
		now += rules.restarts_window_ms;
	}
}

static void a_kill_goes_out_in_every_phase_and_once(void **state)
{
	struct machine *m = *state;
	machine_want_start(m);
	assert_int_equal(machine_next(m, 0), MACHINE_START);
	machine_want_kill(m, MACHINE_NEW, "");
	assert_int_equal(machine_next(m, 1), MACHINE_KILL);
	assert_int_equal(machine_next(m, 1), MACHINE_WAIT);
	machine_started(m, 2); /* too late: it was said before the kill came */
	assert_string_equal(machine_state(m), "stopped");
	machine_not_started(m, 3, MACHINE_BROKEN, "killed");
	assert_int_equal(machine_next(m, 999999), MACHINE_WAIT);
	run(m, 1000000);
	machine_want_kill(m, MACHINE_NEW, "");
	assert_int_equal(machine_next(m, 1000001), MACHINE_KILL);
	machine_gone(m, 1000002);
	run(m, 1000003);
	machine_want_stop(m);
	assert_int_equal(machine_next(m, 1000004), MACHINE_STOP);
	machine_want_kill(m, MACHINE_NEW, "");
	assert_int_equal(machine_next(m, 1000005), MACHINE_KILL);
	assert_int_equal(machine_next(m, 1000006), MACHINE_WAIT);
}

static void a_kill_of_nothing_asks_for_nothing(void **state)
{
	struct machine *m = *state;
	machine_want_kill(m, MACHINE_NEW, "");
	assert_int_equal(machine_next(m, 0), MACHINE_WAIT);
	run(m, 1);
	assert_int_equal(machine_next(m, 2), MACHINE_WAIT);
}

static void a_start_that_takes_too_long_is_killed_and_tried_again(void **state)
{
	struct machine *m = *state;
	machine_want_start(m);
	assert_int_equal(machine_next(m, 0), MACHINE_START);
	assert_int_equal(machine_wait_ms(m, 0), rules.start_max_ms);
	assert_int_equal(machine_next(m, rules.start_max_ms), MACHINE_KILL);
	assert_string_equal(machine_state(m), "starting");
	machine_not_started(m, rules.start_max_ms + 10, MACHINE_BROKEN, "killed");
	assert_int_equal(machine_next(m, rules.start_max_ms + 500), MACHINE_WAIT);
	assert_int_equal(machine_next(m, rules.start_max_ms + 1000), MACHINE_START);
}

static void a_stop_that_takes_too_long_becomes_a_kill(void **state)
{
	struct machine *m = *state;
	run(m, 0);
	machine_want_stop(m);
	assert_int_equal(machine_next(m, 10), MACHINE_STOP);
	assert_int_equal(machine_next(m, 10 + rules.stop_max_ms - 1), MACHINE_WAIT);
	assert_int_equal(machine_next(m, 10 + rules.stop_max_ms), MACHINE_KILL);
}

static void a_restart_stops_first(void **state)
{
	struct machine *m = *state;
	run(m, 0);
	machine_want_restart(m);
	assert_int_equal(machine_next(m, 1), MACHINE_STOP);
	assert_string_equal(machine_state(m), "starting");
	machine_ended(m, 2, true, "");
	machine_gone(m, 3);
	assert_int_equal(machine_next(m, 3), MACHINE_START);
	machine_started(m, 4);
	assert_int_equal(machine_next(m, 5), MACHINE_WAIT);
	assert_int_equal(m->restarts, 0);
}

static void what_is_not_there_now_is_waited_for_and_never_fails_it(void **state)
{
	struct machine *m = *state;
	uint64_t now = 0;
	machine_want_start(m);
	for (int i = 0; i < 50; i++) {
		assert_int_equal(machine_next(m, now), MACHINE_START);
		machine_not_started(m, now, MACHINE_LATER, "the vault is sealed");
		assert_string_equal(machine_state(m), "starting");
		assert_true(machine_wait_ms(m, now) <= rules.backoff_max_ms);
		now += machine_wait_ms(m, now);
	}
}

static void one_that_was_refused_rests_until_somebody_asks(void **state)
{
	struct machine *m = *state;
	machine_want_start(m);
	assert_int_equal(machine_next(m, 0), MACHINE_START);
	machine_not_started(m, 1, MACHINE_REFUSED, "the period is over");
	assert_string_equal(machine_state(m), "stopped");
	assert_string_equal(m->why, "the period is over");
	assert_int_equal(machine_next(m, 999999), MACHINE_WAIT);
	assert_true(machine_want_wake(m));
	assert_int_equal(machine_next(m, 999999), MACHINE_START);
}

/* Warden repeats what a runtime said, which repeats what an image holds. */
static void words_of_others_are_plain_text(void **state)
{
	static const struct {
		const char *said, *kept;
	} words[] = {
	    {"no such file", "no such file"},
	    {"a\x1b]0;owned\x07\r\nb\t", "a?]0;owned???b?"},
	    {"\xff\xfe half \xe2\x80", "?? half ??"},
	    {"\xe2\x80\xae\x7f\x9b", "?????"},
	};
	struct machine *m = *state;
	char longer[2 * MACHINE_WHY_MAX];
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		machine_want_start(m);
		assert_int_equal(machine_next(m, 0), MACHINE_START);
		machine_not_started(m, 0, MACHINE_REFUSED, words[i].said);
		assert_string_equal(m->why, words[i].kept);
	}
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	machine_want_kill(m, MACHINE_DOWN, longer);
	assert_int_equal(strlen(m->why), MACHINE_WHY_MAX);
}

static void one_that_vanished_counts_as_crashed(void **state)
{
	struct machine *m = *state;
	run(m, 0);
	machine_gone(m, 1);
	assert_string_equal(machine_state(m), "starting");
	assert_int_equal(machine_wait_ms(m, 1), 1000);
}

static void a_found_one_runs_or_ends(void **state)
{
	struct machine *m = *state;
	machine_init(m, &rules, MACHINE_UP);
	machine_found(m, false);
	assert_string_equal(machine_state(m), "running");
	assert_int_equal(machine_next(m, 0), MACHINE_WAIT);
	machine_init(m, &rules, MACHINE_UP);
	machine_found(m, true);
	assert_int_equal(machine_next(m, 0), MACHINE_WAIT); /* no second one before it is gone */
	assert_true(m->was_killed);
	machine_want_kill(m, MACHINE_UP, "sold");
	assert_int_equal(machine_next(m, 0), MACHINE_WAIT); /* nor a second KILL */
	machine_gone(m, 1);
	assert_int_equal(machine_next(m, 1), MACHINE_START);
	machine_init(m, &rules, MACHINE_DOWN);
	machine_found(m, false);
	assert_int_equal(machine_next(m, 0), MACHINE_STOP);
}

static void hold(struct machine *m)
{
	run(m, 0);
	machine_want_sleep(m);
	assert_int_equal(machine_next(m, 10), MACHINE_STOP);
	machine_held(m, 20, 5000);
	assert_int_equal(machine_next(m, 20), MACHINE_WAIT);
	assert_string_equal(machine_state(m), "sleeping");
}

static void one_that_is_held_is_released_once_it_is_saved(void **state)
{
	struct machine *m = *state;
	hold(m);
	machine_want_release(m);
	assert_int_equal(machine_next(m, 30), MACHINE_RELEASE);
	assert_int_equal(machine_next(m, 30), MACHINE_WAIT);
	machine_gone(m, 40);
	assert_int_equal(machine_next(m, 40), MACHINE_WAIT);
}

static void a_wake_does_not_wait_for_a_hold(void **state)
{
	struct machine *m = *state;
	hold(m);
	assert_true(machine_want_wake(m));
	assert_int_equal(machine_next(m, 30), MACHINE_RELEASE);
	machine_gone(m, 40);
	assert_int_equal(machine_next(m, 40), MACHINE_START);
}

static void a_hold_has_an_end_and_a_kill_ends_it(void **state)
{
	struct machine *m = *state;
	hold(m);
	assert_int_equal(machine_wait_ms(m, 20), 4980);
	assert_int_equal(machine_next(m, 5000), MACHINE_KILL);
	machine_gone(m, 5001);
	hold(m);
	machine_want_kill(m, MACHINE_NEW, "");
	assert_int_equal(machine_next(m, 30), MACHINE_KILL);
}

static void a_start_that_fails_is_tried_otherwise_at_once(void **state)
{
	struct machine *m = *state;
	machine_want_start(m);
	assert_int_equal(machine_next(m, 0), MACHINE_START);
	machine_not_started(m, 5, MACHINE_OTHERWISE, "no volume");
	assert_string_equal(m->why, "");
	assert_int_equal(machine_next(m, 5), MACHINE_START);
	assert_int_equal(m->restarts, 0);
}

static void a_start_that_goes_on_is_waited_for(void **state)
{
	struct machine *m = *state;
	machine_want_start(m);
	assert_int_equal(machine_next(m, 0), MACHINE_START);
	machine_goes_on(m, 59000);
	assert_int_equal(machine_next(m, 60001), MACHINE_WAIT);
	assert_int_equal(machine_next(m, 119001), MACHINE_KILL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, set_up)
	const struct CMUnitTest tests[] = {
	    TEST(a_new_one_is_stopped_and_a_request_wakes_it),
	    TEST(one_that_was_stopped_by_a_word_is_woken_by_a_start_alone),
	    TEST(a_sleeping_one_wakes_also_while_it_still_ends),
	    TEST(a_crash_is_followed_by_a_start_that_waits_longer_each_time),
	    TEST(crashes_that_are_far_apart_do_not_add_up),
	    TEST(a_kill_goes_out_in_every_phase_and_once),
	    TEST(a_kill_of_nothing_asks_for_nothing),
	    TEST(a_start_that_takes_too_long_is_killed_and_tried_again),
	    TEST(a_stop_that_takes_too_long_becomes_a_kill),
	    TEST(a_restart_stops_first),
	    TEST(what_is_not_there_now_is_waited_for_and_never_fails_it),
	    TEST(one_that_was_refused_rests_until_somebody_asks),
	    TEST(words_of_others_are_plain_text),
	    TEST(one_that_vanished_counts_as_crashed),
	    TEST(a_found_one_runs_or_ends),
	    cmocka_unit_test_setup(one_that_is_held_is_released_once_it_is_saved, set_up),
	    cmocka_unit_test_setup(a_wake_does_not_wait_for_a_hold, set_up),
	    cmocka_unit_test_setup(a_hold_has_an_end_and_a_kill_ends_it, set_up),
	    cmocka_unit_test_setup(a_start_that_fails_is_tried_otherwise_at_once, set_up),
	    cmocka_unit_test_setup(a_start_that_goes_on_is_waited_for, set_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
