#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/follow.h"

#define H1 "history-1"
#define H2 "history-2"
#define H3 "history-3"
#define ID(n) ((struct event_id){(n), 0})

/* A follower without timers: one read and its answer at a time. */
struct reader {
	struct follow follow;
	struct follow_read read;
	uint64_t nreads, now;
	struct follow_verdict verdict;
	size_t handled;
};

static void ask(struct reader *r, uint64_t now)
{
	r->now = now;
	follow_ask(&r->follow, ++r->nreads, now, &r->read);
}

static bool tells(const struct reader *r, const char *history, uint64_t n)
{
	for (size_t i = 0; i < r->read.nknown; i++)
		if (strcmp(r->read.known[i].history, history) == 0 && r->read.known[i].id.ms == n)
			return true;
	return false;
}

static size_t nstrays(const struct reader *r)
{
	size_t n = 0;

	for (size_t i = 0; i < FOLLOW_STRAYS_MAX; i++)
		n += r->follow.stray[i].set;
	return n;
}

static struct ledger_follow answer_of(const char *history, uint64_t head, const char *head_history)
{
	struct ledger_follow answer = {.now_ms = 1000000, .head = ID(head)};

	snprintf(answer.history, sizeof(answer.history), "%s", history);
	snprintf(answer.head_history, sizeof(answer.head_history), "%s", head_history);
	return answer;
}

static void take_in(
    struct reader *r, const struct follow_read *read, const struct ledger_follow *answer)
{
	r->verdict = follow_judge(&r->follow, read, answer);
	if (!follow_begin(&r->follow, read, answer, &r->verdict))
		return;
	if (r->verdict.act == FOLLOW_START_OVER)
		follow_started_over(&r->follow, read, answer, &r->verdict);
	for (size_t i = r->verdict.first; r->verdict.act == FOLLOW_GO_ON && i < answer->nevents;
	     i++) {
		follow_handled(&r->follow, answer->events[i].history, answer->events[i].id);
		r->handled++;
	}
	follow_lease(&r->follow, &r->verdict);
}

static struct reader started(const char *history, uint64_t head, uint64_t now)
{
	struct reader r = {.nreads = 0};
	struct ledger_follow answer = answer_of(history, head, history);

	answer.restart = true;
	ask(&r, now);
	take_in(&r, &r.read, &answer);
	assert_int_equal(r.verdict.act, FOLLOW_START_OVER);
	return r;
}

static void events_of(struct ledger_event *events, size_t n, uint64_t first)
{
	for (size_t i = 0; i < n; i++)
		events[i] = (struct ledger_event){
		    .id = ID(first + i), .history = H1, .asset = "*", .kind = "key"};
}

static void the_first_answer_starts_over_and_gives_a_lease_from_its_sending(void **state)
{
	struct reader r = started(H1, 7, 5000);

	(void)state;
	assert_true(r.verdict.new_history);
	assert_string_equal(r.follow.history, H1);
	assert_int_equal(r.follow.cursor.ms, 7);
	assert_int_equal(r.follow.lease_until_ms, 7000);
	ask(&r, 5250);
	assert_true(r.read.has_cursor);
	assert_int_equal(r.read.nknown, 1);
	assert_true(tells(&r, H1, 7));
}

static void nothing_is_known_of_an_empty_stream(void **state)
{
	struct reader r = {.nreads = 0};
	struct ledger_follow answer = answer_of(H1, 0, "");

	(void)state;
	answer.restart = true;
	ask(&r, 5000);
	assert_false(r.read.has_cursor || r.read.nknown);
	take_in(&r, &r.read, &answer);
	ask(&r, 5250);
	assert_true(r.read.has_cursor);
	assert_int_equal(r.read.nknown, 0);
}

static void a_settling_history_gives_no_lease_and_takes_one(void **state)
{
	struct reader r = started(H1, 7, 5000);
	struct ledger_follow answer = answer_of(H1, 7, H1);

	(void)state;
	answer.settling_ms = 1;
	ask(&r, 5250);
	take_in(&r, &r.read, &answer);
	assert_int_equal(r.follow.lease_until_ms, 0);
	answer.settling_ms = 0;
	ask(&r, 5500);
	take_in(&r, &r.read, &answer);
	assert_int_equal(r.follow.lease_until_ms, 7500);
}

static void a_read_that_did_not_reach_the_head_renews_no_lease_and_is_followed_at_once(void **state)
{
	struct reader r = started(H1, 7, 5000);
	struct ledger_event events[3];
	struct ledger_follow answer = answer_of(H1, 10, H1);

	(void)state;
	events_of(events, 3, 8);
	answer.events = events;
	answer.nevents = 2;
	ask(&r, 5250);
	take_in(&r, &r.read, &answer);
	assert_true(r.verdict.more);
	assert_int_equal(r.follow.lease_until_ms, 7000);
	assert_int_equal(r.follow.cursor.ms, 9);
	answer.events = events + 2;
	answer.nevents = 1;
	ask(&r, 5252);
	take_in(&r, &r.read, &answer);
	assert_false(r.verdict.more);
	assert_int_equal(r.follow.lease_until_ms, 7252);
	assert_int_equal(r.handled, 3);
}

static void an_answer_without_the_head_or_events_gives_nothing_and_is_not_asked_for_in_circles(
    void **state)
{
	struct reader r = started(H1, 7, 5000);
	struct ledger_follow answer = answer_of(H1, 10, H1);

	(void)state;
	ask(&r, 5250);
	take_in(&r, &r.read, &answer);
	assert_int_equal(r.verdict.act, FOLLOW_GO_ON);
	assert_false(r.verdict.more);
	assert_int_equal(r.follow.lease_until_ms, 7000);
	answer = answer_of(H1, 5, H1);
	ask(&r, 5500);
	take_in(&r, &r.read, &answer);
	assert_int_equal(r.follow.lease_until_ms, 7000);
	assert_int_equal(r.follow.cursor.ms, 7);
}

static void a_late_answer_of_a_read_given_up_counts_from_its_own_sending(void **state)
{
	struct reader r = started(H1, 7, 5000);
	struct ledger_event events[2];
	struct ledger_follow first = answer_of(H1, 8, H1), second = answer_of(H1, 9, H1);

	(void)state;
	events_of(events, 2, 8);
	ask(&r, 5250);
	struct follow_read given_up = r.read;
	ask(&r, 6250);
	first.events = second.events = events;
	first.nevents = 1;
	second.nevents = 2;
	take_in(&r, &given_up, &first);
	assert_int_equal(r.follow.lease_until_ms, 7250);
	take_in(&r, &r.read, &second);
	assert_int_equal(r.follow.lease_until_ms, 8250);
	assert_int_equal(r.handled, 2); /* the one both brought: once */
	assert_int_equal(r.follow.cursor.ms, 9);
}

static void an_answer_overtaken_by_a_later_one_is_ignored(void **state)
{
	struct reader r = started(H1, 7, 5000);
	struct ledger_follow answer = answer_of(H1, 7, H1), old = answer_of(H2, 3, H2);

	(void)state;
	ask(&r, 5250);
	struct follow_read overtaken = r.read;
	ask(&r, 6250);
	take_in(&r, &r.read, &answer);
	take_in(&r, &overtaken, &old);
	assert_int_equal(r.verdict.act, FOLLOW_IGNORE);
	assert_string_equal(r.follow.history, H1);
	assert_int_equal(r.follow.lease_until_ms, 8250);
}

static void a_cursor_too_old_starts_over_in_the_same_history(void **state)
{
	struct reader r = started(H1, 7, 5000);
	struct ledger_follow answer = answer_of(H1, 300000, H1);

	(void)state;
	answer.restart = true;
	ask(&r, 5250);
	take_in(&r, &r.read, &answer);
	assert_int_equal(r.verdict.act, FOLLOW_START_OVER);
	assert_false(r.verdict.new_history);
	assert_int_equal(r.follow.cursor.ms, 300000);
	assert_int_equal(r.follow.newest.event.id.ms, 300000);
	assert_int_equal(r.follow.lease_until_ms, 7250);
}

static void the_newest_known_never_falls_within_a_history(void **state)
{
	struct reader r = started(H1, 7, 5000);
	struct ledger_follow answer = answer_of(H1, 5, H1);

	(void)state;
	assert_true(follow_heard(&r.follow, H1, ID(9)));
	assert_false(follow_heard(&r.follow, H1, ID(9)));
	assert_false(follow_heard(&r.follow, H1, ID(8)));
	answer.restart = true;
	ask(&r, 5250);
	take_in(&r, &r.read, &answer);
	assert_int_equal(r.follow.cursor.ms, 5);
	assert_int_equal(r.follow.newest.event.id.ms, 9);
	ask(&r, 5500);
	assert_true(tells(&r, H1, 9));
}

static void a_new_history_that_was_told_all_is_followed_from_its_head(void **state)
{
	struct reader r = started(H1, 7, 5000);
	struct ledger_follow answer = answer_of(H2, 4, H1);

	(void)state;
	follow_heard(&r.follow, H1, ID(9));
	ask(&r, 5250);
	answer.restart = true;
	answer.settling_ms = 1500;
	take_in(&r, &r.read, &answer);
	assert_int_equal(r.verdict.act, FOLLOW_START_OVER);
	assert_true(r.verdict.new_history);
	assert_int_equal(r.follow.lease_until_ms, 0);
	assert_string_equal(r.follow.history, H2);
	assert_int_equal(r.follow.cursor.ms, 4);
	/* what was lost is lost once: the next history is not told of it again */
	assert_int_equal(r.follow.newest.event.id.ms, 4);
	assert_string_equal(r.follow.newest.event.history, H1);
	assert_int_equal(nstrays(&r), 0);
}

static void a_new_history_is_asked_again_if_something_was_heard_of_meanwhile(void **state)
{
	struct reader r = started(H1, 7, 5000);
	struct ledger_follow answer = answer_of(H2, 7, H1);

	(void)state;
	answer.restart = true;
	ask(&r, 5250);
	follow_heard(&r.follow, H1, ID(9));
	take_in(&r, &r.read, &answer);
	assert_int_equal(r.verdict.act, FOLLOW_ASK_AGAIN);
	assert_true(r.verdict.more);
	assert_int_equal(r.follow.lease_until_ms, 0);
	assert_string_equal(r.follow.history, H1);
	ask(&r, 5251);
	assert_string_equal(r.read.history, H1);
	assert_true(tells(&r, H1, 9));
	take_in(&r, &r.read, &answer);
	assert_int_equal(r.verdict.act, FOLLOW_START_OVER);
	assert_string_equal(r.follow.history, H2);
}

static void a_history_that_never_falls_silent_is_followed_in_the_end_and_nothing_is_left_untold(
    void **state)
{
	struct reader r = started(H1, 7, 5000);
	struct ledger_follow answer = answer_of(H2, 7, H1);
	uint64_t n = 8;

	(void)state;
	answer.restart = true;
	do {
		ask(&r, 5250);
		follow_heard(&r.follow, H1, ID(++n));
		take_in(&r, &r.read, &answer);
		assert_true(n < 30);
	} while (r.verdict.act == FOLLOW_ASK_AGAIN);
	assert_int_equal(r.verdict.act, FOLLOW_START_OVER);
	assert_int_equal(n, 8 + FOLLOW_ASK_AGAIN_MAX + 1);
	ask(&r, 5251);
	assert_true(tells(&r, H1, n));
}

static void what_is_heard_of_another_history_is_told_until_that_is_answered(void **state)
{
	struct reader r = started(H1, 7, 5000);
	struct ledger_follow answer = answer_of(H1, 7, H1);

	(void)state;
	assert_true(follow_heard(&r.follow, H2, ID(3)));
	assert_false(follow_heard(&r.follow, H2, ID(3)));
	assert_int_equal(r.follow.newest.event.id.ms, 7);
	for (uint64_t now = 5250; now < 8000; now += 1000) { /* unanswered */
		ask(&r, now);
		assert_true(tells(&r, H1, 7) && tells(&r, H2, 3));
	}
	take_in(&r, &r.read, &answer);
	assert_int_equal(nstrays(&r), 0);
	ask(&r, 9000);
	assert_true(tells(&r, H1, 7));
	assert_int_equal(r.read.nknown, 1);
}

static void a_stray_that_grows_while_it_is_told_is_told_again(void **state)
{
	struct reader r = started(H1, 7, 5000);
	struct ledger_follow answer = answer_of(H1, 7, H1);

	(void)state;
	follow_heard(&r.follow, H2, ID(8));
	ask(&r, 5250);
	follow_heard(&r.follow, H2, ID(9));
	take_in(&r, &r.read, &answer);
	ask(&r, 5500);
	assert_true(tells(&r, H2, 9));
}

/* Redis began twice before this reader came back, and in between lost what it had written. */
static void one_read_tells_a_new_history_all_that_is_known(void **state)
{
	struct reader r = started(H1, 7, 5000);
	struct ledger_follow answer = answer_of(H3, 12, H3);

	(void)state;
	answer.restart = true;
	follow_heard(&r.follow, H2, ID(8));
	follow_heard(&r.follow, H3, ID(12));
	ask(&r, 5250);
	assert_true(tells(&r, H1, 7) && tells(&r, H2, 8) && tells(&r, H3, 12));
	take_in(&r, &r.read, &answer);
	assert_int_equal(r.verdict.act, FOLLOW_START_OVER);
	assert_int_equal(nstrays(&r), 0);
	assert_int_equal(r.follow.newest.event.id.ms, 12);
}

static void of_too_many_histories_the_oldest_is_forgotten(void **state)
{
	struct reader r = started(H1, 7, 5000);
	char history[] = "another-0";

	(void)state;
	for (uint64_t i = 0; i <= FOLLOW_STRAYS_MAX; i++) {
		history[sizeof(history) - 2] = (char)('0' + i);
		assert_true(follow_heard(&r.follow, history, ID(20 + i)));
	}
	ask(&r, 5250);
	assert_int_equal(r.read.nknown, FOLLOW_STRAYS_MAX + 1);
	assert_false(tells(&r, "another-0", 20));
	assert_true(tells(&r, H1, 7) && tells(&r, "another-1", 21) &&
		    tells(&r, history, 20 + FOLLOW_STRAYS_MAX));
}

static void what_was_heard_of_the_new_history_before_it_was_known_is_its_newest(void **state)
{
	struct reader r = started(H1, 7, 5000);
	struct ledger_follow answer = answer_of(H2, 8, H2);

	(void)state;
	answer.restart = true;
	for (int i = 0; i <= FOLLOW_ASK_AGAIN_MAX; i++) {
		ask(&r, 5250);
		follow_heard(&r.follow, H2, ID(20 + (uint64_t)i));
		take_in(&r, &r.read, &answer);
	}
	assert_string_equal(r.follow.history, H2);
	assert_string_equal(r.follow.newest.event.history, H2);
	assert_int_equal(r.follow.newest.event.id.ms, 20 + FOLLOW_ASK_AGAIN_MAX);
	assert_int_equal(nstrays(&r), 0);
}

static void an_answer_to_a_read_of_the_old_history_does_not_forget_what_the_new_one_brought(
    void **state)
{
	struct reader r = started(H1, 7, 5000);
	struct ledger_follow answer = answer_of(H2, 8, H2);

	(void)state;
	answer.restart = true;
	ask(&r, 5250);
	struct follow_read given_up = r.read;
	ask(&r, 6250);
	take_in(&r, &given_up, &answer);
	assert_string_equal(r.follow.history, H2);
	follow_heard(&r.follow, H2, ID(12));
	take_in(&r, &r.read, &answer);
	assert_int_equal(r.verdict.act, FOLLOW_START_OVER);
	assert_false(r.verdict.new_history);
	assert_int_equal(r.follow.newest.event.id.ms, 12);
}

static void what_was_handled_is_told_by_id_and_history(void **state)
{
	struct reader r = {.nreads = 0};

	(void)state;
	assert_true(follow_has_handled(&r.follow, "", ID(0)));
	assert_false(follow_has_handled(&r.follow, H1, ID(1)));
	r = started(H1, 7, 5000);
	assert_true(follow_has_handled(&r.follow, H1, ID(7)));
	assert_true(follow_has_handled(&r.follow, H1, ID(6)));
	assert_false(follow_has_handled(&r.follow, H1, ID(8)));
	/* the next history lost 5 to 7, gave 6 and 7 out again, and is not known here yet */
	assert_false(follow_has_handled(&r.follow, H2, ID(6)));
	assert_false(follow_has_handled(&r.follow, H2, ID(7)));
	/* emptied */
	assert_false(follow_has_handled(&r.follow, "", ID(0)));
}

static void what_a_new_history_began_with_is_handled(void **state)
{
	struct reader r = started(H1, 7, 5000);
	struct ledger_follow answer = answer_of(H2, 4, H1);

	(void)state;
	ask(&r, 5250);
	take_in(&r, &r.read, &answer);
	assert_string_equal(r.follow.history, H2);
	assert_true(follow_has_handled(&r.follow, H1, ID(4)));
	assert_false(follow_has_handled(&r.follow, H2, ID(5)));
	follow_handled(&r.follow, H2, ID(5));
	assert_true(follow_has_handled(&r.follow, H2, ID(5)));
	assert_false(follow_has_handled(&r.follow, H1, ID(5)));
}

static void the_chains_age_is_the_larger_of_two(void **state)
{
	struct reader r = {.nreads = 0};
	struct ledger_follow answer = answer_of(H1, 7, H1);

	(void)state;
	assert_true(follow_chain_age_ms(&r.follow, 5000) == UINT64_MAX);
	assert_int_equal(follow_redis_now_ms(&r.follow, 5000), 0);
	ask(&r, 5000);
	take_in(&r, &r.read, &answer);
	assert_true(follow_chain_age_ms(&r.follow, 5000) == UINT64_MAX);
	assert_int_equal(follow_redis_now_ms(&r.follow, 5600), 1000600);

	/* by Redis' clock: began 3 s before */
	answer.chain = (struct ledger_chain){.known = true, .slot = 100, .at_ms = 997000};
	ask(&r, 5250);
	take_in(&r, &r.read, &answer);
	assert_int_equal(follow_chain_age_ms(&r.follow, 5250), 3000);
	assert_int_equal(follow_chain_age_ms(&r.follow, 5350), 3100);

	/* Redis' clock was set back: the slot has not risen for 10 s of ours */
	answer.now_ms = 990000;
	ask(&r, 15250);
	take_in(&r, &r.read, &answer);
	assert_int_equal(follow_chain_age_ms(&r.follow, 15250), 10000);

	answer.chain.slot = 101;
	answer.chain.at_ms = 989500;
	ask(&r, 15500);
	take_in(&r, &r.read, &answer);
	assert_int_equal(follow_chain_age_ms(&r.follow, 15500), 500);

	/* a slot that fell has not risen */
	answer.chain.slot = 50;
	ask(&r, 20500);
	take_in(&r, &r.read, &answer);
	assert_int_equal(follow_chain_age_ms(&r.follow, 20500), 5000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_first_answer_starts_over_and_gives_a_lease_from_its_sending),
	    cmocka_unit_test(nothing_is_known_of_an_empty_stream),
	    cmocka_unit_test(a_settling_history_gives_no_lease_and_takes_one),
	    cmocka_unit_test(
		a_read_that_did_not_reach_the_head_renews_no_lease_and_is_followed_at_once),
	    cmocka_unit_test(
		an_answer_without_the_head_or_events_gives_nothing_and_is_not_asked_for_in_circles),
	    cmocka_unit_test(a_late_answer_of_a_read_given_up_counts_from_its_own_sending),
	    cmocka_unit_test(an_answer_overtaken_by_a_later_one_is_ignored),
	    cmocka_unit_test(a_cursor_too_old_starts_over_in_the_same_history),
	    cmocka_unit_test(the_newest_known_never_falls_within_a_history),
	    cmocka_unit_test(a_new_history_that_was_told_all_is_followed_from_its_head),
	    cmocka_unit_test(a_new_history_is_asked_again_if_something_was_heard_of_meanwhile),
	    cmocka_unit_test(
		a_history_that_never_falls_silent_is_followed_in_the_end_and_nothing_is_left_untold),
	    cmocka_unit_test(what_is_heard_of_another_history_is_told_until_that_is_answered),
	    cmocka_unit_test(a_stray_that_grows_while_it_is_told_is_told_again),
	    cmocka_unit_test(one_read_tells_a_new_history_all_that_is_known),
	    cmocka_unit_test(of_too_many_histories_the_oldest_is_forgotten),
	    cmocka_unit_test(what_was_heard_of_the_new_history_before_it_was_known_is_its_newest),
	    cmocka_unit_test(
		an_answer_to_a_read_of_the_old_history_does_not_forget_what_the_new_one_brought),
	    cmocka_unit_test(what_was_handled_is_told_by_id_and_history),
	    cmocka_unit_test(what_a_new_history_began_with_is_handled),
	    cmocka_unit_test(the_chains_age_is_the_larger_of_two),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
