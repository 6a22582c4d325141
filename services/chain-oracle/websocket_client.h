/* websocket_client - one WebSocket connection: libcurl's connection (proxy, TLS), the handshake, wslay's frames, on the loop. */
#ifndef CHAIN_ORACLE_WEBSOCKET_CLIENT_H
#define CHAIN_ORACLE_WEBSOCKET_CLIENT_H

#include "common/http_client.h"
#include "services/chain-oracle/handshake.h"

struct websocket_client_hooks {
	void (*open)(void *arg);
	void (*text)(void *arg, const char *text, size_t len); /* borrowed, not terminated */
	/* The end, once, whoever made it; the client may be destroyed in it, and only in it or outside of the hooks. */
	void (*closed)(void *arg, const struct error *why);
	void *arg;
};

struct websocket_client;
/* Connects at once; no hook is called from inside. Caller owns the result. */
struct websocket_client *websocket_client_new(struct event_base *base, struct http_client *http,
    const struct handshake_url *url, uint64_t timeout_ms,
    const struct websocket_client_hooks *hooks);
void websocket_client_destroy(struct websocket_client **client);
/* Queued, copied. Before open and after the end: dropped. A server that does not read ends the connection. */
void websocket_client_send(struct websocket_client *client, const char *text);
void websocket_client_ping(struct websocket_client *client);
/* Boot milliseconds when anything last came from the server; 0: nothing yet. */
uint64_t websocket_client_heard_ms(const struct websocket_client *client);
/* Ends it; closed is called by the loop. */
void websocket_client_close(struct websocket_client *client, const struct error *why);

#endif
