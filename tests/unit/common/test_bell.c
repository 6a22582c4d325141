#include "tests/unit/common/bus_world.h"

#include <msgpack.h>

/* What a bell heard. */
struct ear {
	struct bell *bell;
	unsigned heard;
	char history[64], id[64], asset[64];
	bool no_asset;
};

static void on_heard(void *arg, const char *history, const char *event_id, const char *asset)
{
	struct ear *ear = arg;

	ear->heard++;
	ear->no_asset = asset == NULL;
	snprintf(ear->history, sizeof(ear->history), "%s", history);
	snprintf(ear->id, sizeof(ear->id), "%s", event_id);
	snprintf(ear->asset, sizeof(ear->asset), "%s", asset ? asset : "");
}

struct tower {
	struct world world;
	char oracle[96], session[96];
	struct ear ringer, listener;
};

static void open_ear(struct tower *tower, struct ear *ear, enum who who, const char *bind)
{
	struct error err = {0};
	const char *others[] = {tower->oracle, tower->session};

	ear->bell = bell_new(world_bus(&tower->world, who), bind, others, 2, on_heard, ear, &err);
	if (!ear->bell)
		fail_msg("%s", err.text);
}

static int open_tower(void **state)
{
	struct tower *tower = calloc(1, sizeof(*tower));

	world_open(&tower->world);
	world_address(&tower->world, "oracle.bell", tower->oracle);
	world_address(&tower->world, "session.bell", tower->session);
	open_ear(tower, &tower->ringer, ORACLE, tower->oracle);
	open_ear(tower, &tower->listener, ROUTER, NULL);
	*state = tower;
	return 0;
}

static int close_tower(void **state)
{
	struct tower *tower = *state;

	bell_destroy(&tower->ringer.bell);
	bell_destroy(&tower->listener.bell);
	world_close(&tower->world);
	free(tower);
	return 0;
}

#define ASSET "CoREENxT6tW1HoK8ypY1SxRMZTcVPm7R94rH4PZNhX7d"

/* Rings until it is heard: what was rung before a listener joined is lost. */
static bool ring_until_heard(struct tower *tower, struct bell *bell, struct ear *ear, unsigned ms)
{
	unsigned before = ear->heard;
	uint64_t end = clock_boot_ms() + ms;

	while (ear->heard == before && clock_boot_ms() < end) {
		bell_ring(bell, "history", "12-3", ASSET);
		world_run(&tower->world, 10);
	}
	return ear->heard > before;
}

static void is_heard_by_every_daemon(void **state)
{
	struct tower *tower = *state;
	struct ear session = {0};

	assert_true(ring_until_heard(tower, tower->ringer.bell, &tower->listener, 3000));
	assert_string_equal(tower->listener.history, "history");
	assert_string_equal(tower->listener.id, "12-3");
	assert_string_equal(tower->listener.asset, ASSET);
	assert_int_equal(tower->ringer.heard, 0);
	open_ear(tower, &session, SESSION, tower->session);
	assert_true(ring_until_heard(tower, tower->ringer.bell, &session, 3000));
	assert_true(ring_until_heard(tower, session.bell, &tower->listener, 5000));
	assert_true(ring_until_heard(tower, session.bell, &tower->ringer, 5000));
	bell_destroy(&session.bell);
}

static void tells_of_everything_and_of_an_unknown_asset(void **state)
{
	struct tower *tower = *state;

	assert_true(ring_until_heard(tower, tower->ringer.bell, &tower->listener, 3000));
	unsigned before = tower->listener.heard;
	bell_ring(tower->ringer.bell, "h", "1-1", "*");
	assert_true(WORLD_UNTIL(&tower->world, 2000, tower->listener.heard > before));
	world_run(&tower->world, 20);
	assert_string_equal(tower->listener.asset, "*");
	before = tower->listener.heard;
	bell_ring(tower->ringer.bell, "h", "1-2", NULL);
	assert_true(WORLD_UNTIL(&tower->world, 2000, tower->listener.heard > before));
	assert_true(tower->listener.no_asset);
}

static void a_listener_may_ring_and_nothing_happens(void **state)
{
	struct tower *tower = *state;

	bell_ring(tower->listener.bell, "h", "1-1", ASSET);
	world_run(&tower->world, 50);
	assert_int_equal(tower->ringer.heard, 0);
}

static void a_ringer_that_comes_back_is_heard_again(void **state)
{
	struct tower *tower = *state;

	assert_true(ring_until_heard(tower, tower->ringer.bell, &tower->listener, 3000));
	bell_destroy(&tower->ringer.bell);
	world_run(&tower->world, 300);
	open_ear(tower, &tower->ringer, ORACLE, tower->oracle);
	assert_true(ring_until_heard(tower, tower->ringer.bell, &tower->listener, 5000));
}

/* ---- a subscriber and a publisher that are not ours ---- */

struct raw {
	void *context, *socket;
};

static void raw_open(
    struct raw *raw, int type, const struct world *world, enum who who, const char *server_key)
{
	int linger = 0, yes = 1;

	raw->context = zmq_ctx_new();
	raw->socket = zmq_socket(raw->context, type);
	zmq_setsockopt(raw->socket, ZMQ_LINGER, &linger, sizeof(linger));
	if (type == ZMQ_SUB)
		zmq_setsockopt(raw->socket, ZMQ_SUBSCRIBE, "", 0);
	else
		zmq_setsockopt(raw->socket, ZMQ_CURVE_SERVER, &yes, sizeof(yes));
	if (server_key) {
		zmq_setsockopt(raw->socket, ZMQ_CURVE_SERVERKEY, server_key, Z85_KEY_LEN);
		zmq_setsockopt(raw->socket, ZMQ_CURVE_PUBLICKEY, world->public[who], Z85_KEY_LEN);
	}
	zmq_setsockopt(raw->socket, ZMQ_CURVE_SECRETKEY, world->secret[who], Z85_KEY_LEN);
}

static void raw_close(struct raw *raw)
{
	zmq_close(raw->socket);
	zmq_ctx_term(raw->context);
}

static bool raw_hears(struct tower *tower, struct raw *raw, unsigned ms)
{
	uint64_t end = clock_boot_ms() + ms;
	char buf[512];

	while (clock_boot_ms() < end) {
		bell_ring(tower->ringer.bell, "h", "1-1", ASSET);
		world_run(&tower->world, 5);
		if (zmq_recv(raw->socket, buf, sizeof(buf), ZMQ_DONTWAIT) > 0)
			return true;
	}
	return false;
}

static void is_not_heard_by_strangers_or_operators(void **state)
{
	struct tower *tower = *state;
	struct raw stranger, clerk, daemon;
	const char *key = tower->world.public[ORACLE];

	raw_open(&stranger, ZMQ_SUB, &tower->world, STRANGER, key);
	raw_open(&clerk, ZMQ_SUB, &tower->world, OPERATOR, key);
	raw_open(&daemon, ZMQ_SUB, &tower->world, AUTH, key);
	assert_int_equal(zmq_connect(stranger.socket, tower->oracle), 0);
	assert_int_equal(zmq_connect(clerk.socket, tower->oracle), 0);
	assert_int_equal(zmq_connect(daemon.socket, tower->oracle), 0);
	assert_true(raw_hears(tower, &daemon, 3000));
	assert_false(raw_hears(tower, &stranger, 300));
	assert_false(raw_hears(tower, &clerk, 300));
	raw_close(&stranger);
	raw_close(&clerk);
	raw_close(&daemon);
}

static void a_key_taken_off_the_list_hears_nothing_more_and_the_others_do(void **state)
{
	struct tower *tower = *state;
	struct raw daemon;

	raw_open(&daemon, ZMQ_SUB, &tower->world, AUTH, tower->world.public[ORACLE]);
	assert_int_equal(zmq_connect(daemon.socket, tower->oracle), 0);
	assert_true(raw_hears(tower, &daemon, 3000));
	assert_true(ring_until_heard(tower, tower->ringer.bell, &tower->listener, 3000));
	world_list(&tower->world, EVERYBODY & ~(1U << AUTH));
	/* looked at every second, and the bell a second later */
	world_run(&tower->world, 2300);
	char buf[512];
	while (zmq_recv(daemon.socket, buf, sizeof(buf), ZMQ_DONTWAIT) > 0)
		;
	assert_false(raw_hears(tower, &daemon, 700));
	assert_true(ring_until_heard(tower, tower->ringer.bell, &tower->listener, 5000));
	raw_close(&daemon);
}

static void nobody_hears_when_the_zap_handler_is_gone(void **state)
{
	struct tower *tower = *state;
	struct raw daemon;

	bus_zap_close(tower->world.bus[ORACLE]);
	raw_open(&daemon, ZMQ_SUB, &tower->world, AUTH, tower->world.public[ORACLE]);
	assert_int_equal(zmq_connect(daemon.socket, tower->oracle), 0);
	assert_false(raw_hears(tower, &daemon, 700));
	raw_close(&daemon);
}

static void drops_what_is_not_a_bell(void **state)
{
	struct tower *tower = *state;
	struct raw raw;
	static const struct {
		const char *bytes;
		size_t len;
	} wrong[] = {
	    {"", 0},
	    {"\x80", 1},
	    {"\xc1", 1},
	    {"\xdf\xff\xff\xff\xff", 5},
	    {"\x82\xa7history\xa1h\xa2id\xa3"
	     "1-x",
		18},
	    {"\x82\xa7history\xa0\xa2id\xa3"
	     "1-1",
		17},
	    {"\x82\xa7history\xa1h\xa2id\xa3"
	     "1-1!",
		19},
	    {"\x83\xa7history\xa1h\xa2id\xa3"
	     "1-1\xa5other\x01",
		25},
	};
	static const char right[] = "\x82\xa7history\xa1h\xa2id\xa3"
				    "1-1";

	/* somebody with session's key publishes at session's address */
	raw_open(&raw, ZMQ_PUB, &tower->world, SESSION, NULL);
	assert_int_equal(zmq_bind(raw.socket, tower->session), 0);
	uint64_t end = clock_boot_ms() + 5000;
	while (tower->listener.heard == 0 && clock_boot_ms() < end) {
		zmq_send(raw.socket, right, sizeof(right) - 1, ZMQ_DONTWAIT);
		world_run(&tower->world, 10);
	}
	assert_true(tower->listener.heard > 0);
	assert_true(tower->listener.no_asset);
	world_run(&tower->world, 100);
	unsigned before = tower->listener.heard;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		zmq_send(raw.socket, wrong[i].bytes, wrong[i].len, ZMQ_DONTWAIT);
	zmq_send(raw.socket, right, sizeof(right) - 1, ZMQ_SNDMORE);
	zmq_send(raw.socket, right, sizeof(right) - 1, 0);
	world_run(&tower->world, 200);
	assert_int_equal(tower->listener.heard, before);
	zmq_send(raw.socket, right, sizeof(right) - 1, ZMQ_DONTWAIT);
	assert_true(WORLD_UNTIL(&tower->world, 2000, tower->listener.heard == before + 1));
	raw_close(&raw);
}

static void a_publisher_whose_key_is_not_listed_is_not_heard(void **state)
{
	struct tower *tower = *state;
	struct raw raw;
	static const char right[] = "\x82\xa7history\xa1h\xa2id\xa3"
				    "1-1";

	raw_open(&raw, ZMQ_PUB, &tower->world, STRANGER, NULL);
	assert_int_equal(zmq_bind(raw.socket, tower->session), 0);
	uint64_t end = clock_boot_ms() + 1500;
	while (clock_boot_ms() < end) {
		zmq_send(raw.socket, right, sizeof(right) - 1, ZMQ_DONTWAIT);
		world_run(&tower->world, 10);
	}
	assert_int_equal(tower->listener.heard, 0);
	raw_close(&raw);
}

static void a_bell_that_cannot_bind_says_so(void **state)
{
	struct tower *tower = *state;
	struct error err = {0};

	assert_null(bell_new(tower->world.bus[ORACLE], "ipc:///nonexistent/folder/bell", NULL, 0,
	    on_heard, NULL, &err));
	assert_int_equal(err.code, ERR_UNAVAILABLE);
}

int main(void)
{
#define TOWER(test) cmocka_unit_test_setup_teardown(test, open_tower, close_tower)
	const struct CMUnitTest tests[] = {
	    TOWER(is_heard_by_every_daemon),
	    TOWER(tells_of_everything_and_of_an_unknown_asset),
	    TOWER(a_listener_may_ring_and_nothing_happens),
	    TOWER(a_ringer_that_comes_back_is_heard_again),
	    TOWER(is_not_heard_by_strangers_or_operators),
	    TOWER(a_key_taken_off_the_list_hears_nothing_more_and_the_others_do),
	    TOWER(nobody_hears_when_the_zap_handler_is_gone),
	    TOWER(drops_what_is_not_a_bell),
	    TOWER(a_publisher_whose_key_is_not_listed_is_not_heard),
	    TOWER(a_bell_that_cannot_bind_says_so),
	};

	log_open("test", "test-1", getenv("V") ? LOG_DEBUG : LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
