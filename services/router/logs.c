#include "services/router/logs.h"

#include <sodium.h>
#include <string.h>

#include "services/router/lines.h"
#include "services/router/sandboxes.h"
#include "services/router/stream.h"

#define LAST_MS 4000 /* nginx waits 5 s */
#define WAIT_MS 10000
#define WAIT_GRACE_MS 3000
#define WAITING_MAX 16384 /* what a reader may leave lying before it is waited for */

/* Before the next look: at a reader that is behind, at an agent that wrote nothing. */
static const struct timeval pause_for_reader = {0, 50000}, pause_for_agent = {0, 250000};

/* A reader who follows. Freed when both stream and question are over. */
struct tail {
	struct router *router;
	struct stream *stream; /* NULL: closed */
	struct event *later;
	bool is_asking, has_lost;
	uint8_t asset[PUBKEY_LEN];
	char trace[20];
	uint64_t next;
	struct lines lines;
	size_t at, len; /* of bytes: sent so far, there */
	uint8_t bytes[SANDBOX_LOG_BYTES];
};

static void tail_free(struct tail *tail)
{
	event_free(tail->later);
	sodium_memzero(tail, sizeof(*tail));
	free(tail);
}

static void ask(struct sandboxes *sandboxes, struct sandboxes_question *question,
    struct sandbox_logs_req *req, const char *token, bus_done done, void *arg)
{
	snprintf(req->token, sizeof(req->token), "%s", token);
	question->call = &sandbox_logs_call;
	question->req = req;
	sandboxes_ask(sandboxes, question, done, arg);
	sodium_memzero(req, sizeof(*req));
}

static void on_logs(void *arg, const void *rsp, const struct error *err);

static void tail_ask(struct tail *tail)
{
	uint64_t wait_ms = tail->next ? WAIT_MS : 0;
	tail->is_asking = true;
	ask(tail->router->sandboxes,
	    &(struct sandboxes_question){
		.asset = tail->asset,
		.deadline = clock_unix_ms() + wait_ms + WAIT_GRACE_MS,
		.trace = tail->trace,
	    },
	    &(struct sandbox_logs_req){.after = tail->next, .wait_ms = wait_ms},
	    stream_token(tail->stream), on_logs, tail);
}

static void send_line(struct tail *tail, const char *text, size_t len)
{
	stream_send(tail->stream, "log", json_pack("{s:s%}", "line", text, len));
}

/* Whatever there is, as far as reader and session allow; then asks for more. */
static void pump(struct tail *tail)
{
	char text[LINES_TEXT_MAX];
	size_t used, len;
	if (!tail->stream || !stream_is_clear(tail->stream))
		return;
	if (tail->has_lost)
		stream_send(tail->stream, "lost", json_object());
	tail->has_lost = false;
	while (tail->at < tail->len) {
		if (stream_waiting(tail->stream) > WAITING_MAX) {
			event_add(tail->later, &pause_for_reader);
			return;
		}
		if (lines_add(&tail->lines, tail->bytes + tail->at, tail->len - tail->at, &used,
			text, &len))
			send_line(tail, text, len);
		tail->at += used;
	}
	if (!tail->is_asking)
		tail_ask(tail);
}

/* Nothing new: what was begun is all there is for now, a prompt perhaps. */
static void rest(struct tail *tail)
{
	char text[LINES_TEXT_MAX];
	size_t len;
	if (stream_is_clear(tail->stream) && lines_flush(&tail->lines, text, &len))
		send_line(tail, text, len);
	event_add(tail->later, &pause_for_agent);
}

static void on_logs(void *arg, const void *rsp, const struct error *err)
{
	struct tail *tail = arg;
	const struct sandbox_logs_rsp *logs = rsp;
	tail->is_asking = false;
	if (!tail->stream) {
		tail_free(tail);
	} else if (err) {
		stream_end(tail->stream, err);
		tail_free(tail);
	} else {
		memcpy(tail->bytes, logs->bytes.data, logs->bytes.len);
		tail->at = 0;
		tail->len = logs->bytes.len;
		tail->has_lost = logs->lost;
		tail->next = logs->next;
		if (tail->len > 0)
			pump(tail);
		else
			rest(tail);
	}
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	pump(arg);
}

static void on_clear(void *arg)
{
	struct tail *tail = arg;
	if (!tail->is_asking && !event_pending(tail->later, EV_TIMEOUT, NULL))
		pump(tail);
}

static void on_closed(void *arg)
{
	struct tail *tail = arg;
	tail->stream = NULL;
	event_del(tail->later);
	if (!tail->is_asking)
		tail_free(tail);
}

static void follow(struct api_call *call)
{
	static const struct stream_hooks hooks = {on_clear, on_closed};
	struct router *router = call->router;
	struct tail *tail = calloc(1, sizeof(*tail));
	bug_if(!tail);
	tail->router = router;
	memcpy(tail->asset, call->asset, PUBKEY_LEN);
	snprintf(tail->trace, sizeof(tail->trace), "%s", http_request_id(call->request));
	tail->later = evtimer_new(router->process->base, on_later, tail);
	bug_if(!tail->later);
	tail->stream = stream_start(call, &hooks, tail);
	if (tail->stream)
		tail_ask(tail);
	else
		tail_free(tail);
}

static void on_last(void *arg, const void *rsp, const struct error *err)
{
	struct api_call *call = arg;
	const struct sandbox_logs_rsp *logs = rsp;
	if (err) {
		api_refuse(call, err);
		return;
	}
	http_reply_header(call->request, "Cache-Control", "no-store");
	http_reply_text(call->request, 200, "text/plain; charset=utf-8",
	    (const char *)logs->bytes.data, logs->bytes.len);
	api_done(call);
}

static void last(struct api_call *call)
{
	ask(call->router->sandboxes,
	    &(struct sandboxes_question){
		.asset = call->asset,
		.deadline = clock_unix_ms() + LAST_MS,
		.trace = http_request_id(call->request),
	    },
	    &(struct sandbox_logs_req){0}, call->token, on_last, call);
}

void logs_show(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	const char *query = http_query(call->request);
	if (query[0] && strcmp(query, "follow=1") != 0)
		api_refuse_named(call, "query_invalid");
	else if (!call->router->sandboxes)
		api_refuse_named(call, "service_unavailable");
	else if (query[0])
		follow(call);
	else
		last(call);
}
