#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <sodium.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/log.h"
#include "common/redis.h"
#include "tests/unit/common/redis_fixture.h"

#define TIMEOUT_MS 300

struct told {
	int times;
	bool done;
	bool ok;
	enum error_code code;
	char text[ERROR_TEXT_MAX];
	char reply[64];
	long long integer;
	struct redis **destroy; /* from inside the callback */
};

static void on_done(void *arg, const redisReply *reply, const struct error *err)
{
	struct told *told = arg;

	told->times++;
	told->done = true;
	told->ok = reply != NULL;
	assert_true((reply != NULL) != (err != NULL));
	if (err) {
		told->code = err->code;
		snprintf(told->text, sizeof(told->text), "%s", err->text);
	}
	if (reply) {
		snprintf(told->reply, sizeof(told->reply), "%s", reply->str ? reply->str : "");
		told->integer = reply->integer;
	}
	if (told->destroy)
		redis_destroy(told->destroy);
}

static void say(struct redis *redis, struct told *told, int argc, const char *const *argv)
{
	redis_command(redis, argc, argv, NULL, on_done, told);
}
#define SAY(redis, told, ...) \
	say(redis, told, (int)ARRAY_LEN(((const char *const[]){__VA_ARGS__})), \
	    (const char *const[]){__VA_ARGS__})

struct bench {
	struct redis_fixture fixture;
	struct event_base *base;
	struct redis *redis;
};

static bool wait_ready(struct event_base *base, struct redis *redis, bool wanted, uint64_t ms)
{
	uint64_t until = fixture_now_ms() + ms;

	while (redis_is_ready(redis) != wanted && fixture_now_ms() < until)
		loop_for(base, 5);
	return redis_is_ready(redis) == wanted;
}

static struct redis *connect_as(struct bench *b, const char *user, const char *password)
{
	struct secret *secret = password ? secret_new(password, strlen(password)) : NULL;
	struct redis *redis =
	    redis_new(b->base, b->fixture.address, user, secret, TIMEOUT_MS, NULL);

	secret_destroy(&secret);
	assert_non_null(redis);
	return redis;
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	fixture_start(&b->fixture);
	b->base = event_base_new();
	b->redis = connect_as(b, NULL, NULL);
	assert_true(wait_ready(b->base, b->redis, true, 5000));
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	redis_destroy(&b->redis);
	event_base_free(b->base);
	fixture_stop(&b->fixture);
	free(b);
	return 0;
}

static void answers_commands_in_order_and_never_from_inside(void **state)
{
	struct bench *b = *state;
	struct told first = {0}, second = {0};

	SAY(b->redis, &first, "SET", "key", "value");
	SAY(b->redis, &second, "GET", "key");
	assert_int_equal(first.times + second.times, 0);
	assert_true(loop_until(b->base, &second.done, 2000));
	assert_string_equal(first.reply, "OK");
	assert_string_equal(second.reply, "value");
}

static void carries_bytes_of_any_kind(void **state)
{
	struct bench *b = *state;
	struct told told = {0};
	const char *argv[] = {"SET", "k", "a\0b\r\n"};
	size_t lens[] = {3, 1, 5};

	redis_command(b->redis, 3, argv, lens, on_done, &told);
	argv[2] = "copied before";
	assert_true(loop_until(b->base, &told.done, 2000));
	struct told len = {0};
	SAY(b->redis, &len, "STRLEN", "k");
	assert_true(loop_until(b->base, &len.done, 2000));
	assert_int_equal(len.integer, 5);
}

static void passes_on_what_redis_calls_an_error(void **state)
{
	struct bench *b = *state;
	struct told told = {0};

	SAY(b->redis, &told, "NOSUCH");
	assert_true(loop_until(b->base, &told.done, 2000));
	assert_false(told.ok);
	assert_int_equal(told.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(told.text, "unknown command"));
}

static void queues_nothing_for_a_dead_redis(void **state)
{
	struct bench *b = *state;
	struct told told = {0};

	fixture_kill(&b->fixture);
	assert_true(wait_ready(b->base, b->redis, false, 2000));
	SAY(b->redis, &told, "SET", "ghost", "1");
	assert_int_equal(told.times, 0);
	loop_for(b->base, 1);
	assert_int_equal(told.times, 1);
	assert_int_equal(told.code, ERR_UNAVAILABLE);
	fixture_up(&b->fixture);
	assert_true(wait_ready(b->base, b->redis, true, 5000));
	struct told after = {0};
	SAY(b->redis, &after, "EXISTS", "ghost");
	assert_true(loop_until(b->base, &after.done, 2000));
	assert_int_equal(after.integer, 0);
}

static void ends_what_is_under_way_when_the_connection_dies(void **state)
{
	struct bench *b = *state;
	struct told told[3] = {0};

	kill(b->fixture.pid, SIGSTOP);
	for (size_t i = 0; i < ARRAY_LEN(told); i++)
		SAY(b->redis, &told[i], "PING");
	loop_for(b->base, 20);
	assert_int_equal(told[0].times, 0);
	fixture_kill(&b->fixture);
	assert_true(loop_until(b->base, &told[2].done, 2000));
	for (size_t i = 0; i < ARRAY_LEN(told); i++) {
		assert_int_equal(told[i].times, 1);
		assert_int_equal(told[i].code, ERR_UNAVAILABLE);
	}
	fixture_up(&b->fixture);
}

static void gives_up_on_a_redis_that_does_not_answer(void **state)
{
	struct bench *b = *state;
	struct told told = {0};

	kill(b->fixture.pid, SIGSTOP);
	uint64_t began = fixture_now_ms();
	SAY(b->redis, &told, "PING");
	assert_true(loop_until(b->base, &told.done, 3000));
	assert_in_range(fixture_now_ms() - began, TIMEOUT_MS - 50, TIMEOUT_MS + 700);
	assert_int_equal(told.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(told.text, "no answer in time"));
	/* the kernel accepts for it: only the handshake's own timer notices */
	loop_for(b->base, 2 * TIMEOUT_MS);
	assert_false(redis_is_ready(b->redis));
	kill(b->fixture.pid, SIGCONT);
	assert_true(wait_ready(b->base, b->redis, true, 5000));
}

static void refuses_more_than_ten_thousand_under_way(void **state)
{
	struct bench *b = *state;
	struct told told = {0}, last = {0};

	kill(b->fixture.pid, SIGSTOP);
	for (int i = 0; i < 10000; i++)
		SAY(b->redis, &told, "PING");
	SAY(b->redis, &last, "PING");
	assert_true(loop_until(b->base, &last.done, 100));
	assert_int_equal(last.code, ERR_BUSY);
	assert_int_equal(told.times, 0);
	kill(b->fixture.pid, SIGCONT);
	uint64_t until = fixture_now_ms() + 5000;
	while (told.times < 10000 && fixture_now_ms() < until)
		loop_for(b->base, 10);
	assert_int_equal(told.times, 10000);
}

static void loads_a_script_once_and_again_when_redis_forgot_it(void **state)
{
	struct bench *b = *state;
	static const char text[] = "return redis.call('INCR', 'runs') + ARGV[1]";
	const char *argv[] = {"1000"};

	for (int round = 1; round <= 2; round++) {
		struct told told[2] = {0};
		redis_script(b->redis, NULL, text, 1, argv, NULL, on_done, &told[0]);
		redis_script(b->redis, NULL, text, 1, argv, NULL, on_done, &told[1]);
		assert_true(loop_until(b->base, &told[1].done, 2000));
		assert_int_equal(told[0].integer, 1000 + 2 * round - 1);
		assert_int_equal(told[1].integer, 1000 + 2 * round);
		fixture_say(&b->fixture, "SCRIPT FLUSH");
	}
}

static void tells_of_a_script_that_fails(void **state)
{
	struct bench *b = *state;
	struct told told = {0};

	redis_script(b->redis, NULL, "return redis.error_reply('NOSCRIPT for ever')", 0, NULL, NULL,
	    on_done, &told);
	assert_true(loop_until(b->base, &told.done, 2000));
	assert_int_equal(told.times, 1);
	assert_non_null(strstr(told.text, "NOSCRIPT for ever"));
}

static void ends_everything_before_destroy_returns(void **state)
{
	struct bench *b = *state;
	struct told sent = {0}, failed = {0};
	struct redis *redis = connect_as(b, NULL, NULL);

	SAY(redis, &failed, "PING");
	assert_true(wait_ready(b->base, redis, true, 2000));
	SAY(redis, &sent, "PING");
	redis_destroy(&redis);
	assert_null(redis);
	assert_int_equal(sent.times, 1);
	assert_int_equal(sent.code, ERR_UNAVAILABLE);
	assert_int_equal(failed.times, 1);
	loop_for(b->base, 20);
	assert_int_equal(sent.times, 1);
}

static void may_be_destroyed_from_inside_a_callback(void **state)
{
	struct bench *b = *state;
	struct redis *redis = connect_as(b, NULL, NULL);
	struct told refused = {.destroy = &redis}, second = {0};

	SAY(redis, &refused, "PING");
	SAY(redis, &second, "PING");
	assert_true(loop_until(b->base, &refused.done, 2000));
	assert_null(redis);
	assert_int_equal(second.times, 1);

	redis = connect_as(b, NULL, NULL);
	assert_true(wait_ready(b->base, redis, true, 2000));
	struct told answered = {.destroy = &redis}, behind = {0};
	SAY(redis, &answered, "PING");
	SAY(redis, &behind, "PING");
	assert_true(loop_until(b->base, &answered.done, 2000));
	assert_true(answered.ok);
	assert_null(redis);
	assert_int_equal(behind.times, 1);
	assert_false(behind.ok);
	loop_for(b->base, 20);
}

static void refuses_a_redis_that_evicts(void **state)
{
	struct bench *b = *state;

	fixture_say(&b->fixture, "CONFIG SET maxmemory-policy allkeys-lru");
	struct redis *redis = connect_as(b, NULL, NULL);
	struct told told = {0};
	assert_false(wait_ready(b->base, redis, true, 300));
	SAY(redis, &told, "PING");
	assert_true(loop_until(b->base, &told.done, 2000));
	assert_int_equal(told.code, ERR_UNAVAILABLE);
	fixture_say(&b->fixture, "CONFIG SET maxmemory-policy noeviction");
	assert_true(wait_ready(b->base, redis, true, 5000));
	redis_destroy(&redis);
}

static void proves_itself_before_anything_else(void **state)
{
	struct bench *b = *state;

	fixture_say(&b->fixture, "ACL SETUSER router on >sesame +info +ping ~mc:*");
	fixture_say(&b->fixture, "ACL SETUSER default off");
	struct redis *wrong = connect_as(b, "router", "open");
	struct redis *nobody = connect_as(b, NULL, NULL);
	struct redis *right = connect_as(b, "router", "sesame");
	assert_true(wait_ready(b->base, right, true, 2000));
	assert_false(wait_ready(b->base, wrong, true, 200));
	assert_false(redis_is_ready(nobody));
	struct told told = {0};
	SAY(right, &told, "PING");
	assert_true(loop_until(b->base, &told.done, 2000));
	assert_string_equal(told.reply, "PONG");
	redis_destroy(&wrong);
	redis_destroy(&nobody);
	redis_destroy(&right);
}

/* Accepts, reads nothing, says what it is told to. */
struct liar {
	int fd;
	char path[80];
	const char *says;
	struct event *event;
	struct event_base *base;
	int connections[64];
	size_t nconnections;
};

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct liar *liar = arg;
	int conn = accept(fd, NULL, NULL);

	(void)what;
	assert_true(conn >= 0 && liar->nconnections < ARRAY_LEN(liar->connections));
	liar->connections[liar->nconnections++] = conn;
	if (liar->says)
		assert_true(send(conn, liar->says, strlen(liar->says), MSG_NOSIGNAL) >= 0);
}

static void liar_start(struct liar *liar, struct bench *b, const char *says)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	*liar = (struct liar){.says = says, .base = b->base};
	snprintf(liar->path, sizeof(liar->path), "%s/liar", b->fixture.dir);
	unlink(liar->path);
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", liar->path);
	liar->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(liar->fd, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(liar->fd, 8), 0);
	liar->event = event_new(b->base, liar->fd, EV_READ | EV_PERSIST, on_accept, liar);
	event_add(liar->event, NULL);
}

static void liar_stop(struct liar *liar)
{
	event_free(liar->event);
	close(liar->fd);
	for (size_t i = 0; i < liar->nconnections; i++)
		close(liar->connections[i]);
}

static void survives_a_server_that_talks_nonsense(void **state)
{
	struct bench *b = *state;
	static const char *const lies[] = {NULL, "HTTP/1.1 200 OK\r\n\r\n", "*-7\r\n",
	    "$999999999999\r\n", "$-5\r\nx", ":12\r\n",
	    "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
	    "+OK\r\n+OK\r\n+OK\r\n+OK\r\n", "-LOADING\r\n", "*2147483647\r\n",
	    "$16\r\nmaxmemory_policy\r\n",
	    "$29\r\nmaxmemory_policy:noeviction\r\n\r\n+MORE\r\n+MORE\r\n"};
	char address[100];

	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		struct liar liar;
		liar_start(&liar, b, lies[i]);
		snprintf(address, sizeof(address), "unix:%s", liar.path);
		struct redis *redis = redis_new(b->base, address, NULL, NULL, 50, NULL);
		loop_for(b->base, 120);
		assert_false(redis_is_ready(redis));
		assert_in_range(liar.nconnections, 1, 10);
		redis_destroy(&redis);
		liar_stop(&liar);
	}
}

static void takes_numeric_addresses_and_paths_only(void **state)
{
	struct bench *b = *state;
	static const struct {
		const char *address;
		bool good;
	} table[] = {{"unix:run/redis.sock", true}, {"127.0.0.1:6379", true}, {"[::1]:6379", true},
	    {"unix:", false}, {"", false}, {"localhost:6379", false}, {"127.0.0.1", false},
	    {"127.0.0.1:0", false}, {"127.0.0.1:65536", false}, {"127.0.0.1:6379x", false},
	    {"::1:6379", false}, {"[::1]6379", false}, {":6379", false}, {"[:6379", false},
	    {"[]:1", false}, {"]:1", false}};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct error err = {0};
		struct redis *redis = redis_new(b->base, table[i].address, NULL, NULL, 100, &err);
		if ((redis != NULL) != table[i].good)
			fail_msg("%s", table[i].address);
		assert_int_equal(err.code, table[i].good ? ERR_NONE : ERR_INVALID);
		redis_destroy(&redis);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		answers_commands_in_order_and_never_from_inside, setup, teardown),
	    cmocka_unit_test_setup_teardown(carries_bytes_of_any_kind, setup, teardown),
	    cmocka_unit_test_setup_teardown(passes_on_what_redis_calls_an_error, setup, teardown),
	    cmocka_unit_test_setup_teardown(queues_nothing_for_a_dead_redis, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		ends_what_is_under_way_when_the_connection_dies, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		gives_up_on_a_redis_that_does_not_answer, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		refuses_more_than_ten_thousand_under_way, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		loads_a_script_once_and_again_when_redis_forgot_it, setup, teardown),
	    cmocka_unit_test_setup_teardown(tells_of_a_script_that_fails, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		ends_everything_before_destroy_returns, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		may_be_destroyed_from_inside_a_callback, setup, teardown),
	    cmocka_unit_test_setup_teardown(refuses_a_redis_that_evicts, setup, teardown),
	    cmocka_unit_test_setup_teardown(proves_itself_before_anything_else, setup, teardown),
	    cmocka_unit_test_setup_teardown(survives_a_server_that_talks_nonsense, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		takes_numeric_addresses_and_paths_only, setup, teardown),
	};

	signal(SIGPIPE, SIG_IGN);
	bug_if(sodium_init() < 0);
	log_open("test", "test", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
