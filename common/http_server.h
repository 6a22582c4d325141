/* http_server - libevent's HTTP server behind a strict guard, for listeners that nginx or Prometheus reach (never the world directly).
 *
 * The guard (edge-and-bus.md section 7) refuses with 400 and closes: versions other than 1.0 and 1.1; header names that are not tokens, values with
 * controls; not exactly one Host; more than one Content-Length or one that is not digits; Transfer-Encoding other than "chunked", with
 * Content-Length, or on 1.0; HEAD with a body; a target that is not "/..." in printable ASCII.
 * The body read must be exactly as long as its headers said.
 * Every error is application/problem+json (RFC 9457) with code and request_id; only what evhttp itself cannot parse (400), bodies over 256 KiB (413) and
 * unknown expectations (417) get its own HTML, with Connection: close.
 */
#ifndef COMMON_HTTP_SERVER_H
#define COMMON_HTTP_SERVER_H

#include <event2/event.h>
#include <event2/http.h>
#include <jansson.h>

#include "common/error.h"

#define HTTP_BODY_MAX (64 * 1024)
/* More than nginx lets through (large_client_header_buffers) with its own: what evhttp refuses itself, it refuses in HTML. */
#define HTTP_HEADERS_MAX (20 * 1024)

struct http_server;
/* Answered exactly once, at any later time, by one of the http_reply functions or http_stream_start, even after its server was destroyed (the answer
 * then goes nowhere, and reading it gives empty values). */
struct http_request;
typedef void (*http_handler)(void *arg, struct http_request *request);

/* address: "unix:run/router.sock" (mode 0660) or "127.0.0.1:9101". Removes a stale socket file that nobody answers on. */
struct http_server *http_server_new(struct event_base *base, const char *address,
    http_handler handler, void *arg, struct error *err);
void http_server_destroy(struct http_server **server);

const char *http_method(const struct http_request *request); /* "GET" */
const char *http_path(const struct http_request *request);   /* without the query, not decoded */
const char *http_query(const struct http_request *request);  /* "" if none */
/* The only value of a header; NULL if absent, or if it occurs more than once (then *repeated_r is set, may be NULL). */
const char *http_header(const struct http_request *request, const char *name, bool *repeated_r);
/* Calls each for every header in order. */
void http_headers(const struct http_request *request,
    void (*each)(void *arg, const char *name, const char *value), void *arg);
const char *http_request_id(const struct http_request *request); /* 16 hex characters, ours */
bool http_has_body(const struct http_request *request);
/* Body as a JSON object: strict (duplicates, invalid UTF-8, trailing bytes refused), Content-Type application/json demanded. Caller owns. */
json_t *http_body_json(const struct http_request *request, struct error *err);
/* For the hot path only. */
struct evhttp_request *http_native(struct http_request *request);

/* Replies. Headers are added before. */
void http_reply_header(struct http_request *request, const char *name, const char *value);
void http_reply_json(struct http_request *request, int status, json_t *body); /* consumes body */
void http_reply_text(struct http_request *request, int status, const char *content_type,
    const char *text, size_t len);
void http_reply_empty(struct http_request *request, int status);
/* code: stable snake_case; status by the caller; detail NULL: the status in words. retry_after_s 0: none. */
void http_reply_problem(struct http_request *request, int status, const char *code,
    const char *detail, unsigned retry_after_s);
/* The same with members of its own; consumes more. */
void http_reply_problem_more(struct http_request *request, int status, const char *code,
    const char *detail, unsigned retry_after_s, json_t *more);

/* Server-sent events: headers go out at once; closed is called once when the client goes or is cut, from the loop, never from inside send; the stream
 * is gone when it returns (it may call http_stream_end, it need not). NULL, and closed is not called: the client has left already. */
struct http_stream;
struct http_stream *http_stream_start(
    struct http_request *request, void (*closed)(void *arg), void *arg);
/* Returns -1 and cuts the stream if the reader is too slow (64 KiB waiting). data is one line of JSON. event NULL: a comment (ping). */
int http_stream_send(struct http_stream *stream, const char *event, const char *data);
/* Bytes that the reader has not taken yet: for whoever can wait instead of having it cut. */
size_t http_stream_waiting(const struct http_stream *stream);
void http_stream_end(struct http_stream **stream); /* closes; closed is not called */

#endif
