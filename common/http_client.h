/* http_client - HTTP requests out, by libcurl's multi interface on the loop. Bounded answer,
 * total and connect timeout, no redirects, http and https only, certificates verified,
 * connections reused. */
#ifndef COMMON_HTTP_CLIENT_H
#define COMMON_HTTP_CLIENT_H

#include <curl/curl.h>
#include <event2/event.h>

#include "common/error.h"

#define HTTP_TOO_LONG "answer_too_long" /* an error's reason */

struct http_client;
struct http_answer {
	long status;
	const char *body; /* NUL-terminated copy, borrowed for the call */
	size_t len;
	unsigned retry_after_s; /* of the Retry-After header, 0 if none */
};
/* answer NULL and err set (UNAVAILABLE or TIMEOUT): no complete answer. Called exactly once,
 * never from inside http_post. */
typedef void (*http_done)(void *arg, const struct http_answer *answer, const struct error *err);

struct http_client *http_client_new(struct event_base *base, struct error *err);
/* Pending requests end with ERR_UNAVAILABLE before this returns. */
void http_client_destroy(struct http_client **client);
/* POSTs a JSON body (copied). Answers over body_max bytes are an error. */
void http_post(struct http_client *client, const char *url, const char *body, size_t len,
    uint64_t timeout_ms, size_t body_max, http_done done, void *arg);

/* A raw connection for WebSocket: TCP, proxy and TLS are libcurl's (CONNECT_ONLY), the bytes are
 * the caller's. url is http(s)://. On success done gets the easy handle (stays in the client,
 * closed with http_close before the client is destroyed) and its socket for the caller's own
 * events. Read with curl_easy_recv until CURLE_AGAIN. On failure done gets NULL and the handle
 * returned is gone. */
typedef void (*http_connected)(void *arg, CURL *easy, curl_socket_t fd, const struct error *err);
CURL *http_connect(struct http_client *client, const char *url, uint64_t timeout_ms,
    http_connected done, void *arg);
/* Also cancels a connect under way: done is not called any more. */
void http_close(struct http_client *client, CURL **easy);

#endif
