/* http_stream - server-sent events (WHATWG HTML, section 9.2). */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <string.h>

#include "common/http_internal.h"
#include "common/log.h"

#define WAITING_MAX (64 * 1024)
#define EVENT_STREAM "text/event-stream"
/* what a client sends on its stream is not read; without a limit it would pile up */
#define INPUT_MAX 4096

static const struct timeval write_timeout = {30, 0};
static const struct timeval now = {0, 0};

struct http_stream {
	struct evhttp_request *native; /* NULL once the connection is gone */
	struct event *cut;
	bool is_over;
	void (*closed)(void *arg);
	void *arg;
};

/* evhttp's callback: the connection is about to be freed. */
static void on_close(struct evhttp_connection *connection, void *arg)
{
	struct http_stream *stream = arg;

	(void)connection;
	/* a request whose client left has been taken off its connection and is ours to free */
	if (!stream->native->evcon)
		evhttp_request_free(stream->native);
	stream->native = NULL;
	stream->is_over = true;
	if (stream->closed)
		stream->closed(stream->arg);
	event_free(stream->cut);
	free(stream);
}

/* Never from inside a send: that may run in one of this connection's own callbacks. */
static void on_cut(evutil_socket_t fd, short what, void *arg)
{
	struct http_stream *stream = arg;

	(void)fd, (void)what;
	evhttp_connection_free(stream->native->evcon);
}

static int cut(struct http_stream *stream)
{
	stream->is_over = true;
	event_add(stream->cut, &now);
	return -1;
}

struct http_stream *http_stream_start(
    struct http_request *request, void (*closed)(void *arg), void *arg)
{
	struct evhttp_request *native = request->native;

	if (!native || !native->evcon) {
		if (native)
			evhttp_request_free(native);
		http_request_release(request);
		return NULL;
	}
	struct http_stream *stream = calloc(1, sizeof(*stream));
	bug_if(!stream);
	*stream = (struct http_stream){.native = native, .closed = closed, .arg = arg};
	stream->cut = evtimer_new(http_request_base(request), on_cut, stream);
	bug_if(!stream->cut);
	http_reply_header(request, "Content-Type", EVENT_STREAM);
	http_reply_header(request, "Cache-Control", "no-store");
	http_reply_header(request, "X-Accel-Buffering", "no");
	http_reply_header(request, "Connection", "close");
	http_request_release(request);

	struct bufferevent *bev = evhttp_connection_get_bufferevent(native->evcon);
	evhttp_connection_set_closecb(native->evcon, on_close, stream);
	evhttp_send_reply_start(native, 200, "OK");
	bufferevent_set_timeouts(bev, NULL, &write_timeout);
	bufferevent_setwatermark(bev, EV_READ, 0, INPUT_MAX);
	return stream;
}

int http_stream_send(struct http_stream *stream, const char *event, const char *data)
{
	if (stream->is_over)
		return -1;
	struct bufferevent *bev = evhttp_connection_get_bufferevent(stream->native->evcon);

	if (evbuffer_get_length(bufferevent_get_output(bev)) > WAITING_MAX) {
		log_info("http stream cut", "why", "slow reader");
		return cut(stream);
	}
	if (strpbrk(data, "\r\n")) {
		log_error("http stream cut", "why", "data is more than one line");
		return cut(stream);
	}
	struct evbuffer *text = evbuffer_new();
	bug_if(!text);
	if (event)
		evbuffer_add_printf(text, "event: %s\ndata: %s\n\n", event, data);
	else
		evbuffer_add_printf(text, ": %s\n\n", data);
	evhttp_send_reply_chunk(stream->native, text);
	evbuffer_free(text);
	return 0;
}

size_t http_stream_waiting(const struct http_stream *stream)
{
	if (stream->is_over)
		return 0;
	struct bufferevent *bev = evhttp_connection_get_bufferevent(stream->native->evcon);

	return evbuffer_get_length(bufferevent_get_output(bev));
}

void http_stream_end(struct http_stream **stream_p)
{
	struct http_stream *stream = *stream_p;

	if (!stream)
		return;
	*stream_p = NULL;
	stream->closed = NULL;
	if (stream->is_over)
		return;
	evhttp_connection_set_closecb(stream->native->evcon, NULL, NULL);
	evhttp_send_reply_end(stream->native);
	event_free(stream->cut);
	free(stream);
}
