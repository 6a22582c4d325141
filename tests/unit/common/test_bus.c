#include "tests/unit/common/curve_peer.h"

#include <msgpack.h>

#define test_echo_REQ(F, M) F(M, STR, text, 0, 1000, MAY, "comes back")
#define test_echo_RSP(F, M) F(M, STR, text, 0, 1000, MAY, "what came")
#define test_write_REQ(F, M) F(M, UINT, value, 0, 1000, MUST, "counted")
#define test_write_RSP(F, M) F(M, UINT, value, 0, 10, MUST, "a value over 10 breaks the reply")
#define test_park_REQ(F, M) PROTO_EMPTY(F, M)
#define test_park_RSP(F, M) PROTO_EMPTY(F, M)
#define test_hold_REQ(F, M) PROTO_EMPTY(F, M)
#define test_hold_RSP(F, M) PROTO_EMPTY(F, M)
#define test_deny_REQ(F, M) F(M, STR, why, 0, 300, MAY, "of the refusal")
#define test_deny_RSP(F, M) PROTO_EMPTY(F, M)
#define test_auth_REQ(F, M) PROTO_EMPTY(F, M)
#define test_auth_RSP(F, M) PROTO_EMPTY(F, M)
#define TEST_CALLS(C) \
	C(test, echo, ROLE_ROUTER | ROLE_SESSION, READ, "Answers.") \
	C(test, write, ROLE_ROUTER, ONCE, "Counts.") \
	C(test, park, ROLE_ROUTER, READ, "Is never answered.") \
	C(test, hold, ROLE_ROUTER, ONCE, "Is never answered.") \
	C(test, deny, ROLE_ROUTER, ONCE, "Is refused.") \
	C(test, auth, ROLE_AUTH, READ, "Is for auth.")
TEST_CALLS(PROTO_DECLARE)
TEST_CALLS(PROTO_DEFINE)

#define PARKED_MAX 8

/* A server of the test's calls. */
struct test {
	struct bus_server *server;
	char address[96];
	unsigned echoes, writes, parks, holds, auths;
	uint64_t written;
	unsigned caller;
	char trace[TRACE_LEN + 1];
	struct bus_request *parked[64];
	size_t nparked;
};

static void test_echo(
    struct test *test, const struct test_echo_req *req, struct bus_request *request)
{
	struct test_echo_rsp rsp = {0};

	test->echoes++;
	test->caller = bus_request_caller(request);
	snprintf(test->trace, sizeof(test->trace), "%s", bus_request_trace(request));
	snprintf(rsp.text, sizeof(rsp.text), "%s", req->text);
	bus_reply(request, &rsp);
}
static void test_write(
    struct test *test, const struct test_write_req *req, struct bus_request *request)
{
	struct test_write_rsp rsp = {req->value};

	test->writes++;
	test->written += req->value;
	bus_reply(request, &rsp);
}
static void park(struct test *test, struct bus_request *request)
{
	assert_true(test->nparked < ARRAY_LEN(test->parked));
	test->parked[test->nparked++] = request;
}
static void test_park(
    struct test *test, const struct test_park_req *req, struct bus_request *request)
{
	(void)req;
	test->parks++;
	park(test, request);
}
static void test_hold(
    struct test *test, const struct test_hold_req *req, struct bus_request *request)
{
	(void)req;
	test->holds++;
	park(test, request);
}
static void test_deny(
    struct test *test, const struct test_deny_req *req, struct bus_request *request)
{
	struct error err;

	(void)test;
	if (req->why[0])
		error_set(&err, ERR_INVALID, "%s", req->why);
	else
		error_refuse(&err, ERR_BUSY, "rate_limited", "secret detail");
	err.retry_after_s = 7;
	bus_fail(request, &err);
}
static void test_auth(
    struct test *test, const struct test_auth_req *req, struct bus_request *request)
{
	const struct test_auth_rsp rsp = {};

	(void)req;
	test->auths++;
	bus_reply(request, &rsp);
}
TEST_CALLS(PROTO_THUNK)
static const struct bus_route routes[] = {TEST_CALLS(PROTO_ROUTE)};

static void server_open(struct test *test, struct bus *bus, const char *address)
{
	struct error err = {0};

	struct test fresh = {0};

	snprintf(fresh.address, sizeof(fresh.address), "%s", address);
	*test = fresh;
	test->server =
	    bus_server_new(bus, test->address, routes, ARRAY_LEN(routes), test, PARKED_MAX, &err);
	if (!test->server)
		fail_msg("%s", err.text);
}

static void server_close(struct test *test)
{
	struct error err = {.code = ERR_UNAVAILABLE};

	for (; test->nparked > 0; test->nparked--)
		bus_fail(test->parked[test->nparked - 1], &err);
	bus_server_destroy(&test->server);
}

/* What became of a call. */
struct outcome {
	unsigned times;
	bool ok;
	struct error err;
	char text[1001];
	uint64_t value, at_ms;
	const struct proto_call *call;
	struct bus_client *again; /* sent once more from inside the callback */
	struct outcome *next;
};

static void send_call(
    struct bus_client *client, const struct proto_call *call, uint64_t ms, struct outcome *outcome);

static void done(void *arg, const void *rsp, const struct error *err)
{
	struct outcome *outcome = arg;

	outcome->times++;
	outcome->ok = rsp != NULL;
	outcome->at_ms = clock_boot_ms();
	if (err)
		outcome->err = *err;
	if (rsp && outcome->call == &test_echo_call)
		snprintf(outcome->text, sizeof(outcome->text), "%s",
		    ((const struct test_echo_rsp *)rsp)->text);
	if (rsp && outcome->call == &test_write_call)
		outcome->value = ((const struct test_write_rsp *)rsp)->value;
	if (outcome->again)
		send_call(outcome->again, outcome->call, 1000, outcome->next);
}

static void send_call(
    struct bus_client *client, const struct proto_call *call, uint64_t ms, struct outcome *outcome)
{
	union {
		struct test_echo_req echo;
		struct test_write_req write;
		struct test_deny_req deny;
	} req;

	memset(&req, 0, sizeof(req));
	if (call == &test_echo_call)
		snprintf(req.echo.text, sizeof(req.echo.text), "hello");
	if (call == &test_write_call)
		req.write.value = 3;
	outcome->call = call;
	bus_send(client, call, &req, clock_unix_ms() + ms, "0123456789abcdef", done, outcome);
	assert_int_equal(outcome->times, 0);
}

struct pair {
	struct world world;
	struct test test;
	struct bus_client *client;
};

static int open_pair(void **state)
{
	struct pair *pair = calloc(1, sizeof(*pair));
	struct error err = {0};
	char address[96];

	world_open(&pair->world);
	server_open(&pair->test, world_bus(&pair->world, AUTH),
	    world_address(&pair->world, "auth-1.bus", address));
	const char *addresses[] = {address};
	pair->client =
	    bus_client_new(world_bus(&pair->world, ROUTER), "auth", ROLE_AUTH, addresses, 1, &err);
	assert_non_null(pair->client);
	assert_true(WORLD_UNTIL(&pair->world, 5000, bus_client_ready(pair->client) == 1));
	*state = pair;
	return 0;
}

static int close_pair(void **state)
{
	struct pair *pair = *state;

	bus_client_destroy(&pair->client);
	if (pair->test.server)
		server_close(&pair->test);
	world_close(&pair->world);
	free(pair);
	return 0;
}

/* Sends and waits for the outcome. */
static struct outcome ask(struct pair *pair, const struct proto_call *call, uint64_t ms)
{
	struct outcome outcome = {0};

	send_call(pair->client, call, ms, &outcome);
	assert_true(WORLD_UNTIL(&pair->world, ms + 500, outcome.times > 0));
	return outcome;
}

static void answers_a_request_and_tells_the_handler_who_asked(void **state)
{
	struct pair *pair = *state;
	struct outcome outcome = ask(pair, &test_echo_call, 2000);

	assert_true(outcome.ok);
	assert_string_equal(outcome.text, "hello");
	assert_int_equal(pair->test.caller, ROLE_ROUTER);
	assert_string_equal(pair->test.trace, "0123456789abcdef");
	assert_int_equal(bus_client_ready(pair->client), 1);
}

static void works_over_tcp_with_four_and_six(void **state)
{
	struct pair *pair = *state;
	static const char *const bind[] = {"tcp://127.0.0.1:*", "tcp://[::1]:*"};

	for (size_t i = 0; i < ARRAY_LEN(bind); i++) {
		struct test test;
		char address[96];
		size_t size = sizeof(address);
		struct error err = {0};
		struct outcome outcome = {0};
		memset(&test, 0, sizeof(test));
		test.server = bus_server_new(pair->world.bus[AUTH], bind[i], routes,
		    ARRAY_LEN(routes), &test, PARKED_MAX, &err);
		if (!test.server && i == 1) {
			print_message("no IPv6 here: %s\n", err.text);
			continue;
		}
		assert_non_null(test.server);
		assert_int_equal(zmq_getsockopt(bus_server_socket(test.server)->zmq,
				     ZMQ_LAST_ENDPOINT, address, &size),
		    0);
		const char *addresses[] = {address};
		struct bus_client *client =
		    bus_client_new(pair->world.bus[ROUTER], "auth", ROLE_AUTH, addresses, 1, &err);
		assert_non_null(client);
		send_call(client, &test_echo_call, 2000, &outcome);
		assert_true(WORLD_UNTIL(&pair->world, 2500, outcome.times > 0));
		assert_true(outcome.ok);
		bus_client_destroy(&client);
		server_close(&test);
	}
}

static void refuses_a_caller_that_is_not_on_the_calls_list(void **state)
{
	struct pair *pair = *state;
	struct outcome outcome = ask(pair, &test_auth_call, 2000);

	assert_int_equal(outcome.err.code, ERR_DENIED);
	assert_int_equal(pair->test.auths, 0);
}

static void a_refusal_travels_with_reason_and_advice_but_without_its_text(void **state)
{
	struct pair *pair = *state;
	struct outcome outcome = ask(pair, &test_deny_call, 2000);

	assert_int_equal(outcome.err.code, ERR_BUSY);
	assert_string_equal(outcome.err.reason, "rate_limited");
	assert_int_equal(outcome.err.retry_after_s, 7);
	assert_null(strstr(outcome.err.text, "secret detail"));
}

static void the_text_of_an_invalid_request_travels_cut_to_whole_characters(void **state)
{
	struct pair *pair = *state;
	struct test_deny_req req = {0};
	struct outcome outcome = {.call = &test_deny_call};

	for (size_t i = 0; i + 2 < sizeof(req.why); i += 2)
		memcpy(req.why + i, "\xc3\xa9", 2);
	memmove(req.why + 1, req.why, sizeof(req.why) - 3);
	req.why[0] = 'a';
	req.why[sizeof(req.why) - 3] = '\0';
	req.why[299] = req.why[298] = '\0';
	req.why[297] = '\0';
	bus_send(pair->client, &test_deny_call, &req, clock_unix_ms() + 2000, NULL, done, &outcome);
	assert_true(WORLD_UNTIL(&pair->world, 2500, outcome.times > 0));
	assert_int_equal(outcome.err.code, ERR_INVALID);
	assert_non_null(strstr(outcome.err.text, "a\xc3\xa9\xc3\xa9"));
	assert_true(utf8_is_valid(outcome.err.text, strlen(outcome.err.text)));
}

static void a_reply_that_breaks_its_declaration_becomes_an_error(void **state)
{
	struct pair *pair = *state;
	struct test_write_req req = {11};
	struct outcome outcome = {.call = &test_write_call};

	bus_send(
	    pair->client, &test_write_call, &req, clock_unix_ms() + 2000, NULL, done, &outcome);
	assert_true(WORLD_UNTIL(&pair->world, 2500, outcome.times > 0));
	assert_int_equal(outcome.err.code, ERR_INTERNAL);
}

static void a_request_that_breaks_its_declaration_never_leaves(void **state)
{
	struct pair *pair = *state;
	struct test_write_req req = {1001};
	struct outcome outcome = {.call = &test_write_call};

	bus_send(
	    pair->client, &test_write_call, &req, clock_unix_ms() + 2000, NULL, done, &outcome);
	assert_int_equal(outcome.times, 0);
	assert_true(WORLD_UNTIL(&pair->world, 500, outcome.times > 0));
	assert_int_equal(outcome.err.code, ERR_INTERNAL);
	assert_int_equal(pair->test.writes, 0);
}

static void a_handler_that_never_answers_ends_in_timeout_at_the_deadline(void **state)
{
	struct pair *pair = *state;
	uint64_t began = clock_boot_ms();
	struct outcome outcome = ask(pair, &test_park_call, 700);

	assert_int_equal(outcome.err.code, ERR_TIMEOUT);
	assert_in_range(outcome.at_ms - began, 690, 900);
	assert_int_equal(pair->test.parks, 1);
	world_run(&pair->world, 300);
	assert_int_equal(outcome.times, 1);
}

static void a_passed_deadline_is_a_timeout_at_once(void **state)
{
	struct pair *pair = *state;
	struct test_echo_req req = {"x"};
	struct outcome outcome = {.call = &test_echo_call};

	bus_send(pair->client, &test_echo_call, &req, clock_unix_ms() - 1, NULL, done, &outcome);
	assert_int_equal(outcome.times, 0);
	assert_true(WORLD_UNTIL(&pair->world, 100, outcome.times > 0));
	assert_int_equal(outcome.err.code, ERR_TIMEOUT);
	world_run(&pair->world, 50);
	assert_int_equal(pair->test.echoes, 0);
}

static void too_many_parked_requests_are_busy(void **state)
{
	struct pair *pair = *state;
	struct outcome outcome[PARKED_MAX + 1] = {0};

	for (size_t i = 0; i < ARRAY_LEN(outcome); i++)
		send_call(pair->client, &test_hold_call, 5000, &outcome[i]);
	assert_true(WORLD_UNTIL(&pair->world, 2000, outcome[PARKED_MAX].times > 0));
	assert_int_equal(outcome[PARKED_MAX].err.code, ERR_BUSY);
	assert_int_equal(pair->test.holds, PARKED_MAX);
	/* one is answered: there is room again */
	const struct test_hold_rsp rsp = {};
	bus_reply(pair->test.parked[--pair->test.nparked], &rsp);
	assert_true(ask(pair, &test_echo_call, 1000).ok);
	bus_client_destroy(&pair->client);
}

static void an_answer_may_come_after_the_server_is_gone(void **state)
{
	struct pair *pair = *state;
	struct outcome outcome = {0};

	send_call(pair->client, &test_hold_call, 3000, &outcome);
	assert_true(WORLD_UNTIL(&pair->world, 2000, pair->test.holds == 1));
	bus_server_destroy(&pair->test.server);
	const struct test_hold_rsp rsp = {};
	bus_reply(pair->test.parked[--pair->test.nparked], &rsp);
	assert_true(WORLD_UNTIL(&pair->world, 3500, outcome.times > 0));
	assert_int_equal(outcome.err.code, ERR_UNAVAILABLE);
}

static void a_callback_may_send_and_destroying_ends_all_calls(void **state)
{
	struct pair *pair = *state;
	struct outcome second = {0};
	struct outcome first = {.again = pair->client, .next = &second};

	send_call(pair->client, &test_echo_call, 1000, &first);
	assert_true(WORLD_UNTIL(&pair->world, 2000, second.times > 0));
	assert_true(second.ok);

	struct outcome last = {0};
	struct outcome pending = {.again = pair->client, .next = &last};
	send_call(pair->client, &test_hold_call, 3000, &pending);
	assert_true(WORLD_UNTIL(&pair->world, 2000, pair->test.holds == 1));
	bus_client_destroy(&pair->client);
	assert_int_equal(pending.err.code, ERR_UNAVAILABLE);
	assert_int_equal(last.err.code, ERR_UNAVAILABLE);
	assert_int_equal(last.times, 1);
}

static void more_than_4096_in_flight_are_busy(void **state)
{
	struct pair *pair = *state;
	struct outcome *outcome = calloc(4097, sizeof(*outcome));

	assert_non_null(outcome);
	for (size_t i = 0; i < 4097; i++)
		send_call(pair->client, &test_echo_call, 10000, &outcome[i]);
	assert_true(WORLD_UNTIL(&pair->world, 100, outcome[4096].times > 0));
	assert_int_equal(outcome[4096].err.code, ERR_BUSY);
	for (size_t i = 0; i < 4096; i++) {
		assert_true(WORLD_UNTIL(&pair->world, 10000, outcome[i].times > 0));
		if (!outcome[i].ok)
			fail_msg("%s", outcome[i].err.text);
		assert_int_equal(outcome[i].times, 1);
	}
	free(outcome);
}

/* ---- peers with a valid key that break the rules ---- */

struct raw {
	void *context, *dealer;
};

static void raw_open(struct raw *raw, const struct world *world, enum who who, const char *address,
    const char *server_key)
{
	int linger = 0;

	raw->context = zmq_ctx_new();
	raw->dealer = zmq_socket(raw->context, ZMQ_DEALER);
	zmq_setsockopt(raw->dealer, ZMQ_LINGER, &linger, sizeof(linger));
	if (server_key) {
		zmq_setsockopt(raw->dealer, ZMQ_CURVE_SERVERKEY, server_key, Z85_KEY_LEN);
		zmq_setsockopt(raw->dealer, ZMQ_CURVE_PUBLICKEY, world->public[who], Z85_KEY_LEN);
		zmq_setsockopt(raw->dealer, ZMQ_CURVE_SECRETKEY, world->secret[who], Z85_KEY_LEN);
	}
	assert_int_equal(zmq_connect(raw->dealer, address), 0);
}

static void raw_close(struct raw *raw)
{
	zmq_close(raw->dealer);
	zmq_ctx_term(raw->context);
}

/* Waits for one part; its length, or -1 after ms. */
static int raw_receive(struct raw *raw, struct world *world, unsigned ms, void *buf, size_t size)
{
	uint64_t end = clock_boot_ms() + ms;

	for (;;) {
		int n = zmq_recv(raw->dealer, buf, size, ZMQ_DONTWAIT);
		if (n >= 0 || clock_boot_ms() >= end)
			return n;
		world_run(world, 1);
	}
}

static msgpack_sbuffer frame_of(
    const struct envelope_request *envelope, const struct proto_message *message, const void *body)
{
	msgpack_sbuffer buf;
	struct error err = {0};

	msgpack_sbuffer_init(&buf);
	assert_int_equal(bus_frame_encode_request(&buf, envelope, message, body, &err), 0);
	return buf;
}

static struct envelope_request echo_envelope(uint64_t id)
{
	return (struct envelope_request){.version = PROTO_VERSION,
	    .call = "test.echo",
	    .id = id,
	    .deadline = clock_unix_ms() + 5000};
}

/* Reads a reply and gives its envelope. */
static struct envelope_reply raw_reply(struct raw *raw, struct world *world)
{
	struct envelope_reply envelope = {0};
	struct error err = {0};
	struct wire body;
	char buf[4096];
	int n = raw_receive(raw, world, 3000, buf, sizeof(buf));

	assert_true(n > 0);
	if (bus_frame_read_reply(buf, (size_t)n, &envelope, &body, &err) < 0)
		fail_msg("%s", err.text);
	return envelope;
}

/* The connection is alive, and the server answers it. */
static void assert_echoes(struct raw *raw, struct world *world, uint64_t id)
{
	struct envelope_request envelope = echo_envelope(id);
	struct test_echo_req req = {"still here"};
	msgpack_sbuffer frame = frame_of(&envelope, &test_echo_req_message, &req);

	assert_true(zmq_send(raw->dealer, frame.data, frame.size, 0) >= 0);
	msgpack_sbuffer_destroy(&frame);
	struct envelope_reply reply = raw_reply(raw, world);
	assert_string_equal(reply.status, "ok");
	assert_int_equal(reply.id, id);
	assert_in_range(reply.clock, clock_unix_ms() - 3000, clock_unix_ms());
}

static void refuses_broken_frames_and_goes_on(void **state)
{
	struct pair *pair = *state;
	struct raw raw;
	static const struct {
		const char *bytes;
		size_t len;
	} broken[] = {
	    {"", 0},
	    {"\0", 1},
	    {"\x80", 1},                                                 /* an empty map */
	    {"\xc1", 1},                                                 /* never used */
	    {"\xdd\x0f\xff\xff\xff", 5},                                 /* a huge array */
	    {"\xdf\xff\xff\xff\xff", 5},                                 /* a huge map */
	    {"\x81\xa7version\xd3\xff\xff\xff\xff\xff\xff\xff\xff", 18}, /* a negative number */
	    {"\x81\xa7version", 9},                                      /* cut short */
	    {"\x82\xa7version\x01\xa7version\x01", 19},                  /* repeated */
	    {"\x81\xa7unknown\x01", 10},
	    {"\x81\x01\x01", 3}, /* a key that is not text */
	    {"\x81\xa4"
	     "call\xa9test\0echo",
		16}, /* a NUL inside */
	    {"\x81\xa4"
	     "call\xa4\xff\xff\xff\xff",
		11}, /* not UTF-8 */
	    {"\xa5hello", 6},
	    {"GET / HTTP/1.1\r\n\r\n", 18},
	};

	raw_open(&raw, &pair->world, ROUTER, pair->test.address, pair->world.public[AUTH]);
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		assert_true(zmq_send(raw.dealer, broken[i].bytes, broken[i].len, 0) >= 0);
		struct envelope_reply reply = raw_reply(&raw, &pair->world);
		assert_string_equal(reply.status, "invalid");
		assert_int_equal(reply.id, 0);
	}
	assert_echoes(&raw, &pair->world, 77);
	assert_int_equal(pair->test.echoes, 1);
	raw_close(&raw);
}

/* Every prefix of a good frame, and every byte of it changed, is answered; nothing falls over. */
static void answers_every_mutation_of_a_good_frame(void **state)
{
	struct pair *pair = *state;
	struct envelope_request envelope = echo_envelope(9);
	struct test_echo_req req = {"hello"};
	msgpack_sbuffer good = frame_of(&envelope, &test_echo_req_message, &req);
	struct raw raw;
	size_t answered = 0;
	char buf[4096];

	raw_open(&raw, &pair->world, ROUTER, pair->test.address, pair->world.public[AUTH]);
	for (size_t i = 0; i < good.size; i++) {
		assert_true(zmq_send(raw.dealer, good.data, i, 0) >= 0);
		struct envelope_reply reply = raw_reply(&raw, &pair->world);
		assert_string_equal(reply.status, "invalid");
	}
	for (size_t i = 0; i < good.size; i++) {
		good.data[i] = (char)(good.data[i] ^ 0x11);
		assert_true(zmq_send(raw.dealer, good.data, good.size, 0) >= 0);
		good.data[i] = (char)(good.data[i] ^ 0x11);
	}
	while (raw_receive(&raw, &pair->world, 200, buf, sizeof(buf)) > 0)
		answered++;
	/* a changed deadline may have passed, and is dropped */
	assert_in_range(answered, good.size - 9, good.size);
	assert_echoes(&raw, &pair->world, 78);
	msgpack_sbuffer_destroy(&good);
	raw_close(&raw);
}

/* Sends one request whose envelope the test has bent, and returns the reply's envelope. */
static struct envelope_reply bent(
    struct pair *pair, struct raw *raw, const struct envelope_request *envelope)
{
	struct test_echo_req req = {"x"};
	msgpack_sbuffer frame = frame_of(envelope, &test_echo_req_message, &req);

	assert_true(zmq_send(raw->dealer, frame.data, frame.size, 0) >= 0);
	msgpack_sbuffer_destroy(&frame);
	return raw_reply(raw, &pair->world);
}

static void refuses_an_unknown_call_or_version_by_its_id(void **state)
{
	struct pair *pair = *state;
	struct envelope_request envelope = echo_envelope(31);
	struct raw raw;

	raw_open(&raw, &pair->world, ROUTER, pair->test.address, pair->world.public[AUTH]);
	snprintf(envelope.call, sizeof(envelope.call), "test.nothing");
	struct envelope_reply reply = bent(pair, &raw, &envelope);
	assert_string_equal(reply.status, "invalid");
	assert_int_equal(reply.id, 31);
	envelope = echo_envelope(32);
	envelope.version = PROTO_VERSION + 1;
	reply = bent(pair, &raw, &envelope);
	assert_string_equal(reply.status, "invalid");
	assert_int_equal(reply.id, 32);
	assert_int_equal(pair->test.echoes, 0);
	raw_close(&raw);
}

static void refuses_bytes_behind_the_body_and_a_body_over_its_limits(void **state)
{
	struct pair *pair = *state;
	struct envelope_request envelope = echo_envelope(5);
	struct raw raw;
	static const char *const bodies[] = {
	    "\x80\xc0", "\x81\xa4text\x01", "\x81\xa5other\x01", "\x80\x80", ""};
	static const size_t lens[] = {2, 7, 8, 2, 0};

	raw_open(&raw, &pair->world, ROUTER, pair->test.address, pair->world.public[AUTH]);
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		struct error err = {0};
		msgpack_sbuffer buf;
		msgpack_sbuffer_init(&buf);
		const struct test_park_req nothing = {};
		assert_int_equal(bus_frame_encode_request(
				     &buf, &envelope, &test_park_req_message, &nothing, &err),
		    0);
		buf.size--; /* the empty map */
		msgpack_sbuffer_write(&buf, bodies[i], lens[i]);
		assert_true(zmq_send(raw.dealer, buf.data, buf.size, 0) >= 0);
		msgpack_sbuffer_destroy(&buf);
		struct envelope_reply reply = raw_reply(&raw, &pair->world);
		assert_string_equal(reply.status, "invalid");
		assert_int_equal(reply.id, 5);
	}
	assert_int_equal(pair->test.echoes, 0);
	raw_close(&raw);
}

static void drops_work_past_its_deadline(void **state)
{
	struct pair *pair = *state;
	struct envelope_request envelope = echo_envelope(5);
	struct test_echo_req req = {"late"};
	struct raw raw;
	char buf[512];

	envelope.deadline = clock_unix_ms() - 1;
	msgpack_sbuffer frame = frame_of(&envelope, &test_echo_req_message, &req);
	raw_open(&raw, &pair->world, ROUTER, pair->test.address, pair->world.public[AUTH]);
	assert_true(zmq_send(raw.dealer, frame.data, frame.size, 0) >= 0);
	msgpack_sbuffer_destroy(&frame);
	assert_int_equal(raw_receive(&raw, &pair->world, 200, buf, sizeof(buf)), -1);
	assert_int_equal(pair->test.echoes, 0);
	assert_echoes(&raw, &pair->world, 6);
	raw_close(&raw);
}

static void a_deadline_far_away_is_cut(void **state)
{
	struct pair *pair = *state;
	struct envelope_request envelope = echo_envelope(5);
	struct raw raw;

	envelope.deadline = UINT64_MAX;
	snprintf(envelope.call, sizeof(envelope.call), "test.park");
	const struct test_park_req req = {};
	msgpack_sbuffer frame = frame_of(&envelope, &test_park_req_message, &req);
	raw_open(&raw, &pair->world, ROUTER, pair->test.address, pair->world.public[AUTH]);
	assert_true(zmq_send(raw.dealer, frame.data, frame.size, 0) >= 0);
	msgpack_sbuffer_destroy(&frame);
	assert_true(WORLD_UNTIL(&pair->world, 2000, pair->test.parks == 1));
	assert_true(
	    bus_request_deadline(pair->test.parked[0]) <= clock_unix_ms() + BUS_LEFT_MAX_MS);
	raw_close(&raw);
}

static void reads_a_message_of_too_many_parts_to_its_end(void **state)
{
	struct pair *pair = *state;
	struct envelope_request envelope = echo_envelope(5);
	struct test_echo_req req = {"parts"};
	msgpack_sbuffer frame = frame_of(&envelope, &test_echo_req_message, &req);
	struct raw raw;

	raw_open(&raw, &pair->world, ROUTER, pair->test.address, pair->world.public[AUTH]);
	for (int i = 0; i < 1000; i++)
		assert_true(zmq_send(raw.dealer, frame.data, frame.size, ZMQ_SNDMORE) >= 0);
	assert_true(zmq_send(raw.dealer, frame.data, frame.size, 0) >= 0);
	/* as a REQ socket would: an empty part first */
	assert_true(zmq_send(raw.dealer, "", 0, ZMQ_SNDMORE) >= 0);
	assert_true(zmq_send(raw.dealer, frame.data, frame.size, 0) >= 0);
	msgpack_sbuffer_destroy(&frame);
	for (int i = 0; i < 2; i++) {
		struct envelope_reply reply = raw_reply(&raw, &pair->world);
		assert_string_equal(reply.status, "invalid");
		assert_int_equal(reply.id, 0);
	}
	assert_int_equal(pair->test.echoes, 0);
	assert_echoes(&raw, &pair->world, 6);
	raw_close(&raw);
}

static void an_oversize_frame_costs_its_sender_the_connection_only(void **state)
{
	struct pair *pair = *state;
	struct raw raw;
	char *huge = calloc(1, BUS_FRAME_MAX + 1);

	assert_true(ask(pair, &test_echo_call, 2000).ok);
	raw_open(&raw, &pair->world, ROUTER, pair->test.address, pair->world.public[AUTH]);
	assert_echoes(&raw, &pair->world, 6);
	assert_true(zmq_send(raw.dealer, huge, BUS_FRAME_MAX + 1, 0) >= 0);
	free(huge);
	assert_true(ask(pair, &test_echo_call, 2000).ok);
	/* it reconnects and may go on */
	assert_echoes(&raw, &pair->world, 7);
	raw_close(&raw);
}

/* ---- keys ---- */

static void a_stranger_gets_in_only_once_it_is_listed(void **state)
{
	struct pair *pair = *state;
	struct envelope_request envelope = echo_envelope(5);
	struct test_echo_req req = {"let me in"};
	struct raw raw;
	char buf[512];

	envelope.deadline += 20000;
	msgpack_sbuffer frame = frame_of(&envelope, &test_echo_req_message, &req);
	raw_open(&raw, &pair->world, STRANGER, pair->test.address, pair->world.public[AUTH]);
	assert_true(zmq_send(raw.dealer, frame.data, frame.size, 0) >= 0);
	msgpack_sbuffer_destroy(&frame);
	assert_int_equal(raw_receive(&raw, &pair->world, 500, buf, sizeof(buf)), -1);
	assert_int_equal(pair->test.echoes, 0);
	world_list(&pair->world, EVERYBODY | 1U << STRANGER);
	/* no restart, no help: the list is looked at, the refused handshake times out, the peer tries again */
	assert_true(raw_receive(&raw, &pair->world, 6000, buf, sizeof(buf)) > 0);
	assert_int_equal(pair->test.echoes, 1);
	raw_close(&raw);
}

static void a_key_taken_off_the_list_is_refused_on_its_open_connection(void **state)
{
	struct pair *pair = *state;

	assert_true(ask(pair, &test_echo_call, 2000).ok);
	world_list(&pair->world, EVERYBODY & ~(1U << ROUTER));
	bus_refresh(pair->world.bus[AUTH]);
	struct outcome outcome = ask(pair, &test_echo_call, 2000);
	assert_int_equal(outcome.err.code, ERR_DENIED);
	assert_int_equal(pair->test.echoes, 1);
}

static void a_server_taken_off_the_list_is_left_at_once(void **state)
{
	struct pair *pair = *state;

	assert_true(ask(pair, &test_echo_call, 2000).ok);
	world_list(&pair->world, EVERYBODY & ~(1U << AUTH));
	assert_true(WORLD_UNTIL(&pair->world, 3000, bus_client_ready(pair->client) == 0));
	assert_int_equal(ask(pair, &test_echo_call, 2000).err.code, ERR_UNAVAILABLE);
	world_list(&pair->world, EVERYBODY);
	assert_true(WORLD_UNTIL(&pair->world, 5000, bus_client_ready(pair->client) == 1));
	assert_true(ask(pair, &test_echo_call, 2000).ok);
}

static void finds_the_server_by_either_key_of_a_rotation(void **state)
{
	struct pair *pair = *state;
	char new_public[Z85_KEY_LEN + 1], new_secret[Z85_KEY_LEN + 1];

	/* the new key is listed first, the server still has the old one */
	assert_int_equal(zmq_curve_keypair(new_public, new_secret), 0);
	bus_client_destroy(&pair->client);
	write_file(pair->world.folder, "curve/peers", 0644, "auth %s\nauth %s\nrouter %s\n",
	    new_public, pair->world.public[AUTH], pair -> world.public[ROUTER]);
	world_refresh(&pair->world);
	struct error err = {0};
	const char *addresses[] = {pair->test.address};
	pair->client =
	    bus_client_new(pair->world.bus[ROUTER], "auth", ROLE_AUTH, addresses, 1, &err);
	assert_non_null(pair->client);
	assert_true(WORLD_UNTIL(&pair->world, 5000, bus_client_ready(pair->client) == 1));
	assert_true(ask(pair, &test_echo_call, 2000).ok);
}

static void nobody_gets_in_without_curve_or_with_the_wrong_server_key(void **state)
{
	struct pair *pair = *state;
	struct envelope_request envelope = echo_envelope(5);
	struct test_echo_req req = {"plain"};
	msgpack_sbuffer frame = frame_of(&envelope, &test_echo_req_message, &req);
	struct raw plain, wrong;
	char buf[512];

	raw_open(&plain, &pair->world, ROUTER, pair->test.address, NULL);
	raw_open(&wrong, &pair->world, ROUTER, pair->test.address, pair->world.public[SESSION]);
	assert_true(zmq_send(plain.dealer, frame.data, frame.size, 0) >= 0);
	assert_true(zmq_send(wrong.dealer, frame.data, frame.size, 0) >= 0);
	msgpack_sbuffer_destroy(&frame);
	assert_int_equal(raw_receive(&plain, &pair->world, 500, buf, sizeof(buf)), -1);
	assert_int_equal(raw_receive(&wrong, &pair->world, 500, buf, sizeof(buf)), -1);
	assert_int_equal(pair->test.echoes, 0);
	raw_close(&plain);
	raw_close(&wrong);
}

/* Who asks is decided by the key, whatever the peer says of itself. */
static void nobody_is_somebody_else_by_saying_so(void **state)
{
	struct pair *pair = *state;
	struct envelope_request envelope = echo_envelope(5);
	const struct test_auth_req req = {};
	struct curve_peer peer;
	uint8_t claims[256];
	size_t len = 0;

	/* the operator says it is auth, in every way there is */
	len += peer_property(claims + len, "User-Id", pair->world.public[AUTH], Z85_KEY_LEN);
	len += peer_property(claims + len, "user-id", pair->world.public[AUTH], Z85_KEY_LEN);
	len += peer_property(claims + len, "Identity", "auth", 4);
	peer_open(&peer, &pair->world, OPERATOR, pair->test.address, pair->world.public[AUTH],
	    claims, len);
	snprintf(envelope.call, sizeof(envelope.call), "test.auth");
	msgpack_sbuffer frame = frame_of(&envelope, &test_auth_req_message, &req);
	peer_send(&peer, false, frame.data, frame.size);
	world_run(&pair->world, 100);
	assert_int_equal(pair->test.auths, 0);
	peer_close(&peer);
	/* auth itself may, so the frame was right */
	peer_open(
	    &peer, &pair->world, AUTH, pair->test.address, pair->world.public[AUTH], claims, 0);
	peer_send(&peer, false, frame.data, frame.size);
	assert_true(WORLD_UNTIL(&pair->world, 2000, pair->test.auths == 1));
	peer_close(&peer);
	msgpack_sbuffer_destroy(&frame);
}

static void an_unfinished_message_disturbs_nobody(void **state)
{
	struct pair *pair = *state;
	struct curve_peer peer;
	char part[1000] = "";

	peer_open(&peer, &pair->world, ROUTER, pair->test.address, pair->world.public[AUTH],
	    (const uint8_t *)"", 0);
	for (int i = 0; i < 50; i++)
		peer_send(&peer, true, part, sizeof(part));
	for (int i = 0; i < 10; i++)
		assert_true(ask(pair, &test_echo_call, 2000).ok);
	peer_close(&peer);
	assert_true(ask(pair, &test_echo_call, 2000).ok);
}

static void nobody_gets_in_when_the_zap_handler_is_gone(void **state)
{
	struct pair *pair = *state;
	struct envelope_request envelope = echo_envelope(5);
	struct test_echo_req req = {"unguarded"};
	msgpack_sbuffer frame = frame_of(&envelope, &test_echo_req_message, &req);
	struct raw listed, stranger;
	char buf[512];

	assert_true(ask(pair, &test_echo_call, 2000).ok);
	bus_zap_close(pair->world.bus[AUTH]);
	raw_open(&listed, &pair->world, ROUTER, pair->test.address, pair->world.public[AUTH]);
	raw_open(&stranger, &pair->world, STRANGER, pair->test.address, pair->world.public[AUTH]);
	assert_true(zmq_send(listed.dealer, frame.data, frame.size, 0) >= 0);
	assert_true(zmq_send(stranger.dealer, frame.data, frame.size, 0) >= 0);
	msgpack_sbuffer_destroy(&frame);
	assert_int_equal(raw_receive(&listed, &pair->world, 700, buf, sizeof(buf)), -1);
	assert_int_equal(raw_receive(&stranger, &pair->world, 300, buf, sizeof(buf)), -1);
	assert_int_equal(pair->test.echoes, 1);
	raw_close(&listed);
	raw_close(&stranger);
}

static void a_list_that_cannot_be_read_lets_nobody_in(void **state)
{
	struct pair *pair = *state;

	assert_true(ask(pair, &test_echo_call, 2000).ok);
	write_file(pair->world.folder, "curve/peers", 0644, "router nonsense\n");
	bus_refresh(pair->world.bus[AUTH]);
	assert_int_equal(ask(pair, &test_echo_call, 2000).err.code, ERR_DENIED);
}

/* ---- replicas ---- */

struct many {
	struct world world, aside; /* aside: a loop that turns only when the test says so */
	struct test a, b;
	struct bus *aside_bus;
	struct keyring *aside_keyring;
	struct bus_client *client;
};

/* Server a is on a loop of its own, so that its handler can hang while its I/O thread lives. */
static int open_many(void **state)
{
	struct many *many = calloc(1, sizeof(*many));
	struct error err = {0};
	char a[96], b[96];

	world_open(&many->world);
	many->aside.base = event_base_new();
	many->aside_keyring = keyring_open(many->world.folder, "auth", &err);
	assert_non_null(many->aside_keyring);
	many->aside_bus = bus_new(many->aside.base, many->aside_keyring, NULL, &err);
	assert_non_null(many->aside_bus);
	server_open(&many->a, many->aside_bus, world_address(&many->world, "auth-1.bus", a));
	server_open(
	    &many->b, world_bus(&many->world, AUTH), world_address(&many->world, "auth-2.bus", b));
	const char *addresses[] = {a, b};
	many->client =
	    bus_client_new(world_bus(&many->world, ROUTER), "auth", ROLE_AUTH, addresses, 2, &err);
	assert_non_null(many->client);
	uint64_t end = clock_boot_ms() + 5000;
	while (bus_client_ready(many->client) < 2 && clock_boot_ms() < end) {
		world_run(&many->world, 1);
		world_run(&many->aside, 1);
	}
	assert_int_equal(bus_client_ready(many->client), 2);
	*state = many;
	return 0;
}

static int close_many(void **state)
{
	struct many *many = *state;

	bus_client_destroy(&many->client);
	if (many->a.server)
		server_close(&many->a);
	if (many->b.server)
		server_close(&many->b);
	bus_destroy(&many->aside_bus);
	keyring_destroy(&many->aside_keyring);
	event_base_free(many->aside.base);
	world_close(&many->world);
	free(many);
	return 0;
}

/* Like the end of a process: the socket and all that it was connected by. */
static void close_a(struct many *many)
{
	server_close(&many->a);
	bus_destroy(&many->aside_bus);
}

static void a_read_is_tried_elsewhere_when_a_replica_hangs(void **state)
{
	struct many *many = *state;
	struct outcome outcome[8] = {0};
	uint64_t began = clock_boot_ms();

	/* a's loop does not turn: what it was sent waits */
	for (size_t i = 0; i < ARRAY_LEN(outcome); i++)
		send_call(many->client, &test_echo_call, 3000, &outcome[i]);
	for (size_t i = 0; i < ARRAY_LEN(outcome); i++) {
		assert_true(WORLD_UNTIL(&many->world, 2000, outcome[i].times > 0));
		assert_true(outcome[i].ok);
		assert_true(outcome[i].at_ms - began < 1000);
	}
	assert_int_equal(many->b.echoes, 8);
	/* now it is suspect, and everything goes to b at once */
	began = clock_boot_ms();
	struct outcome quick[8] = {0};
	for (size_t i = 0; i < ARRAY_LEN(quick); i++)
		send_call(many->client, &test_echo_call, 3000, &quick[i]);
	for (size_t i = 0; i < ARRAY_LEN(quick); i++) {
		assert_true(WORLD_UNTIL(&many->world, 2000, quick[i].times > 0));
		assert_true(quick[i].at_ms - began < 290);
	}
	/* it wakes up, answers what nobody waits for any more, and is used again */
	assert_int_equal(many->a.echoes, 0);
	uint64_t end = clock_boot_ms() + 3000;
	unsigned before = many->b.echoes;
	while (many->a.echoes < 6 && clock_boot_ms() < end) {
		struct outcome one = {0};
		send_call(many->client, &test_echo_call, 1000, &one);
		while (one.times == 0) {
			world_run(&many->aside, 1);
			world_run(&many->world, 1);
		}
	}
	assert_true(many->a.echoes >= 6);
	assert_true(many->b.echoes >= before);
	for (size_t i = 0; i < ARRAY_LEN(outcome); i++)
		assert_int_equal(outcome[i].times, 1);
}

static void a_write_is_never_sent_twice(void **state)
{
	struct many *many = *state;
	struct outcome outcome[8] = {0};
	unsigned timeouts = 0;

	for (size_t i = 0; i < ARRAY_LEN(outcome); i++)
		send_call(many->client, &test_write_call, 800, &outcome[i]);
	for (size_t i = 0; i < ARRAY_LEN(outcome); i++) {
		assert_true(WORLD_UNTIL(&many->world, 2000, outcome[i].times > 0));
		if (!outcome[i].ok)
			assert_int_equal(outcome[i].err.code, ERR_TIMEOUT);
		timeouts += !outcome[i].ok;
	}
	assert_int_equal(timeouts, 4);
	assert_int_equal(many->b.writes, 4);
	/* a wakes up past the deadline: what it finds is dropped, not done */
	world_run(&many->aside, 50);
	assert_int_equal(many->a.writes, 0);
}

static void a_lost_connection_retries_reads_and_ends_writes(void **state)
{
	struct many *many = *state;
	struct outcome reads[4] = {0}, writes[4] = {0};
	unsigned lost = 0;

	for (size_t i = 0; i < 4; i++)
		send_call(many->client, &test_echo_call, 3000, &reads[i]);
	for (size_t i = 0; i < 4; i++)
		send_call(many->client, &test_write_call, 3000, &writes[i]);
	uint64_t began = clock_boot_ms();
	close_a(many);
	for (size_t i = 0; i < 4; i++) {
		assert_true(WORLD_UNTIL(&many->world, 2000, reads[i].times && writes[i].times));
		assert_true(reads[i].ok);
		assert_true(reads[i].at_ms - began < 290); /* sooner than silence would have told */
		if (!writes[i].ok)
			assert_int_equal(writes[i].err.code, ERR_UNAVAILABLE);
		lost += !writes[i].ok;
	}
	assert_int_equal(many->b.echoes, 4);
	assert_int_equal(lost, 2);
	assert_int_equal(many->b.writes, 2);
	assert_int_equal(bus_client_ready(many->client), 1);
	/* the place of the dead is taken over by a new process */
	server_open(&many->a, many->world.bus[AUTH], many->a.address);
	assert_true(WORLD_UNTIL(&many->world, 3000, bus_client_ready(many->client) == 2));
}

static void without_any_replica_a_call_is_unavailable_after_half_a_second(void **state)
{
	struct many *many = *state;
	struct outcome outcome = {0}, saved = {0};
	uint64_t began;

	close_a(many);
	server_close(&many->b);
	assert_true(WORLD_UNTIL(&many->world, 2000, bus_client_ready(many->client) == 0));
	began = clock_boot_ms();
	send_call(many->client, &test_write_call, 3000, &outcome);
	assert_true(WORLD_UNTIL(&many->world, 2000, outcome.times > 0));
	assert_int_equal(outcome.err.code, ERR_UNAVAILABLE);
	assert_in_range(outcome.at_ms - began, 490, 800);
	/* one that comes back within that time serves what waited */
	send_call(many->client, &test_write_call, 3000, &saved);
	server_open(&many->b, many->world.bus[AUTH], many->b.address);
	(void)WORLD_UNTIL(&many->world, 2000, saved.times > 0);
	assert_true(saved.ok || saved.err.code == ERR_UNAVAILABLE);
}

static void a_call_waits_for_a_replica_as_long_as_its_client_was_told(void **state)
{
	struct many *many = *state;
	struct outcome outcome = {0};

	close_a(many);
	server_close(&many->b);
	assert_true(WORLD_UNTIL(&many->world, 2000, bus_client_ready(many->client) == 0));
	bus_client_wait_ready(many->client, 1500);
	uint64_t began = clock_boot_ms();
	send_call(many->client, &test_write_call, 3000, &outcome);
	assert_true(WORLD_UNTIL(&many->world, 2500, outcome.times > 0));
	assert_int_equal(outcome.err.code, ERR_UNAVAILABLE);
	assert_in_range(outcome.at_ms - began, 1490, 1900);
}

static void a_slow_handler_is_not_taken_for_a_dead_one(void **state)
{
	struct pair *pair = *state;
	struct outcome slow = {0}, outcome;

	send_call(pair->client, &test_hold_call, 3000, &slow);
	world_run(&pair->world, 600);
	assert_int_equal(slow.times, 0);
	outcome = ask(pair, &test_echo_call, 1000);
	assert_true(outcome.ok);
	const struct test_hold_rsp rsp = {};
	bus_reply(pair->test.parked[--pair->test.nparked], &rsp);
	assert_true(WORLD_UNTIL(&pair->world, 1000, slow.times > 0));
	assert_true(slow.ok);
}

static void recovers_from_a_stranger_on_the_servers_port(void **state)
{
	struct pair *pair = *state;
	void *context = zmq_ctx_new();
	void *stranger = zmq_socket(context, ZMQ_ROUTER); /* speaks no CURVE */
	int linger = 0;

	server_close(&pair->test);
	zmq_setsockopt(stranger, ZMQ_LINGER, &linger, sizeof(linger));
	assert_true(WORLD_UNTIL(&pair->world, 2000, bus_client_ready(pair->client) == 0));
	assert_int_equal(zmq_bind(stranger, pair->test.address), 0);
	world_run(&pair->world, 500);
	assert_int_equal(bus_client_ready(pair->client), 0);
	zmq_close(stranger);
	zmq_ctx_term(context);
	server_open(&pair->test, pair->world.bus[AUTH], pair->test.address);
	assert_true(WORLD_UNTIL(&pair->world, 6000, bus_client_ready(pair->client) == 1));
	assert_true(ask(pair, &test_echo_call, 2000).ok);
}

static void measures_only_skew_that_is_certain(void **state)
{
	struct bus_replica replica = {0};

	(void)state;
	clock_fake(1000000, 50000);
	bus_replica_measure(&replica, 999000, 999500);
	assert_int_equal(bus_replica_skew_ms(&replica), 0);
	bus_replica_measure(&replica, 999000, 998400);
	assert_int_equal(bus_replica_skew_ms(&replica), 600);
	bus_replica_measure(&replica, 999000, 1000900);
	assert_int_equal(bus_replica_skew_ms(&replica), 900);
	clock_fake(1009000, 59000);
	assert_int_equal(bus_replica_skew_ms(&replica), 900);
	clock_fake(1010000, 60000);
	assert_int_equal(bus_replica_skew_ms(&replica), 0);
	clock_fake(0, 0);
}

/* ---- flood ---- */

struct flood {
	struct pair *pair;
	unsigned fired;
	uint64_t last_us, worst_us;
};

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct flood *flood = arg;
	uint64_t now = clock_boot_us();

	(void)fd;
	(void)what;
	if (flood->last_us && now - flood->last_us > flood->worst_us)
		flood->worst_us = now - flood->last_us;
	flood->last_us = now;
	flood->fired++;
}

static void a_flood_does_not_starve_a_timer(void **state)
{
	struct pair *pair = *state;
	struct flood flood = {pair, 0, 0, 0};
	struct timeval every = {0, 10000};
	struct event *timer = event_new(pair->world.base, -1, EV_PERSIST, on_timer, &flood);
	struct envelope_request envelope = echo_envelope(5);
	struct test_echo_req req = {"flood"};
	struct raw raw;
	char buf[512];

	envelope.deadline += 60000;
	msgpack_sbuffer frame = frame_of(&envelope, &test_echo_req_message, &req);
	raw_open(&raw, &pair->world, ROUTER, pair->test.address, pair->world.public[AUTH]);
	assert_echoes(&raw, &pair->world, 6);
	for (int i = 0; i < 20000; i++) {
		(void)zmq_send(raw.dealer, frame.data, frame.size, ZMQ_DONTWAIT);
		while (zmq_recv(raw.dealer, buf, sizeof(buf), ZMQ_DONTWAIT) > 0)
			;
	}
	event_add(timer, &every);
	uint64_t end = clock_boot_ms() + 500;
	while (clock_boot_ms() < end) {
		for (int i = 0; i < 50; i++)
			(void)zmq_send(raw.dealer, frame.data, frame.size, ZMQ_DONTWAIT);
		while (zmq_recv(raw.dealer, buf, sizeof(buf), ZMQ_DONTWAIT) > 0)
			;
		event_base_loop(pair->world.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	}
	msgpack_sbuffer_destroy(&frame);
	event_free(timer);
	assert_true(pair->test.echoes > 500);
	assert_true(flood.fired >= 10);
	assert_true(flood.worst_us < 250000);
	raw_close(&raw);
}

static void every_call_ends_once_in_a_storm_of_both_ways(void **state)
{
	struct many *many = *state;
	enum { ROUNDS = 20, EACH = 200 };
	struct outcome *outcome = calloc(EACH, sizeof(*outcome));

	assert_non_null(outcome);
	for (int round = 0; round < ROUNDS; round++) {
		memset(outcome, 0, EACH * sizeof(*outcome));
		for (size_t i = 0; i < EACH; i++)
			send_call(many->client, &test_echo_call, 5000, &outcome[i]);
		for (size_t i = 0; i < EACH; i++)
			while (outcome[i].times == 0) {
				event_base_loop(many->aside.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
				event_base_loop(many->world.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
			}
		for (size_t i = 0; i < EACH; i++) {
			assert_int_equal(outcome[i].times, 1);
			assert_true(outcome[i].ok);
		}
	}
	free(outcome);
}

int main(void)
{
#define PAIR(test) cmocka_unit_test_setup_teardown(test, open_pair, close_pair)
#define MANY(test) cmocka_unit_test_setup_teardown(test, open_many, close_many)
	const struct CMUnitTest tests[] = {
	    PAIR(answers_a_request_and_tells_the_handler_who_asked),
	    PAIR(works_over_tcp_with_four_and_six),
	    PAIR(refuses_a_caller_that_is_not_on_the_calls_list),
	    PAIR(a_refusal_travels_with_reason_and_advice_but_without_its_text),
	    PAIR(the_text_of_an_invalid_request_travels_cut_to_whole_characters),
	    PAIR(a_reply_that_breaks_its_declaration_becomes_an_error),
	    PAIR(a_request_that_breaks_its_declaration_never_leaves),
	    PAIR(a_handler_that_never_answers_ends_in_timeout_at_the_deadline),
	    PAIR(a_passed_deadline_is_a_timeout_at_once),
	    PAIR(too_many_parked_requests_are_busy),
	    PAIR(an_answer_may_come_after_the_server_is_gone),
	    PAIR(a_callback_may_send_and_destroying_ends_all_calls),
	    PAIR(more_than_4096_in_flight_are_busy),
	    PAIR(refuses_broken_frames_and_goes_on),
	    PAIR(answers_every_mutation_of_a_good_frame),
	    PAIR(refuses_an_unknown_call_or_version_by_its_id),
	    PAIR(refuses_bytes_behind_the_body_and_a_body_over_its_limits),
	    PAIR(drops_work_past_its_deadline),
	    PAIR(a_deadline_far_away_is_cut),
	    PAIR(reads_a_message_of_too_many_parts_to_its_end),
	    PAIR(an_oversize_frame_costs_its_sender_the_connection_only),
	    PAIR(a_stranger_gets_in_only_once_it_is_listed),
	    PAIR(a_key_taken_off_the_list_is_refused_on_its_open_connection),
	    PAIR(a_server_taken_off_the_list_is_left_at_once),
	    PAIR(finds_the_server_by_either_key_of_a_rotation),
	    PAIR(nobody_gets_in_without_curve_or_with_the_wrong_server_key),
	    PAIR(nobody_is_somebody_else_by_saying_so),
	    PAIR(an_unfinished_message_disturbs_nobody),
	    PAIR(nobody_gets_in_when_the_zap_handler_is_gone),
	    PAIR(a_list_that_cannot_be_read_lets_nobody_in),
	    MANY(a_read_is_tried_elsewhere_when_a_replica_hangs),
	    MANY(a_write_is_never_sent_twice),
	    MANY(a_lost_connection_retries_reads_and_ends_writes),
	    MANY(without_any_replica_a_call_is_unavailable_after_half_a_second),
	    MANY(a_call_waits_for_a_replica_as_long_as_its_client_was_told),
	    PAIR(a_slow_handler_is_not_taken_for_a_dead_one),
	    PAIR(recovers_from_a_stranger_on_the_servers_port),
	    cmocka_unit_test(measures_only_skew_that_is_certain),
	    PAIR(a_flood_does_not_starve_a_timer),
	    MANY(every_call_ends_once_in_a_storm_of_both_ways),
	};

	log_open("test", "test-1", getenv("V") ? LOG_DEBUG : LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
