/* websocket - the server's side of one WebSocket connection (RFC 6455): handshake, then wslay's framing over a bufferevent. */
#ifndef DEVCHAIN_WEBSOCKET_H
#define DEVCHAIN_WEBSOCKET_H

#include <event2/event.h>
#include <event2/util.h>
#include <stdbool.h>
#include <stddef.h>

#define WEBSOCKET_MESSAGE_MAX \
	4096 /* a longer message closes the connection, as the real server does */
#define WEBSOCKET_BACKLOG_MAX \
	(8 * 1024 * 1024) /* bytes a slow reader may leave unread before it is cut off */

struct websocket;
enum websocket_welcome { WEBSOCKET_ACCEPT, WEBSOCKET_IGNORE, WEBSOCKET_REFUSE };
struct websocket_hooks {
	/* the request has arrived; with REFUSE *http_r is the whole HTTP reply to send. IGNORE never answers. */
	enum websocket_welcome (*on_request)(void *arg, const char **http_r);
	void (*on_text)(void *arg, const char *text, size_t len);
	void (*on_closed)(void *
		arg); /* once; the websocket is gone when this returns. Not after websocket_destroy. */
};

/* Takes fd. hooks are kept, arg is passed to them. */
struct websocket *websocket_new(
    struct event_base *base, evutil_socket_t fd, const struct websocket_hooks *hooks, void *arg);
/* Cuts the connection without a word. Not from inside a hook. */
void websocket_destroy(struct websocket **websocket);
/* False: the reader is too far behind, destroy it. Ignored before the handshake and while closing. */
bool websocket_send(struct websocket *websocket, const char *text, size_t len);
bool websocket_is_open(const struct websocket *websocket);

#endif
