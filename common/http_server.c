#include "common/http_server.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <sodium.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/http_guard.h"
#include "common/http_internal.h"
#include "common/http_listen.h"
#include "common/log.h"

#define BACKLOG 1024
/* evhttp answers longer bodies itself, in HTML, and closes; between this and HTTP_BODY_MAX we answer */
#define EVHTTP_BODY_MAX (4 * HTTP_BODY_MAX)
/* every method reaches the handler, which alone says 404 or 405 */
#define ALL_METHODS 0xffff

static const struct timeval accept_pause = {0, 200000};

struct http_server {
	struct event_base *base;
	struct evhttp *http;
	struct evconnlistener *listener; /* owned by http */
	struct event *tick;
	char *path; /* of a unix socket, to be removed */
	http_handler handler;
	void *arg;
	LIST_HEAD(http_requests, http_request) requests;
	uint64_t first_id, nrequests;
};

struct event_base *http_request_base(const struct http_request *request)
{
	return request->server ? request->server->base : NULL;
}

void http_request_release(struct http_request *request)
{
	if (request->server)
		LIST_REMOVE(request, link);
	free(request);
}

/* Unique in this process, scattered, cheap: an odd factor permutes the 64-bit numbers. */
static void write_id(struct http_server *server, char *id)
{
	static const char hex[] = "0123456789abcdef";
	uint64_t n = server->first_id + server->nrequests++ * UINT64_C(0x9e3779b97f4a7c15);

	for (int i = 0; i < HTTP_REQUEST_ID_LEN; i++, n <<= 4)
		id[i] = hex[n >> 60];
	id[HTTP_REQUEST_ID_LEN] = '\0';
}

static struct http_request *request_new(struct http_server *server, struct evhttp_request *native)
{
	struct http_request *request = malloc(sizeof(*request));

	bug_if(!request);
	request->server = server;
	request->native = native;
	write_id(server, request->id);
	LIST_INSERT_HEAD(&server->requests, request, link);
	return request;
}

static void refuse(struct http_request *request, const char *why)
{
	log_info("http request refused", "request", request->id, "why", why);
	/* evhttp keeps the connection of a CONNECT open, whatever the headers say */
	if (request->native->type == EVHTTP_REQ_CONNECT)
		request->native->type = EVHTTP_REQ_GET;
	http_reply_header(request, "Connection", "close");
	http_reply_problem(request, 400, "request_invalid", why, 0);
}

static void on_request(struct evhttp_request *native, void *arg)
{
	struct http_server *server = arg;
	struct http_request *request = request_new(server, native);
	const char *why = http_guard(native);

	if (why) {
		refuse(request, why);
	} else if (evbuffer_get_length(native->input_buffer) > HTTP_BODY_MAX) {
		http_reply_problem(request, 413, "body_too_large", "the body is over 64 KiB", 0);
	} else {
		server->handler(server->arg, request);
	}
}

/* Out of descriptors, accept would fail again at once and for ever: wait for connections to end. evhttp has made itself the listener's
 * user, so this does not learn which server it is about, and the tick lets every server accept again. */
static void on_accept_error(struct evconnlistener *listener, void *evhttp)
{
	(void)evhttp;
	log_warn("http accept failed", "why", strerror(errno));
	evconnlistener_disable(listener);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *server = arg;

	(void)fd, (void)what;
	evconnlistener_enable(server->listener);
}

static void configure(struct http_server *server)
{
	evhttp_set_max_headers_size(server->http, HTTP_HEADERS_MAX);
	evhttp_set_max_body_size(server->http, EVHTTP_BODY_MAX);
	evhttp_set_default_content_type(server->http, NULL);
	evhttp_set_allowed_methods(server->http, ALL_METHODS);
	evhttp_set_timeout(server->http, HTTP_IDLE_S);
	evhttp_set_gencb(server->http, on_request, server);
	evconnlistener_set_error_cb(server->listener, on_accept_error);
	event_add(server->tick, &accept_pause);
}

struct http_server *http_server_new(struct event_base *base, const char *address,
    http_handler handler, void *arg, struct error *err)
{
	int fd = http_listen(address, err);

	if (fd < 0)
		return NULL;

	struct http_server *server = calloc(1, sizeof(*server));
	bug_if(!server);
	*server = (struct http_server){.base = base, .handler = handler, .arg = arg};
	LIST_INIT(&server->requests);
	randombytes_buf(&server->first_id, sizeof(server->first_id));
	if (http_listen_path(address))
		server->path = strdup(http_listen_path(address));
	server->http = evhttp_new(base);
	server->tick = event_new(base, -1, EV_PERSIST, on_tick, server);
	server->listener = evconnlistener_new(
	    base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, BACKLOG, fd);
	if (!server->listener) {
		close(fd);
		error_set(err, ERR_UNAVAILABLE, "%s: %s", address, strerror(errno));
		http_server_destroy(&server);
		return NULL;
	}
	bug_if(!server->http || !server->tick ||
	       !evhttp_bind_listener(server->http, server->listener));
	configure(server);
	return server;
}

void http_server_destroy(struct http_server **server_p)
{
	struct http_server *server = *server_p;
	struct http_request *request;

	if (!server)
		return;
	*server_p = NULL;
	while ((request = LIST_FIRST(&server->requests))) {
		LIST_REMOVE(request, link);
		/* evhttp frees the requests of its connections; one whose client left has none */
		if (request->native && !request->native->evcon)
			evhttp_request_free(request->native);
		request->server = NULL;
		request->native = NULL;
	}
	evhttp_free(server->http);
	event_free(server->tick);
	if (server->path)
		unlink(server->path);
	free(server->path);
	free(server);
}

const char *http_method(const struct http_request *request)
{
	if (!request->native)
		return "";
	switch (request->native->type) {
	case EVHTTP_REQ_GET:
		return "GET";
	case EVHTTP_REQ_POST:
		return "POST";
	case EVHTTP_REQ_HEAD:
		return "HEAD";
	case EVHTTP_REQ_PUT:
		return "PUT";
	case EVHTTP_REQ_DELETE:
		return "DELETE";
	case EVHTTP_REQ_OPTIONS:
		return "OPTIONS";
	case EVHTTP_REQ_PATCH:
		return "PATCH";
	case EVHTTP_REQ_TRACE:
		return "TRACE";
	default:
		return "UNKNOWN";
	}
}

const char *http_path(const struct http_request *request)
{
	return request->native ? evhttp_uri_get_path(request->native->uri_elems) : "";
}

const char *http_query(const struct http_request *request)
{
	const char *query =
	    request->native ? evhttp_uri_get_query(request->native->uri_elems) : NULL;

	return query ? query : "";
}

const char *http_header(const struct http_request *request, const char *name, bool *repeated_r)
{
	const struct evkeyval *header;
	const char *value = NULL;
	size_t n = 0;

	if (request->native) {
		TAILQ_FOREACH(header, request->native->input_headers, next)
		{
			if (strcasecmp(header->key, name) == 0 && n++ == 0)
				value = header->value;
		}
	}
	if (repeated_r)
		*repeated_r = n > 1;
	return n == 1 ? value : NULL;
}

void http_headers(const struct http_request *request,
    void (*each)(void *arg, const char *name, const char *value), void *arg)
{
	const struct evkeyval *header;

	if (!request->native)
		return;
	TAILQ_FOREACH(header, request->native->input_headers, next)
	{
		each(arg, header->key, header->value);
	}
}

const char *http_request_id(const struct http_request *request)
{
	return request->id;
}

struct evhttp_request *http_native(struct http_request *request)
{
	return request->native;
}
