/* common/http_server.h: requests from outside, as nginx sends them on. */
#include "common/http_server.h"

#include <string.h>
#include <strings.h>

#include "tests/sim/seam.h"

#define HEADERS 5

struct http_server {
	struct proc *proc;
	http_handler handler;
	void *arg;
};
struct http_request {
	struct http_server *server;
	struct seam_request asked;
	struct {
		const char *name, *value;
	} header[HEADERS];
	bool answered;
};

struct http_server *http_server_new(struct event_base *base, const char *address,
    http_handler handler, void *arg, struct error *err)
{
	struct http_server *server = world_alloc(sizeof(*server));
	struct proc *proc = world.running;

	(void)base, (void)err;
	*server = (struct http_server){proc, handler, arg};
	if (strcmp(address, "authz") == 0)
		proc->authz = server;
	else
		proc->api = server;
	return server;
}

void http_server_destroy(struct http_server **server)
{
	*server = NULL;
}

static void on_request(void *arg)
{
	struct http_request *request = arg;

	request->server->handler(request->server->arg, request);
}

void seam_http_ask(struct proc *router, struct http_server *server, uint64_t time,
    const struct seam_request *asked)
{
	struct http_request *request = world_alloc(sizeof(*request));
	size_t n = 0;

	request->server = server;
	request->asked = *asked;
	if (asked->host) {
		request->header[n].name = "X-Original-Host";
		request->header[n++].value = asked->host;
		request->header[n].name = "X-Original-Method";
		request->header[n++].value = "GET";
	} else {
		request->header[n].name = "X-Real-IP";
		request->header[n++].value = "192.0.2.1";
	}
	request->header[n].name = "Cookie";
	request->header[n++].value = asked->cookie;
	proc_deliver(router, CHANNEL_HTTP, time, on_request, request);
}

/* ---- what is asked */

const char *http_method(const struct http_request *request)
{
	return request->asked.method;
}

const char *http_path(const struct http_request *request)
{
	return request->asked.path;
}

const char *http_query(const struct http_request *request)
{
	(void)request;
	return "";
}

const char *http_header(const struct http_request *request, const char *name, bool *repeated_r)
{
	if (repeated_r)
		*repeated_r = false;
	for (size_t i = 0; i < HEADERS && request->header[i].name; i++)
		if (strcasecmp(request->header[i].name, name) == 0)
			return request->header[i].value;
	return NULL;
}

void http_headers(const struct http_request *request,
    void (*each)(void *arg, const char *name, const char *value), void *arg)
{
	for (size_t i = 0; i < HEADERS && request->header[i].name; i++)
		each(arg, request->header[i].name, request->header[i].value);
}

const char *http_request_id(const struct http_request *request)
{
	(void)request;
	return "0123456789abcdef";
}

bool http_has_body(const struct http_request *request)
{
	(void)request;
	return false;
}

json_t *http_body_json(const struct http_request *request, struct error *err)
{
	(void)request, (void)err;
	return json_object();
}

struct evhttp_request *http_native(struct http_request *request)
{
	(void)request;
	return NULL;
}

/* ---- what is answered */

static void answer(struct http_request *request, int status)
{
	bug_if(request->answered);
	request->answered = true;
	if (request->server->proc->up)
		request->asked.answered(request->asked.arg, request->server->proc, status);
}

void http_reply_header(struct http_request *request, const char *name, const char *value)
{
	if (world.traces && strcmp(name, "X-Multiclaw-Reason") == 0)
		world_trace(
		    "%s: to %s: %s", request->server->proc->name, request->asked.path, value);
}

void http_reply_json(struct http_request *request, int status, json_t *body)
{
	json_decref(body);
	answer(request, status);
}

void http_reply_text(struct http_request *request, int status, const char *content_type,
    const char *text, size_t len)
{
	(void)content_type, (void)text, (void)len;
	answer(request, status);
}

void http_reply_empty(struct http_request *request, int status)
{
	answer(request, status);
}

void http_reply_problem(struct http_request *request, int status, const char *code,
    const char *detail, unsigned retry_after_s)
{
	(void)code, (void)detail, (void)retry_after_s;
	answer(request, status);
}

void http_reply_problem_more(struct http_request *request, int status, const char *code,
    const char *detail, unsigned retry_after_s, json_t *more)
{
	(void)code, (void)detail, (void)retry_after_s;
	json_decref(more);
	answer(request, status);
}

struct http_stream *http_stream_start(
    struct http_request *request, void (*closed)(void *arg), void *arg)
{
	(void)request, (void)closed, (void)arg;
	return NULL;
}

int http_stream_send(struct http_stream *stream, const char *event, const char *data)
{
	(void)stream, (void)event, (void)data;
	return -1;
}

size_t http_stream_waiting(const struct http_stream *stream)
{
	(void)stream;
	return 0;
}

void http_stream_end(struct http_stream **stream)
{
	*stream = NULL;
}
