/* http_internal - what http_server.c and http_stream.c share. Nobody else includes it. */
#ifndef COMMON_HTTP_INTERNAL_H
#define COMMON_HTTP_INTERNAL_H

#include <stdint.h>
#include <sys/queue.h>

#include "common/http_server.h"

#define HTTP_IDLE_S 75 /* longer than nginx keeps an idle connection, so that nginx closes first */
#define HTTP_REQUEST_ID_LEN 16 /* hex characters */

/* A request outlives its server if it is answered late: server and native are NULL then, and the answer goes nowhere. */
struct http_request {
	struct http_server *server;
	struct evhttp_request *native;
	LIST_ENTRY(http_request) link;
	char id[HTTP_REQUEST_ID_LEN + 1];
};

/* Ends the wrapper, not the exchange. */
void http_request_release(struct http_request *request);
struct event_base *http_request_base(const struct http_request *request);

#endif
