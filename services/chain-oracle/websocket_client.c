#include "services/chain-oracle/websocket_client.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "services/chain-oracle/frames.h"

/* Read in one turn of the loop; a server that sends without end does not keep the others waiting. */
#define TURN_MAX ((size_t)256 * 1024)

struct websocket_client {
	struct event_base *base;
	struct http_client *http;
	struct websocket_client_hooks hooks;
	struct handshake_url url;
	char key[HANDSHAKE_KEY_LEN + 1];
	CURL *easy;
	struct event *readable, *writable, *again, *timeout, *end;
	struct frames *frames;    /* NULL: no handshake yet */
	char head[HANDSHAKE_MAX]; /* of the server, and behind it the first frames */
	size_t head_len, head_used;
	char *request;
	size_t request_sent;
	size_t turn;
	uint64_t heard_ms;
	bool ended;
	struct error why;
};

static const struct timeval at_once = {0};

void websocket_client_close(struct websocket_client *client, const struct error *why)
{
	if (client->ended)
		return;
	client->ended = true;
	client->why = *why;
	event_add(client->end, &at_once);
}

static void on_end(evutil_socket_t fd, short what, void *arg)
{
	struct websocket_client *client = arg;
	(void)fd;
	(void)what;
	struct error why = client->why;
	client->hooks.closed(client->hooks.arg, &why);
}

static void end_with(struct websocket_client *client, const char *text)
{
	struct error why;
	error_set(&why, ERR_UNAVAILABLE, "%s", text);
	websocket_client_close(client, &why);
}

/* 0: would block. -1: over. */
static ssize_t receive(struct websocket_client *client, void *buf, size_t len)
{
	size_t n = 0;
	CURLcode code = curl_easy_recv(client->easy, buf, len, &n);
	if (code == CURLE_AGAIN)
		return 0;
	if (code != CURLE_OK || n == 0)
		return -1;
	client->heard_ms = clock_boot_ms();
	return (ssize_t)n;
}

static ssize_t on_receive(void *arg, uint8_t *buf, size_t len)
{
	struct websocket_client *client = arg;
	size_t left = client->head_len - client->head_used;
	if (left > 0) {
		size_t n = left < len ? left : len;
		memcpy(buf, client->head + client->head_used, n);
		client->head_used += n;
		return (ssize_t)n;
	}
	if (client->turn >= TURN_MAX) {
		event_add(client->again, &at_once);
		return 0;
	}
	ssize_t n = receive(client, buf, len);
	if (n > 0)
		client->turn += (size_t)n;
	return n;
}

static ssize_t on_send(void *arg, const uint8_t *bytes, size_t len)
{
	struct websocket_client *client = arg;
	size_t n = 0;
	CURLcode code = curl_easy_send(client->easy, bytes, len, &n);
	if (code == CURLE_AGAIN)
		return 0;
	return code == CURLE_OK ? (ssize_t)n : -1;
}

static void on_text(void *arg, const char *text, size_t len)
{
	struct websocket_client *client = arg;
	if (!client->ended)
		client->hooks.text(client->hooks.arg, text, len);
}

static void write_if_wanted(struct websocket_client *client)
{
	if (!client->ended && client->frames && frames_want_write(client->frames))
		event_add(client->writable, NULL);
}

static void read_frames(struct websocket_client *client)
{
	struct error why;
	client->turn = 0;
	if (frames_read(client->frames, &why) < 0)
		websocket_client_close(client, &why);
	write_if_wanted(client);
}

static void begin_frames(struct websocket_client *client)
{
	const struct frames_hooks hooks = {on_receive, on_send, on_text, client};
	evtimer_del(client->timeout);
	client->frames = frames_new(&hooks);
	client->hooks.open(client->hooks.arg);
	if (!client->ended)
		read_frames(client);
}

static void read_head(struct websocket_client *client)
{
	struct error why;
	ssize_t n = receive(
	    client, client->head + client->head_len, sizeof(client->head) - client->head_len);
	if (n < 0)
		end_with(client, "connection lost in the handshake");
	if (n <= 0)
		return;
	client->head_len += (size_t)n;
	ssize_t head = handshake_check(client->head, client->head_len, client->key, &why);
	if (head < 0) {
		websocket_client_close(client, &why);
	} else if (head > 0) {
		client->head_used = (size_t)head;
		begin_frames(client);
	} else {
		event_add(client->again, &at_once); /* TLS may hold more than the socket shows */
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct websocket_client *client = arg;
	(void)fd;
	(void)what;
	if (client->ended)
		return;
	if (client->frames)
		read_frames(client);
	else
		read_head(client);
}

/* True: all of it is out. */
static bool send_request(struct websocket_client *client)
{
	size_t len = strlen(client->request);
	while (client->request_sent < len) {
		ssize_t n = on_send(client, (const uint8_t *)client->request + client->request_sent,
		    len - client->request_sent);
		if (n < 0)
			end_with(client, "connection lost in the handshake");
		if (n <= 0)
			return false;
		client->request_sent += (size_t)n;
	}
	return true;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct websocket_client *client = arg;
	struct error why;
	(void)fd;
	(void)what;
	if (client->ended)
		return;
	if (!client->frames) {
		if (!send_request(client) && !client->ended)
			event_add(client->writable, NULL);
		return;
	}
	if (frames_write(client->frames, &why) < 0)
		websocket_client_close(client, &why);
	write_if_wanted(client);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	end_with(arg, "no handshake in time");
}

static struct event *event_make(
    struct event_base *base, evutil_socket_t fd, short what, event_callback_fn callback, void *arg)
{
	struct event *event = event_new(base, fd, what, callback, arg);
	bug_if(!event);
	return event;
}

static void on_connected(void *arg, CURL *easy, curl_socket_t fd, const struct error *err)
{
	struct websocket_client *client = arg;
	if (err) {
		client->easy = NULL; /* it is closed already */
		websocket_client_close(client, err);
		return;
	}
	client->easy = easy;
	client->readable = event_make(client->base, fd, EV_READ | EV_PERSIST, on_readable, client);
	client->writable = event_make(client->base, fd, EV_WRITE, on_writable, client);
	event_add(client->readable, NULL);
	event_add(client->writable, NULL);
}

struct websocket_client *websocket_client_new(struct event_base *base, struct http_client *http,
    const struct handshake_url *url, uint64_t timeout_ms,
    const struct websocket_client_hooks *hooks)
{
	const struct timeval timeout = {
	    (time_t)(timeout_ms / 1000), (suseconds_t)(timeout_ms % 1000) * 1000};
	struct websocket_client *client = calloc(1, sizeof(*client));
	bug_if(!client);
	client->base = base;
	client->http = http;
	client->hooks = *hooks;
	client->url = *url;
	handshake_key(client->key);
	client->request = handshake_request(url, client->key);
	client->again = event_make(base, -1, 0, on_readable, client);
	client->end = event_make(base, -1, 0, on_end, client);
	client->timeout = event_make(base, -1, 0, on_timeout, client);
	event_add(client->timeout, &timeout);
	client->easy = http_connect(http, url->connect, timeout_ms, on_connected, client);
	return client;
}

static void event_drop(struct event **event)
{
	if (*event)
		event_free(*event);
	*event = NULL;
}

void websocket_client_destroy(struct websocket_client **client)
{
	struct websocket_client *c = *client;
	if (!c)
		return;
	event_drop(&c->readable);
	event_drop(&c->writable);
	event_drop(&c->again);
	event_drop(&c->timeout);
	event_drop(&c->end);
	frames_destroy(&c->frames);
	if (c->easy)
		http_close(c->http, &c->easy);
	free(c->request);
	free(c);
	*client = NULL;
}

void websocket_client_send(struct websocket_client *client, const char *text)
{
	if (client->ended || !client->frames)
		return;
	if (frames_queue_text(client->frames, text, strlen(text)) < 0)
		end_with(client, "the server does not read");
	write_if_wanted(client);
}

void websocket_client_ping(struct websocket_client *client)
{
	if (client->ended || !client->frames)
		return;
	if (frames_queue_ping(client->frames) < 0)
		end_with(client, "the server does not read");
	write_if_wanted(client);
}

uint64_t websocket_client_heard_ms(const struct websocket_client *client)
{
	return client->heard_ms;
}
