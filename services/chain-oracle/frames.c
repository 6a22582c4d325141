#include "services/chain-oracle/frames.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

struct frames {
	struct frames_hooks hooks;
	wslay_event_context_ptr wslay;
	bool refused; /* a message that is none of ours */
};

static ssize_t on_receive(
    wslay_event_context_ptr wslay, uint8_t *buf, size_t len, int flags, void *arg)
{
	struct frames *frames = arg;
	(void)flags;
	ssize_t n = frames->hooks.receive(frames->hooks.arg, buf, len);
	if (n > 0)
		return n;
	wslay_event_set_error(wslay, n == 0 ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
	return -1;
}

static ssize_t on_send(
    wslay_event_context_ptr wslay, const uint8_t *bytes, size_t len, int flags, void *arg)
{
	struct frames *frames = arg;
	(void)flags;
	ssize_t n = frames->hooks.send(frames->hooks.arg, bytes, len);
	if (n > 0)
		return n;
	wslay_event_set_error(wslay, n == 0 ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
	return -1;
}

static int on_mask(wslay_event_context_ptr wslay, uint8_t *buf, size_t len, void *arg)
{
	(void)wslay;
	(void)arg;
	randombytes_buf(buf, len);
	return 0;
}

static void on_message(
    wslay_event_context_ptr wslay, const struct wslay_event_on_msg_recv_arg *message, void *arg)
{
	struct frames *frames = arg;
	(void)wslay;
	if (message->opcode == WSLAY_TEXT_FRAME)
		frames->hooks.text(
		    frames->hooks.arg, (const char *)message->msg, message->msg_length);
	else if (message->opcode == WSLAY_BINARY_FRAME)
		frames->refused = true;
}

struct frames *frames_new(const struct frames_hooks *hooks)
{
	static const struct wslay_event_callbacks callbacks = {
	    .recv_callback = on_receive,
	    .send_callback = on_send,
	    .genmask_callback = on_mask,
	    .on_msg_recv_callback = on_message,
	};
	struct frames *frames = calloc(1, sizeof(*frames));
	bug_if(!frames);
	frames->hooks = *hooks;
	bug_if(wslay_event_context_client_init(&frames->wslay, &callbacks, frames) != 0);
	wslay_event_config_set_max_recv_msg_length(frames->wslay, FRAMES_MESSAGE_MAX);
	return frames;
}

void frames_destroy(struct frames **frames)
{
	if (!*frames)
		return;
	wslay_event_context_free((*frames)->wslay);
	free(*frames);
	*frames = NULL;
}

/* wslay answers a protocol error with a close of its own and goes on; for us each of these is the end. */
static int judge(const struct frames *frames, int rc, struct error *err)
{
	if (rc != 0)
		return error_set(err, ERR_UNAVAILABLE, "connection lost");
	if (frames->refused)
		return error_set(err, ERR_INVALID, "a message that is not text");
	if (wslay_event_get_close_received(frames->wslay) ||
	    !wslay_event_get_read_enabled(frames->wslay))
		return error_set(err, ERR_UNAVAILABLE,
		    "closed by the server or for what it sent, status %u",
		    (unsigned)wslay_event_get_status_code_received(frames->wslay));
	return 0;
}

int frames_read(struct frames *frames, struct error *err)
{
	int rc = wslay_event_recv(frames->wslay);
	return judge(frames, rc, err);
}

int frames_write(struct frames *frames, struct error *err)
{
	int rc = wslay_event_send(frames->wslay);
	return judge(frames, rc, err);
}

bool frames_want_write(const struct frames *frames)
{
	return wslay_event_want_write(frames->wslay);
}

static int queue(struct frames *frames, uint8_t opcode, const char *text, size_t len)
{
	const struct wslay_event_msg message = {opcode, (const uint8_t *)text, len};
	if (wslay_event_get_queued_msg_length(frames->wslay) + len > FRAMES_QUEUE_MAX)
		return -1;
	return wslay_event_queue_msg(frames->wslay, &message) == 0 ? 0 : -1;
}

int frames_queue_text(struct frames *frames, const char *text, size_t len)
{
	return queue(frames, WSLAY_TEXT_FRAME, text, len);
}

int frames_queue_ping(struct frames *frames)
{
	return queue(frames, WSLAY_PING, "", 0);
}
