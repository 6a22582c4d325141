/* PubSub's messages, and the frames they come in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "services/chain-oracle/frames.h"
#include "services/chain-oracle/push_message.h"
#include "tests/unit/chain-oracle/fixtures.h"

#define BURNED \
	"{\"lamports\":2738880,\"data\":[\"AA==\",\"base64\"],\"owner\":\"" CORE_PROGRAM \
	"\",\"executable\":false,\"rentEpoch\":18446744073709551615,\"space\":1}"
#define NOTIFICATION(method, slot, value, id) \
	"{\"jsonrpc\":\"2.0\",\"method\":\"" method \
	"\",\"params\":{\"result\":{\"context\":{\"slot\":" slot "},\"value\":" value \
	"},\"subscription\":" id "}}"

static int read_text(const char *text, struct push_message *message_r)
{
	struct error err = {0};
	int rc = push_message_read(text, strlen(text), message_r, &err);
	assert_true((rc < 0) == (err.text[0] != '\0'));
	return rc;
}

static void reads_what_nodes_send(void **arg)
{
	(void)arg;
	struct push_message m;
	assert_int_equal(read_text("{\"jsonrpc\":\"2.0\",\"result\":23784,\"id\":1}", &m), 0);
	assert_int_equal(m.kind, PUSH_REPLY);
	assert_int_equal(m.id, 1);
	assert_int_equal(m.subscription, 23784);
	assert_int_equal(
	    read_text("{\"result\":18446744073709551615,\"id\":18446744073709551614}", &m), 0);
	assert_true(m.subscription == UINT64_MAX && m.id == UINT64_MAX - 1);
	assert_int_equal(read_text("{\"result\":true,\"id\":2}", &m), 0);
	assert_int_equal(m.kind, PUSH_REPLY);
	assert_int_equal(
	    read_text("{\"error\":{\"code\":-32603,\"message\":\"limit reached\"},\"id\":3}", &m),
	    0);
	assert_int_equal(m.kind, PUSH_REFUSAL);
	assert_string_equal(m.text, "limit reached");
	assert_int_equal(read_text("{\"method\":\"slotNotification\",\"params\":{\"result\":{"
				   "\"parent\":75,\"root\":44,\"slot\":76},"
				   "\"subscription\":0}}",
			     &m),
	    0);
	assert_int_equal(m.kind, PUSH_SLOT);
	assert_int_equal(
	    read_text(NOTIFICATION("accountNotification", "18446744073709551615", BURNED, "7"), &m),
	    0);
	assert_int_equal(m.kind, PUSH_ACCOUNT);
	assert_true(m.slot == UINT64_MAX);
	assert_int_equal(m.subscription, 7);
	assert_int_equal(m.account.core.len, 1);
	assert_int_equal(read_text(NOTIFICATION("programNotification", "5",
				       "{\"pubkey\":\"" ASSET "\",\"account\":" BURNED "}", "8"),
			     &m),
	    0);
	assert_int_equal(m.kind, PUSH_PROGRAM);
	char text[PUBKEY_TEXT_MAX + 1];
	assert_string_equal(pubkey_text(m.key, text), ASSET);
	assert_int_equal(
	    read_text("{\"method\":\"voteNotification\",\"params\":{\"subscription\":1}}", &m), 0);
	assert_int_equal(m.kind, PUSH_OTHER);
}

static void refuses_what_they_should_not_send(void **arg)
{
	(void)arg;
	static const char *const texts[] = {"", "{", "[]", "null", "{}", "{\"id\":1}",
	    "{\"result\":1}", "{\"result\":\"1\",\"id\":1}", "{\"result\":-1,\"id\":1}",
	    "{\"result\":1,\"id\":\"1\"}", "{\"error\":{},\"id\":null}",
	    "{\"method\":\"slotNotification\"}",
	    "{\"method\":\"accountNotification\",\"params\":[]}",
	    "{\"method\":\"accountNotification\",\"params\":{\"subscription\":1}}",
	    NOTIFICATION("accountNotification", "\"5\"", BURNED, "7"),
	    NOTIFICATION("accountNotification", "5", "null", "7"),
	    NOTIFICATION("accountNotification", "5", "{}", "7"),
	    NOTIFICATION("accountNotification", "5", BURNED, "-7"),
	    NOTIFICATION("programNotification", "5", BURNED, "7"),
	    NOTIFICATION(
		"programNotification", "5", "{\"pubkey\":\"x\",\"account\":" BURNED "}", "7"),
	    NOTIFICATION(
		"programNotification", "5", "{\"pubkey\":\"" ASSET "\",\"account\":null}", "7")};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct push_message m;
		if (read_text(texts[i], &m) == 0)
			fail_msg("read %s", texts[i]);
	}
}

/* ---- frames, over memory ---- */

struct wire {
	const uint8_t *in;
	size_t len, at, piece; /* piece: bytes per read; at the end the connection is silent */
	uint8_t out[4096];
	size_t out_len;
	char heard[256];
	size_t messages, bytes;
};

static ssize_t on_receive(void *arg, uint8_t *buf, size_t len)
{
	struct wire *wire = arg;
	size_t n = wire->len - wire->at;
	n = n < wire->piece ? n : wire->piece;
	n = n < len ? n : len;
	memcpy(buf, wire->in + wire->at, n);
	wire->at += n;
	return (ssize_t)n;
}

static ssize_t on_send(void *arg, const uint8_t *bytes, size_t len)
{
	struct wire *wire = arg;
	size_t n =
	    len < sizeof(wire->out) - wire->out_len ? len : sizeof(wire->out) - wire->out_len;
	memcpy(wire->out + wire->out_len, bytes, n);
	wire->out_len += n;
	return (ssize_t)n;
}

static void on_text(void *arg, const char *text, size_t len)
{
	struct wire *wire = arg;
	wire->messages++;
	wire->bytes += len;
	if (len < 64)
		snprintf(wire->heard + strlen(wire->heard),
		    sizeof(wire->heard) - strlen(wire->heard), "%.*s|", (int)len, text);
}

/* Feeds bytes, piece by piece; returns what frames_read said in the end. */
static int feed(struct wire *wire, const void *bytes, size_t len, size_t piece)
{
	const struct frames_hooks hooks = {on_receive, on_send, on_text, wire};
	struct frames *frames = frames_new(&hooks);
	struct error err = {0};
	int rc = 0;
	memset(wire, 0, sizeof(*wire));
	wire->in = bytes;
	wire->len = len;
	wire->piece = piece;
	while (rc == 0 && wire->at < wire->len)
		rc = frames_read(frames, &err);
	if (rc == 0 && frames_want_write(frames))
		rc = frames_write(frames, &err);
	assert_true((rc < 0) == (err.text[0] != '\0'));
	frames_destroy(&frames);
	return rc;
}

#define FEED(wire, text, piece) feed(wire, text, sizeof(text) - 1, piece)

static void joins_fragments_with_a_ping_between(void **arg)
{
	(void)arg;
	static const char frames[] = "\x81\x03one"
				     "\x01\x02tw"
				     "\x89\x02hi"
				     "\x80\x01o"
				     "\x81\x00";
	for (size_t piece = 1; piece <= sizeof(frames); piece++) {
		struct wire wire;
		assert_int_equal(FEED(&wire, frames, piece), 0);
		assert_string_equal(wire.heard, "one|two||");
		assert_int_equal(wire.out_len, 2 + 4 + 2); /* a masked pong */
		assert_int_equal(wire.out[0], 0x8a);
		assert_int_equal(wire.out[1], 0x82);
	}
}

static void ends_the_connection_for_what_is_not_allowed(void **arg)
{
	(void)arg;
	struct wire wire;
	assert_int_equal(FEED(&wire, "\x82\x01x", 100), -1); /* binary */
	assert_int_equal(
	    FEED(&wire, "\x81\x81\x01\x02\x03\x04y", 100), -1);     /* masked by a server */
	assert_int_equal(FEED(&wire, "\x81\x02\xc3\x28", 100), -1); /* not UTF-8 */
	assert_int_equal(FEED(&wire, "\xc1\x01x", 100), -1);        /* a reserved bit */
	assert_int_equal(FEED(&wire, "\x83\x01x", 100), -1);        /* a reserved opcode */
	assert_int_equal(FEED(&wire, "\x80\x01x", 100), -1);        /* continues nothing */
	assert_int_equal(FEED(&wire, "\x09\x00", 100), -1);         /* a fragmented ping */
	assert_int_equal(FEED(&wire, "\x88\x02\x03\xe8", 100), -1); /* goodbye */
	assert_int_equal(
	    FEED(&wire, "\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff", 100), -1); /* endless */
	assert_int_equal(FEED(&wire, "\x81\x7f\x00\x00\x00\x00\x00\x10\x00\x01x", 100),
	    -1); /* over the limit by one */
	assert_int_equal(wire.messages, 0);
}

static void takes_messages_up_to_the_limit(void **arg)
{
	(void)arg;
	struct wire wire;
	static const uint8_t head[] = {0x81, 0x7f, 0, 0, 0, 0, 0, 0x10, 0, 0};
	size_t len = sizeof(head) + FRAMES_MESSAGE_MAX;
	uint8_t *bytes = malloc(len);
	memset(bytes, 'x', len);
	memcpy(bytes, head, sizeof(head));
	assert_int_equal(feed(&wire, bytes, len, 65536), 0);
	assert_int_equal(wire.messages, 1);
	assert_int_equal(wire.bytes, FRAMES_MESSAGE_MAX);
	free(bytes);
}

static void masks_what_it_sends(void **arg)
{
	(void)arg;
	struct wire wire = {.piece = 1};
	const struct frames_hooks hooks = {on_receive, on_send, on_text, &wire};
	struct frames *frames = frames_new(&hooks);
	struct error err;
	assert_int_equal(frames_queue_text(frames, "hello", 5), 0);
	assert_int_equal(frames_queue_ping(frames), 0);
	assert_int_equal(frames_write(frames, &err), 0);
	assert_int_equal(wire.out_len, 2 + 4 + 5 + 2 + 4);
	const uint8_t *ping = wire.out, *text = wire.out + 6; /* control frames go first */
	assert_int_equal(ping[0], 0x89);
	assert_int_equal(ping[1], 0x80);
	assert_int_equal(text[0], 0x81);
	assert_int_equal(text[1], 0x85);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(text[6 + i] ^ text[2 + i % 4], "hello"[i]);
	char *big = malloc(FRAMES_QUEUE_MAX);
	memset(big, 'x', FRAMES_QUEUE_MAX);
	assert_int_equal(frames_queue_text(frames, big, FRAMES_QUEUE_MAX), 0);
	assert_int_equal(frames_queue_text(frames, big, 1), -1);
	free(big);
	frames_destroy(&frames);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(reads_what_nodes_send),
	    cmocka_unit_test(refuses_what_they_should_not_send),
	    cmocka_unit_test(joins_fragments_with_a_ping_between),
	    cmocka_unit_test(ends_the_connection_for_what_is_not_allowed),
	    cmocka_unit_test(takes_messages_up_to_the_limit),
	    cmocka_unit_test(masks_what_it_sends),
	};
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
