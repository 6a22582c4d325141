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
#define SENTINELS 3
#define PONG "+PONG\r\n"

/* Answers PING, and says what it is told to when it is asked for the primary. */
struct fake {
	int fd;
	char path[80], address[96];
	const char *says; /* NULL: nothing */
	size_t len;       /* 0: of the text */
	const char *pong;
	struct event *event;
	struct event_base *base;
	struct event *conns[64];
	size_t nconns, asked;
};

static void say(struct fake *fake, int conn)
{
	size_t len = fake->len ? fake->len : strlen(fake->says);

	/* of what is too much only a part is taken */
	(void)!send(conn, fake->says, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void on_question(evutil_socket_t conn, short what, void *arg)
{
	struct fake *fake = arg;
	char text[1024];
	ssize_t n = recv(conn, text, sizeof(text) - 1, MSG_DONTWAIT);

	(void)what;
	if (n <= 0) {
		for (size_t i = 0; i < fake->nconns; i++)
			if (fake->conns[i] && event_get_fd(fake->conns[i]) == conn) {
				event_free(fake->conns[i]);
				fake->conns[i] = NULL;
				close(conn);
			}
		return;
	}
	text[n] = '\0';
	if (strstr(text, "PING") && fake->pong)
		(void)!send(conn, fake->pong, strlen(fake->pong), MSG_NOSIGNAL);
	if (!strstr(text, "get-master-addr-by-name"))
		return;
	assert_non_null(strstr(text, "multiclaw"));
	fake->asked++;
	if (fake->says)
		say(fake, conn);
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct fake *fake = arg;
	int conn = accept(fd, NULL, NULL);

	(void)what;
	assert_true(conn >= 0 && fake->nconns < ARRAY_LEN(fake->conns));
	struct event *event = event_new(fake->base, conn, EV_READ | EV_PERSIST, on_question, fake);
	event_add(event, NULL);
	fake->conns[fake->nconns++] = event;
}

static void fake_start(struct fake *fake, struct event_base *base, const char *dir, size_t i)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	*fake = (struct fake){.base = base, .pong = PONG};
	snprintf(fake->path, sizeof(fake->path), "%s/sentinel-%zu", dir, i);
	snprintf(fake->address, sizeof(fake->address), "unix:%s", fake->path);
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", fake->path);
	fake->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(fake->fd, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(fake->fd, 8), 0);
	fake->event = event_new(base, fake->fd, EV_READ | EV_PERSIST, on_accept, fake);
	event_add(fake->event, NULL);
}

static void fake_stop(struct fake *fake)
{
	event_free(fake->event);
	close(fake->fd);
	unlink(fake->path);
	for (size_t i = 0; i < fake->nconns; i++) {
		if (!fake->conns[i])
			continue;
		close(event_get_fd(fake->conns[i]));
		event_free(fake->conns[i]);
	}
}

/* A Redis that may be a primary, on a port of its own. */
struct node {
	struct redis_fixture fixture;
	char port[8], said[64], address[32];
};

static void node_start(struct node *node)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	close(fd);
	memset(node, 0, sizeof(*node));
	snprintf(node->port, sizeof(node->port), "%u", ntohs(in.sin_port));
	snprintf(node->said, sizeof(node->said), "*2\r\n$9\r\n127.0.0.1\r\n$%zu\r\n%s\r\n",
	    strlen(node->port), node->port);
	snprintf(node->address, sizeof(node->address), "127.0.0.1:%s", node->port);
	const char *const extra[] = {
	    "--port", node->port, "--min-replicas-to-write", "1", "--min-replicas-max-lag", "1"};
	memcpy(node->fixture.extra, extra, sizeof(extra));
	fixture_start(&node->fixture);
}

struct bench {
	struct node a, b;
	struct fake fake[SENTINELS];
	struct event_base *base;
	struct metrics *metrics;
	struct redis *redis;
};

static struct redis *connect_all(struct bench *b)
{
	const char *addresses[SENTINELS];
	const struct redis_sentinel_list list = {addresses, SENTINELS, "multiclaw"};
	const struct redis_login login = {.timeout_ms = TIMEOUT_MS};

	for (size_t i = 0; i < SENTINELS; i++)
		addresses[i] = b->fake[i].address;
	struct redis *redis = redis_new_watched(b->base, &list, &login, b->metrics, NULL);
	assert_non_null(redis);
	return redis;
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	node_start(&b->a);
	node_start(&b->b);
	b->base = event_base_new();
	b->metrics = metrics_new();
	for (size_t i = 0; i < SENTINELS; i++)
		fake_start(&b->fake[i], b->base, b->a.fixture.dir, i);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	redis_destroy(&b->redis);
	for (size_t i = 0; i < SENTINELS; i++)
		fake_stop(&b->fake[i]);
	event_base_free(b->base);
	metrics_destroy(&b->metrics);
	fixture_stop(&b->a.fixture);
	fixture_stop(&b->b.fixture);
	free(b);
	return 0;
}

static void all_say(struct bench *b, const char *one, const char *two, const char *three)
{
	b->fake[0].says = one;
	b->fake[1].says = two;
	b->fake[2].says = three;
}

/* Is that the one that is used, and ready, within ms? */
static bool uses(struct bench *b, const struct node *node, uint64_t ms)
{
	uint64_t until = fixture_now_ms() + ms;

	while (fixture_now_ms() < until) {
		if (redis_is_ready(b->redis) && strcmp(redis_address(b->redis), node->address) == 0)
			return true;
		loop_for(b->base, 5);
	}
	return false;
}

static bool is_used_for(struct bench *b, uint64_t ms)
{
	uint64_t until = fixture_now_ms() + ms;

	while (!redis_is_ready(b->redis) && fixture_now_ms() < until)
		loop_for(b->base, 5);
	return redis_is_ready(b->redis);
}

static uint64_t counted(const struct bench *b, const char *name)
{
	return metric_value(metrics_counter(b->metrics, name, "", NULL));
}

static void goes_where_a_majority_says(void **state)
{
	struct bench *b = *state;

	all_say(b, b->b.said, b->a.said, b->a.said);
	b->redis = connect_all(b);
	assert_string_equal(redis_address(b->redis), "");
	assert_true(uses(b, &b->a, 3000));
	assert_int_equal(counted(b, "multiclaw_redis_failovers_total"), 0);
}

static void goes_nowhere_while_there_is_no_majority(void **state)
{
	struct bench *b = *state;

	all_say(b, b->b.said, b->a.said, NULL);
	b->redis = connect_all(b);
	assert_false(is_used_for(b, 700));
	assert_string_equal(redis_address(b->redis), "");
	all_say(b, b->a.said, NULL, NULL);
	assert_false(is_used_for(b, 700));
	all_say(b, "*-1\r\n", "*-1\r\n", "*-1\r\n"); /* no such primary */
	assert_false(is_used_for(b, 700));
	all_say(b, b->a.said, b->a.said, NULL);
	assert_true(uses(b, &b->a, 3000));
}

static void on_done(void *arg, const redisReply *reply, const struct error *err)
{
	char *text = arg;

	snprintf(text, ERROR_TEXT_MAX, "%s", err ? err->text : reply->str);
}

static void follows_the_primary_and_never_has_two(void **state)
{
	struct bench *b = *state;
	const char *blocked[] = {"BLPOP", "nothing", "0"};
	char told[ERROR_TEXT_MAX] = "";

	all_say(b, b->a.said, b->a.said, b->a.said);
	b->redis = connect_all(b);
	assert_true(uses(b, &b->a, 3000));
	fixture_say(&b->a.fixture, "CONFIG SET min-replicas-to-write 0"); /* for BLPOP */
	redis_command(b->redis, 3, blocked, NULL, on_done, told);
	/* one is not enough, whatever it says */
	all_say(b, b->b.said, b->a.said, b->a.said);
	loop_for(b->base, 150);
	assert_string_equal(redis_address(b->redis), b->a.address);
	all_say(b, b->b.said, b->b.said, b->a.said);
	assert_true(uses(b, &b->b, 3000));
	assert_non_null(strstr(told, "redis: "));
	assert_int_equal(counted(b, "multiclaw_redis_failovers_total"), 1);
	/* of the old one nothing is left but who asks here */
	redisContext *client = fixture_client(&b->a.fixture);
	redisReply *reply = redisCommand(client, "CLIENT LIST TYPE normal");
	assert_null(strchr(strchr(reply->str, '\n') + 1, '\n'));
	freeReplyObject(reply);
	redisFree(client);
}

static void stays_when_the_sentinels_are_gone_or_silent(void **state)
{
	struct bench *b = *state;

	all_say(b, b->a.said, b->a.said, b->a.said);
	b->redis = connect_all(b);
	assert_true(uses(b, &b->a, 3000));
	all_say(b, NULL, NULL, NULL);
	loop_for(b->base, 4 * TIMEOUT_MS);
	assert_true(redis_is_ready(b->redis));
	/* they are asked again on new connections */
	all_say(b, NULL, b->b.said, b->b.said);
	assert_true(uses(b, &b->b, 3000));
	assert_in_range(b->fake[0].nconns, 2, 20);
}

static void comes_back_to_a_primary_that_was_away(void **state)
{
	struct bench *b = *state;

	all_say(b, b->a.said, b->a.said, b->a.said);
	b->redis = connect_all(b);
	assert_true(uses(b, &b->a, 3000));
	fixture_kill(&b->a.fixture);
	loop_for(b->base, 300);
	assert_false(redis_is_ready(b->redis));
	fixture_up(&b->a.fixture);
	assert_true(uses(b, &b->a, 3000));
	assert_int_equal(counted(b, "multiclaw_redis_failovers_total"), 0);
}

/* It is asked again and again: what is mended is taken. */
static void refuses_what_is_no_primary_or_goes_on_without_replicas(void **state)
{
	struct bench *b = *state;
	static const struct {
		const char *spoil, *mend;
	} table[] = {
	    {"REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"},
	    {"CONFIG SET min-replicas-to-write 0", "CONFIG SET min-replicas-to-write 1"},
	    {"CONFIG SET min-replicas-max-lag 0", "CONFIG SET min-replicas-max-lag 1"},
	    {"CONFIG SET maxmemory-policy allkeys-lru", "CONFIG SET maxmemory-policy noeviction"},
	};

	all_say(b, b->a.said, b->a.said, b->a.said);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		fixture_say(&b->a.fixture, table[i].spoil);
		b->redis = connect_all(b);
		if (is_used_for(b, 500))
			fail_msg("%s", table[i].spoil);
		fixture_say(&b->a.fixture, table[i].mend);
		assert_true(uses(b, &b->a, 3000));
		redis_destroy(&b->redis);
		loop_for(b->base, 20);
	}
}

static void believes_no_sentinel_more_than_an_address(void **state)
{
	struct bench *b = *state;
	static const char *const lies[] = {"*2\r\n$9\r\nlocalhost\r\n$4\r\n6379\r\n",
	    "*2\r\n$9\r\n127.0.0.1\r\n$1\r\n0\r\n", "*2\r\n$9\r\n127.0.0.1\r\n$5\r\n65536\r\n",
	    "*2\r\n$9\r\n127.0.0.1\r\n$2\r\n\"x\r\n", "*2\r\n$9\r\n127.0.0.1\r\n:6379\r\n",
	    "*2\r\n$0\r\n\r\n$0\r\n\r\n", "*1\r\n$9\r\n127.0.0.1\r\n", "*0\r\n", "*-1\r\n",
	    "*3\r\n$9\r\n127.0.0.1\r\n$4\r\n6379\r\n$1\r\nx\r\n", "*2\r\n$-1\r\n$-1\r\n",
	    "*2147483647\r\n", "*3000000\r\n", "*2\r\n*2\r\n*2\r\n*2\r\n", "*2\r\n*1000000\r\n",
	    "$14\r\n127.0.0.1:6379\r\n", "+OK\r\n", ":1\r\n", "-IDONTKNOW\r\n", "$999999999999\r\n",
	    "*2\r\n$52\r\n0000000000000000000000000000000000000000000000000000\r\n$4\r\n6379\r\n",
	    "HTTP/1.1 200 OK\r\n\r\n", "*2\r\n$16\r\nunix:/tmp/a\0b:cde\r\n$1\r\n1\r\n"};

	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		all_say(b, lies[i], lies[i], lies[i]);
		b->redis = connect_all(b);
		loop_for(b->base, 150);
		if (redis_address(b->redis)[0] || b->fake[0].asked == 0)
			fail_msg("%zu: %s", i, lies[i]);
		/* two that are honest are enough */
		all_say(b, lies[i], b->a.said, b->a.said);
		assert_true(uses(b, &b->a, 3000));
		redis_destroy(&b->redis);
		loop_for(b->base, 10);
		b->fake[0].asked = 0;
		for (size_t k = 0; k < SENTINELS; k++) {
			fake_stop(&b->fake[k]);
			fake_start(&b->fake[k], b->base, b->a.fixture.dir, k);
		}
	}
}

/* More than its one answer is not collected: the connection ends. */
static void keeps_little_of_what_a_sentinel_says(void **state)
{
	struct bench *b = *state;
	static char flood[100000];

	memset(flood, 'x', sizeof(flood));
	memcpy(flood, "*2\r\n$900000000\r\n", 15);
	all_say(b, flood, b->a.said, b->a.said);
	b->fake[0].len = sizeof(flood);
	b->redis = connect_all(b);
	assert_true(uses(b, &b->a, 3000));
	size_t before = b->fake[0].nconns;
	loop_for(b->base, TIMEOUT_MS - 50);
	/* long before it would be late */
	assert_true(b->fake[0].nconns > before);
}

static void refuses_a_sentinel_that_does_not_prove_itself(void **state)
{
	struct bench *b = *state;

	all_say(b, b->a.said, b->a.said, b->a.said);
	for (size_t i = 0; i < 2; i++)
		b->fake[i].pong = i ? NULL : "-NOAUTH Authentication required.\r\n";
	b->redis = connect_all(b);
	assert_false(is_used_for(b, 700));
	assert_int_equal(b->fake[0].asked + b->fake[1].asked, 0);
	b->fake[0].pong = PONG;
	assert_true(uses(b, &b->a, 3000));
}

static void refuses_a_list_in_which_one_has_two_votes(void **state)
{
	struct bench *b = *state;
	const struct redis_login login = {.timeout_ms = TIMEOUT_MS};
	const char *const twice[] = {"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:1"};
	const char *const named[] = {"127.0.0.1:1", "sentinel:2"};
	const struct redis_sentinel_list lists[] = {
	    {twice, 3, "m"}, {named, 2, "m"}, {NULL, 0, "m"}};

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		struct error err = {0};
		assert_null(redis_new_watched(b->base, &lists[i], &login, b->metrics, &err));
		assert_int_equal(err.code, ERR_INVALID);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(goes_where_a_majority_says),
	    TEST(goes_nowhere_while_there_is_no_majority),
	    TEST(follows_the_primary_and_never_has_two),
	    TEST(stays_when_the_sentinels_are_gone_or_silent),
	    TEST(comes_back_to_a_primary_that_was_away),
	    TEST(refuses_what_is_no_primary_or_goes_on_without_replicas),
	    TEST(believes_no_sentinel_more_than_an_address),
	    TEST(keeps_little_of_what_a_sentinel_says),
	    TEST(refuses_a_sentinel_that_does_not_prove_itself),
	    TEST(refuses_a_list_in_which_one_has_two_votes),
	};

	signal(SIGPIPE, SIG_IGN);
	bug_if(sodium_init() < 0);
	log_open("test", "test", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
