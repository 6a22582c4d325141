#include "tests/devchain/websocket.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <openssl/sha.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <wslay/wslay.h>

#include "common/error.h"
#include "common/scoped.h"

#define HEAD_MAX 8192
#define KEY_LEN 24
#define ACCEPT_SIZE 32
#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

struct websocket {
	struct bufferevent *bev;
	wslay_event_context_ptr frames; /* NULL before the handshake is done */
	const struct websocket_hooks *hooks;
	void *arg;
	bool ignored;
	bool pumping;    /* inside wslay: only queue, what is queued goes out at the end */
	bool last_words; /* close once the output is written */
};

static void free_websocket(struct websocket *ws)
{
	if (ws->frames)
		wslay_event_context_free(ws->frames);
	bufferevent_free(ws->bev);
	free(ws);
}

void websocket_destroy(struct websocket **websocket)
{
	if (*websocket)
		free_websocket(*websocket);
	*websocket = NULL;
}

static void closed(struct websocket *ws)
{
	ws->hooks->on_closed(ws->arg);
	free_websocket(ws);
}

bool websocket_is_open(const struct websocket *ws)
{
	return ws->frames && !wslay_event_get_close_sent(ws->frames);
}

/* ---- frames ---- */

static ssize_t frames_recv(
    wslay_event_context_ptr frames, uint8_t *buf, size_t len, int flags, void *arg)
{
	struct websocket *ws = arg;
	int n = evbuffer_remove(bufferevent_get_input(ws->bev), buf, len);

	(void)flags;
	if (n > 0)
		return n;
	wslay_event_set_error(frames, WSLAY_ERR_WOULDBLOCK);
	return -1;
}

static ssize_t frames_send(
    wslay_event_context_ptr frames, const uint8_t *data, size_t len, int flags, void *arg)
{
	struct websocket *ws = arg;

	(void)flags;
	if (bufferevent_write(ws->bev, data, len) == 0)
		return (ssize_t)len;
	wslay_event_set_error(frames, WSLAY_ERR_CALLBACK_FAILURE);
	return -1;
}

static void frames_message(
    wslay_event_context_ptr frames, const struct wslay_event_on_msg_recv_arg *msg, void *arg)
{
	struct websocket *ws = arg;

	(void)frames;
	if (msg->opcode == WSLAY_TEXT_FRAME || msg->opcode == WSLAY_BINARY_FRAME)
		ws->hooks->on_text(ws->arg, (const char *)msg->msg, msg->msg_length);
}

static void frames_open(struct websocket *ws)
{
	static const struct wslay_event_callbacks callbacks = {
	    .recv_callback = frames_recv,
	    .send_callback = frames_send,
	    .on_msg_recv_callback = frames_message,
	};

	bug_if(wslay_event_context_server_init(&ws->frames, &callbacks, ws) != 0);
	wslay_event_config_set_max_recv_msg_length(ws->frames, WEBSOCKET_MESSAGE_MAX);
}

/* false: the connection is over as soon as its output is written */
static bool pump(struct websocket *ws)
{
	int failed;

	ws->pumping = true;
	failed = wslay_event_recv(ws->frames);
	ws->pumping = false;
	if (failed || wslay_event_send(ws->frames) != 0)
		return false;
	return !wslay_event_get_close_sent(ws->frames);
}

bool websocket_send(struct websocket *ws, const char *text, size_t len)
{
	struct wslay_event_msg msg = {WSLAY_TEXT_FRAME, (const uint8_t *)text, len};

	if (!websocket_is_open(ws))
		return true;
	if (wslay_event_queue_msg(ws->frames, &msg) != 0)
		return false;
	if (!ws->pumping && wslay_event_send(ws->frames) != 0)
		return false;
	return evbuffer_get_length(bufferevent_get_output(ws->bev)) <= WEBSOCKET_BACKLOG_MAX;
}

/* ---- handshake ---- */

struct handshake {
	bool get, upgrade, version;
	char key[KEY_LEN + 1];
};

static void read_header(struct handshake *handshake, char *line)
{
	char *value = strchr(line, ':');

	if (!value)
		return;
	*value++ = '\0';
	value += strspn(value, " \t");
	if (strcasecmp(line, "Upgrade") == 0)
		handshake->upgrade = strcasecmp(value, "websocket") == 0;
	else if (strcasecmp(line, "Sec-WebSocket-Version") == 0)
		handshake->version = strcmp(value, "13") == 0;
	else if (strcasecmp(line, "Sec-WebSocket-Key") == 0 && strlen(value) == KEY_LEN)
		memcpy(handshake->key, value, KEY_LEN + 1);
}

static bool read_head(struct evbuffer *input, struct handshake *handshake)
{
	char *line;
	bool first = true, more = true;

	*handshake = (struct handshake){0};
	while (more && (line = evbuffer_readln(input, NULL, EVBUFFER_EOL_CRLF_STRICT))) {
		more = line[0] != '\0';
		if (first)
			handshake->get =
			    strncmp(line, "GET /", 5) == 0 && strstr(line, " HTTP/1.1");
		else
			read_header(handshake, line);
		first = false;
		free(line);
	}
	return handshake->get && handshake->upgrade && handshake->version && handshake->key[0];
}

static void accept_key(const char *key, char accept[ACCEPT_SIZE])
{
	unsigned char digest[SHA_DIGEST_LENGTH];
	char text[KEY_LEN + sizeof(GUID)];

	snprintf(text, sizeof(text), "%s" GUID, key);
	SHA1((const unsigned char *)text, strlen(text), digest);
	sodium_bin2base64(
	    accept, ACCEPT_SIZE, digest, sizeof(digest), sodium_base64_VARIANT_ORIGINAL);
}

static bool refuse(struct websocket *ws, const char *http)
{
	bufferevent_write(ws->bev, http, strlen(http));
	return false;
}

static bool shake_hands(struct websocket *ws)
{
	struct evbuffer *input = bufferevent_get_input(ws->bev);
	struct handshake handshake;
	char accept[ACCEPT_SIZE];
	const char *http = NULL;
	enum websocket_welcome welcome;

	if (evbuffer_search(input, "\r\n\r\n", 4, NULL).pos < 0)
		return evbuffer_get_length(input) <= HEAD_MAX;
	if (!read_head(input, &handshake))
		return refuse(ws,
		    "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
	welcome = ws->hooks->on_request(ws->arg, &http);
	if (welcome == WEBSOCKET_REFUSE)
		return refuse(ws, http);
	ws->ignored = welcome == WEBSOCKET_IGNORE;
	if (ws->ignored)
		return true;
	accept_key(handshake.key, accept);
	evbuffer_add_printf(bufferevent_get_output(ws->bev),
	    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Accept: %s\r\n\r\n",
	    accept);
	frames_open(ws);
	return true;
}

/* ---- events of the connection ---- */

static void finish(struct websocket *ws)
{
	static const struct timeval patience = {10, 0};

	ws->last_words = true;
	bufferevent_disable(ws->bev, EV_READ);
	bufferevent_set_timeouts(ws->bev, NULL, &patience);
	if (evbuffer_get_length(bufferevent_get_output(ws->bev)) == 0)
		closed(ws);
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct websocket *ws = arg;
	struct evbuffer *input = bufferevent_get_input(bev);

	if (ws->ignored)
		evbuffer_drain(input, evbuffer_get_length(input));
	else if ((!ws->frames && !shake_hands(ws)) || (ws->frames && !pump(ws)))
		finish(ws);
}

static void on_written(struct bufferevent *bev, void *arg)
{
	struct websocket *ws = arg;

	(void)bev;
	if (ws->last_words)
		closed(ws);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT))
		closed(arg);
}

struct websocket *websocket_new(
    struct event_base *base, evutil_socket_t fd, const struct websocket_hooks *hooks, void *arg)
{
	struct websocket *ws = calloc(1, sizeof(*ws));

	bug_if(!ws);
	ws->hooks = hooks;
	ws->arg = arg;
	ws->bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	bug_if(!ws->bev);
	bufferevent_setcb(ws->bev, on_read, on_written, on_event, ws);
	bufferevent_enable(ws->bev, EV_READ | EV_WRITE);
	return ws;
}
