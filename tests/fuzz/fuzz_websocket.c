/* What a server sends on a WebSocket: its handshake, then frames, in pieces whose size the first byte chooses. No message is longer than the limit, and nothing is
 * heard after the end. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/scoped.h"
#include "services/chain-oracle/frames.h"
#include "services/chain-oracle/handshake.h"
#include "services/chain-oracle/push_message.h"

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return sodium_init() < 0 ? -1 : 0;
}

struct server {
	const uint8_t *bytes;
	size_t len, at, piece;
	bool over;
};

static ssize_t on_receive(void *arg, uint8_t *buf, size_t len)
{
	struct server *server = arg;
	size_t n = server->len - server->at;
	n = n < server->piece ? n : server->piece;
	n = n < len ? n : len;
	memcpy(buf, server->bytes + server->at, n);
	server->at += n;
	return (ssize_t)n;
}

static ssize_t on_send(void *arg, const uint8_t *bytes, size_t len)
{
	(void)arg;
	(void)bytes;
	return (ssize_t)len;
}

static void on_text(void *arg, const char *text, size_t len)
{
	const struct server *server = arg;
	struct push_message message;
	if (server->over || len > FRAMES_MESSAGE_MAX)
		abort();
	(void)push_message_read(text, len, &message, NULL);
}

static void run_frames(struct server *server)
{
	const struct frames_hooks hooks = {on_receive, on_send, on_text, server};
	struct frames *frames = frames_new(&hooks);
	struct error err;
	while (!server->over && server->at < server->len) {
		if (frames_read(frames, &err) < 0)
			server->over = true;
		else if (frames_want_write(frames) && frames_write(frames, &err) < 0)
			server->over = true;
	}
	frames_destroy(&frames);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct error err;
	if (size < 1)
		return 0;
	size_t len = size - 1;
	scoped_free uint8_t *copy = malloc(len + !len);
	memcpy(copy, bytes + 1, len);
	ssize_t head = handshake_check((const char *)copy, len, KEY, &err);
	if (head > (ssize_t)len)
		abort();
	/* bit 7: frames at once, so that the handshake need not be guessed */
	size_t at = head > 0 ? (size_t)head : 0;
	struct server server = {copy, len, at, 1 + (bytes[0] & 127U), false};
	if (head > 0 || bytes[0] & 128)
		run_frames(&server);
	return 0;
}
