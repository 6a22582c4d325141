#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <sodium.h>

#include "common/follower.h"
#include "common/log.h"
#include "tests/unit/common/redis_fixture.h"

#define ASSET "4vJ9JU1bJJE96FWSJKvHsmmFADCg4gpZQff4P3bkLKi"
#define REDIS_TIMEOUT_MS 10000

struct bench {
	struct redis_fixture fixture;
	struct event_base *base;
	struct redis *redis;
	struct metrics *metrics;
	struct follower *follower;
	uint64_t began;

	int restarts;
	bool leased_at_restart;
	char history[HISTORY_MAX + 1];
	struct event_id head;
	int events, heard;
	struct event_id last;
	bool cursor_ran_ahead;
	char heard_asset[PUBKEY_TEXT_MAX + 1];
	bool must_hold;
	uint64_t ticket;
};

static void on_event(void *arg, const struct ledger_event *event)
{
	struct bench *b = arg;

	b->events++;
	assert_true(event_id_compare(event->id, b->last) > 0);
	b->last = event->id;
	if (b->must_hold) {
		uint64_t ticket = follower_hold(b->follower);
		follower_merge(b->follower, &b->ticket, &ticket);
	}
	b->cursor_ran_ahead |= event_id_compare(follower_cursor(b->follower), event->id) >= 0;
}

static void on_restart(void *arg, const char *history, struct event_id head)
{
	struct bench *b = arg;

	b->restarts++;
	b->leased_at_restart |= b->follower && follower_has_lease(b->follower);
	snprintf(b->history, sizeof(b->history), "%s", history);
	b->head = b->last = head;
}

static void on_heard(void *arg, const struct ledger_event *event)
{
	struct bench *b = arg;

	b->heard++;
	assert_string_equal(event->history, follower_history(b->follower));
	snprintf(b->heard_asset, sizeof(b->heard_asset), "%s", event->asset);
}

static uint64_t reads(const struct bench *b)
{
	return metric_value(metrics_counter(b->metrics, "multiclaw_follow_reads_total", "", NULL));
}

#define UNTIL(b, condition, ms) \
	({ \
		uint64_t until_ = fixture_now_ms() + (ms); \
		while (!(condition) && fixture_now_ms() < until_) \
			loop_for((b)->base, 1); \
		(condition); \
	})

static void follow(struct bench *b)
{
	const struct follower_hooks hooks = {on_event, on_restart, on_heard, b};

	b->began = fixture_now_ms();
	b->follower = follower_new(b->base, b->redis, "router-1", "router", &hooks, b->metrics);
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	fixture_start(&b->fixture);
	b->base = event_base_new();
	b->redis = redis_new(b->base, b->fixture.address, NULL, NULL, REDIS_TIMEOUT_MS, NULL);
	b->metrics = metrics_new();
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	follower_destroy(&b->follower);
	redis_destroy(&b->redis);
	metrics_destroy(&b->metrics);
	event_base_free(b->base);
	fixture_stop(&b->fixture);
	free(b);
	return 0;
}

/* As if the history's first 2 s were over. */
static void settle(struct bench *b)
{
	fixture_say(&b->fixture, "HSET mc:history began 0");
}

static int setup_following(void **state)
{
	setup(state);
	struct bench *b = *state;
	follow(b);
	assert_true(UNTIL(b, b->restarts == 1, 5000));
	settle(b);
	assert_true(UNTIL(b, follower_has_lease(b->follower), 5000));
	return 0;
}

struct wrote {
	bool done;
	char history[HISTORY_MAX + 1];
	struct event_id id;
};

static void on_wrote(void *arg, const struct ledger_ended *out, const struct error *err)
{
	struct wrote *wrote = arg;

	wrote->done = true;
	assert_null(err);
	memcpy(wrote->history, out->history, sizeof(wrote->history));
	wrote->id = out->event;
}

/* An event, written by somebody else's connection. */
static struct wrote write_event(struct bench *b)
{
	struct wrote wrote = {.done = false};
	struct redis *other = redis_new(b->base, b->fixture.address, NULL, NULL, 1000, NULL);

	assert_true(UNTIL(b, redis_is_ready(other), 2000));
	ledger_announce(other, "key", on_wrote, &wrote);
	assert_true(UNTIL(b, wrote.done, 2000));
	redis_destroy(&other);
	return wrote;
}

static void gives_no_lease_before_a_history_has_settled(void **state)
{
	struct bench *b = *state;

	follow(b);
	assert_string_equal(follower_history(b->follower), "");
	assert_int_equal(follower_history_number(b->follower), 0);
	assert_true(UNTIL(b, b->restarts == 1, 2000));
	assert_false(follower_has_lease(b->follower));
	assert_int_equal(follower_history_number(b->follower), 1);
	assert_true(UNTIL(b, follower_has_lease(b->follower), 4000));
	assert_in_range(fixture_now_ms() - b->began, 1900, 3500);
	assert_int_equal(b->restarts, 1);
	assert_true(follower_lease_ms(b->follower) <= LEASE_MS);
}

static void reads_at_once_and_then_each_250_ms(void **state)
{
	struct bench *b = *state;
	uint64_t before = reads(b);

	loop_for(b->base, 1100);
	assert_in_range(reads(b) - before, 3, 5);
	assert_true(follower_lease_ms(b->follower) > LEASE_MS - 500);
}

static void is_ready_at_once_in_a_settled_history(void **state)
{
	struct bench *b = *state;
	const struct follower_hooks hooks = {on_event, on_restart, NULL, b};

	follower_destroy(&b->follower);
	redis_destroy(&b->redis);
	b->restarts = 0;
	uint64_t began = fixture_now_ms();
	b->redis = redis_new(b->base, b->fixture.address, NULL, NULL, 1000, NULL);
	b->follower = follower_new(b->base, b->redis, "router-2", "router", &hooks, b->metrics);
	assert_true(UNTIL(b, follower_has_lease(b->follower), 1000));
	assert_in_range(fixture_now_ms() - began, 0, 150);
	assert_int_equal(b->restarts, 1);
	assert_false(b->leased_at_restart);
}

static void brings_each_event_once_and_in_order(void **state)
{
	struct bench *b = *state;
	struct wrote wrote;

	for (int i = 0; i < 5; i++)
		wrote = write_event(b);
	assert_true(UNTIL(b, b->events == 5, 2000));
	loop_for(b->base, 600);
	assert_int_equal(b->events, 5);
	assert_false(b->cursor_ran_ahead);
	assert_int_equal(event_id_compare(follower_cursor(b->follower), wrote.id), 0);
}

struct said {
	bool done;
	struct ledger_replica replica;
};

static void on_enforced(void *arg, const struct ledger_enforced *out, const struct error *err)
{
	struct said *said = arg;

	said->done = true;
	assert_null(err);
	assert_int_equal(out->len, 1);
	said->replica = out->replica[0];
}

/* What everybody is told of this replica and that event. */
static struct ledger_replica told(struct bench *b, const struct wrote *wrote)
{
	struct said said = {.done = false};

	ledger_enforced(b->redis, wrote->id, wrote->history, on_enforced, &said);
	assert_true(UNTIL(b, said.done, 2000));
	return said.replica;
}

static void tells_an_event_as_enforced_once_what_it_began_is_over(void **state)
{
	struct bench *b = *state;

	b->must_hold = true;
	struct wrote first = write_event(b), second = write_event(b);
	assert_true(UNTIL(b, b->events == 2, 2000));
	loop_for(b->base, 600);
	assert_int_equal(told(b, &first).state, LEDGER_OPEN);
	uint64_t before = fixture_now_ms();
	follower_release(b->follower, &b->ticket);
	assert_int_equal(b->ticket, 0);
	assert_true(UNTIL(b, told(b, &second).state == LEDGER_DONE, 2000));
	assert_in_range(fixture_now_ms() - before, 0, 200); /* it was told at once */
	assert_int_equal(told(b, &first).state, LEDGER_DONE);
	assert_true(told(b, &first).ms >= 550);
	assert_string_equal(told(b, &first).name, "router-1");
	assert_string_equal(told(b, &first).role, "router");
}

static void outside_an_event_nothing_is_held(void **state)
{
	struct bench *b = *state;
	uint64_t none = follower_hold(b->follower);

	assert_int_equal(none, 0);
	follower_release(b->follower, &none);
	follower_release(NULL, &none);
}

static void the_bell_brings_the_read_forward_and_marks(void **state)
{
	struct bench *b = *state;
	char id[EVENT_ID_MAX + 1];
	int faster = 0;

	for (int i = 0; i < 10; i++) {
		struct wrote wrote = write_event(b);
		uint64_t rung = fixture_now_ms();
		if (b->events == i + 1)
			continue; /* a read of its own was quicker */
		follower_heard(b->follower, wrote.history, event_id_text(wrote.id, id), ASSET);
		assert_string_equal(b->heard_asset, ASSET);
		assert_true(UNTIL(b, b->events == i + 1, 1000));
		faster += fixture_now_ms() - rung < 100;
	}
	assert_true(b->heard >= 8);
	assert_true(faster >= b->heard - 2);
}

static void what_is_marked_already_waits_for_those_who_look(void **state)
{
	struct bench *b = *state;
	char id[EVENT_ID_MAX + 1];
	int at_once = 0;

	for (int i = 0; i < 10; i++) {
		struct wrote wrote = write_event(b);
		loop_for(b->base, 20);
		uint64_t before = reads(b);
		wrote.id.seq += 1000 + (uint64_t)i;
		follower_heard(b->follower, wrote.history, event_id_text(wrote.id, id), ASSET);
		loop_for(b->base, 5);
		at_once += reads(b) != before;
		loop_for(b->base, 30);
		assert_true(reads(b) > before);
	}
	assert_true(at_once <= 3);
}

static void its_own_writes_are_read_at_once(void **state)
{
	struct bench *b = *state;
	uint64_t slow = 0;

	for (int i = 0; i < 5; i++) {
		struct wrote wrote = write_event(b);
		uint64_t before = fixture_now_ms();
		follower_wrote(b->follower, wrote.history, wrote.id);
		assert_true(UNTIL(b, b->events == i + 1, 1000));
		slow += fixture_now_ms() - before > 100;
	}
	assert_true(slow <= 1);
	assert_int_equal(b->heard, 0);
}

static void nonsense_on_the_bell_is_ignored(void **state)
{
	struct bench *b = *state;
	char long_text[400];
	uint64_t before = reads(b);

	memset(long_text, '1', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	follower_heard(b->follower, "", "1-1", ASSET);
	follower_heard(b->follower, long_text, "1-1", ASSET);
	follower_heard(b->follower, b->history, "", ASSET);
	follower_heard(b->follower, b->history, "99999999999999999999-1", ASSET);
	follower_heard(b->follower, b->history, long_text, ASSET);
	follower_heard(b->follower, b->history, "0-0", ASSET);
	assert_int_equal(b->heard, 0);
	loop_for(b->base, 100);
	assert_in_range(reads(b) - before, 0, 1);
	struct wrote wrote = write_event(b);
	char id[EVENT_ID_MAX + 1];
	int events = b->events;
	follower_heard(b->follower, wrote.history, event_id_text(wrote.id, id), "no key");
	follower_heard(b->follower, wrote.history, id, NULL);
	assert_int_equal(b->heard, 0);
	follower_heard(b->follower, "another-history", "5-5", ASSET);
	assert_int_equal(b->heard, 0);
	assert_true(UNTIL(b, b->events >= events, 1000));
}

static void a_flood_on_the_bell_is_no_flood_on_redis(void **state)
{
	struct bench *b = *state;
	struct event_id id = write_event(b).id;
	uint64_t before = reads(b), began = fixture_now_ms();
	char text[EVENT_ID_MAX + 1];
	bool lease = true;

	while (fixture_now_ms() - began < 400) {
		for (int i = 0; i < 200; i++) {
			id.seq++;
			follower_heard(b->follower, i % 2 ? b->history : "elsewhere",
			    event_id_text(id, text), ASSET);
		}
		event_base_loop(b->base, EVLOOP_NONBLOCK);
		lease &= follower_has_lease(b->follower);
	}
	uint64_t took = fixture_now_ms() - began;
	assert_true(lease);
	assert_in_range(reads(b) - before, 5, took / 2 + 2);
}

static void a_backlog_is_read_without_waiting(void **state)
{
	struct bench *b = *state;

	redisContext *client = fixture_client(&b->fixture);
	redisReply *reply = redisCommand(client, "EVAL %s 0 %s",
	    "for i = 1, 3500 do redis.call('XADD', 'mc:events', '*', 'h', ARGV[1], 'a', '*', 'k', "
	    "'key') end",
	    b->history);
	assert_non_null(reply);
	freeReplyObject(reply);
	redisFree(client);
	uint64_t began = fixture_now_ms();
	assert_true(UNTIL(b, b->events == 3500, 5000));
	assert_in_range(fixture_now_ms() - began, 0, 700);
	assert_false(b->cursor_ran_ahead);
}

static void a_redis_that_hangs_costs_the_lease_and_no_event(void **state)
{
	struct bench *b = *state;
	write_event(b);

	assert_true(UNTIL(b, b->events == 1, 1000));
	assert_true(UNTIL(b, follower_lease_ms(b->follower) > LEASE_MS - 100, 1000));
	kill(b->fixture.pid, SIGSTOP);
	uint64_t stopped = fixture_now_ms(), before = reads(b);
	assert_true(UNTIL(b, !follower_has_lease(b->follower), 4000));
	assert_in_range(fixture_now_ms() - stopped, 1500, 2300);
	/* given up after 1 s and asked again */
	assert_true(UNTIL(b, reads(b) - before >= 3, 3000));
	kill(b->fixture.pid, SIGCONT);
	assert_true(UNTIL(b, follower_has_lease(b->follower), 1500));
	write_event(b);
	assert_true(UNTIL(b, b->events == 2, 1000));
	assert_int_equal(b->restarts, 1);
}

static void a_new_redis_process_is_a_new_history(void **state)
{
	struct bench *b = *state;
	char old[HISTORY_MAX + 1];
	struct wrote wrote = write_event(b);

	assert_true(UNTIL(b, b->events == 1, 1000));
	snprintf(old, sizeof(old), "%s", b->history);
	fixture_kill(&b->fixture);
	fixture_up(&b->fixture);
	assert_true(UNTIL(b, b->restarts == 2, 3000));
	assert_string_not_equal(b->history, old);
	assert_string_equal(follower_history(b->follower), b->history);
	assert_int_equal(follower_history_number(b->follower), 2);
	assert_int_equal(event_id_compare(b->head, wrote.id), 0);
	assert_false(follower_has_lease(b->follower));
	assert_false(b->leased_at_restart);
	settle(b);
	assert_true(UNTIL(b, follower_has_lease(b->follower), 1000));
	redisContext *client = fixture_client(&b->fixture);
	redisReply *reply = redisCommand(client, "HGET mc:history lost");
	assert_string_equal(reply->str, "0");
	freeReplyObject(reply);
	redisFree(client);
}

static void tells_a_redis_that_lost_what_was_written(void **state)
{
	struct bench *b = *state;
	struct wrote wrote = write_event(b);

	follower_wrote(b->follower, wrote.history, wrote.id);
	fixture_kill(&b->fixture);
	fixture_empty(&b->fixture);
	fixture_up(&b->fixture);
	assert_true(UNTIL(b, b->restarts == 2, 3000));
	redisContext *client = fixture_client(&b->fixture);
	redisReply *reply = redisCommand(client, "HGET mc:history lost");
	assert_string_equal(reply->str, "1");
	freeReplyObject(reply);
	redisFree(client);
}

static void knows_the_chain_and_redis_clock(void **state)
{
	struct bench *b = *state;

	assert_true(follower_chain_age_ms(b->follower) == UINT64_MAX);
	fixture_say(&b->fixture, "HSET mc:chain slot 00000000000000000042 at 1000 genesis abc");
	assert_true(UNTIL(b, follower_chain(b->follower)->known, 1000));
	assert_int_equal(follower_chain(b->follower)->slot, 42);
	assert_string_equal(follower_chain(b->follower)->genesis, "abc");
	uint64_t now = (uint64_t)time(NULL) * 1000, redis_now = follower_redis_now_ms(b->follower);
	assert_in_range(redis_now, now - 1500, now + 1500);
	assert_true(redis_now - 1000 - follower_chain_age_ms(b->follower) < 100);
}

static void measures_itself(void **state)
{
	struct bench *b = *state;
	size_t len;

	fixture_say(&b->fixture, "HSET mc:chain slot 00000000000000000042 at 1000 genesis abc");
	assert_true(UNTIL(b, follower_chain(b->follower)->known, 1000));
	char *text = metrics_text(b->metrics, &len);
	assert_non_null(strstr(text, "\nmulticlaw_follow_lease 1"));
	assert_non_null(strstr(text, "\nmulticlaw_chain_slot 42"));
	assert_non_null(strstr(text, "\nmulticlaw_chain_age_seconds "));
	assert_non_null(strstr(text, "\nmulticlaw_follow_restarts_total 1"));
	assert_non_null(strstr(text, "\nmulticlaw_events_total 0"));
	free(text);
}

static void may_be_destroyed_with_a_read_under_way(void **state)
{
	struct bench *b = *state;
	uint64_t before = reads(b);

	kill(b->fixture.pid, SIGSTOP);
	assert_true(UNTIL(b, reads(b) > before, 1000));
	follower_destroy(&b->follower);
	kill(b->fixture.pid, SIGCONT);
	loop_for(b->base, 50);
	follow(b);
	assert_true(UNTIL(b, follower_has_lease(b->follower), 1000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		gives_no_lease_before_a_history_has_settled, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		reads_at_once_and_then_each_250_ms, setup_following, teardown),
	    cmocka_unit_test_setup_teardown(
		is_ready_at_once_in_a_settled_history, setup_following, teardown),
	    cmocka_unit_test_setup_teardown(
		brings_each_event_once_and_in_order, setup_following, teardown),
	    cmocka_unit_test_setup_teardown(
		tells_an_event_as_enforced_once_what_it_began_is_over, setup_following, teardown),
	    cmocka_unit_test_setup_teardown(
		outside_an_event_nothing_is_held, setup_following, teardown),
	    cmocka_unit_test_setup_teardown(
		the_bell_brings_the_read_forward_and_marks, setup_following, teardown),
	    cmocka_unit_test_setup_teardown(
		what_is_marked_already_waits_for_those_who_look, setup_following, teardown),
	    cmocka_unit_test_setup_teardown(
		its_own_writes_are_read_at_once, setup_following, teardown),
	    cmocka_unit_test_setup_teardown(
		nonsense_on_the_bell_is_ignored, setup_following, teardown),
	    cmocka_unit_test_setup_teardown(
		a_flood_on_the_bell_is_no_flood_on_redis, setup_following, teardown),
	    cmocka_unit_test_setup_teardown(
		a_backlog_is_read_without_waiting, setup_following, teardown),
	    cmocka_unit_test_setup_teardown(
		a_redis_that_hangs_costs_the_lease_and_no_event, setup_following, teardown),
	    cmocka_unit_test_setup_teardown(
		a_new_redis_process_is_a_new_history, setup_following, teardown),
	    cmocka_unit_test_setup_teardown(
		tells_a_redis_that_lost_what_was_written, setup_following, teardown),
	    cmocka_unit_test_setup_teardown(
		knows_the_chain_and_redis_clock, setup_following, teardown),
	    cmocka_unit_test_setup_teardown(measures_itself, setup_following, teardown),
	    cmocka_unit_test_setup_teardown(
		may_be_destroyed_with_a_read_under_way, setup_following, teardown),
	};

	signal(SIGPIPE, SIG_IGN);
	bug_if(sodium_init() < 0);
	log_open("test", "test", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
