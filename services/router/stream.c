#include "services/router/stream.h"

#include <sodium.h>
#include <string.h>
#include <sys/queue.h>

#include "common/scoped.h"
#include "services/router/gate.h"
#include "services/router/problem.h"

#define PING_S 15
/* Events that wait for the session's answer; more of them say nothing new. */
#define NEWS_MAX 16

struct stream {
	LIST_ENTRY(stream) link;
	struct streams *streams;
	struct http_stream *http; /* NULL: closed, freed when the question is answered */
	bool is_asking;
	const struct stream_hooks *hooks; /* NULL: events are what is sent */
	void *arg;
	uint64_t exp_ms;
	uint8_t asset[PUBKEY_LEN];
	char asset_text[PUBKEY_TEXT_MAX + 1];
	size_t nnews;
	struct news {
		char kind[16];
		uint64_t at_ms;
	} news[NEWS_MAX];
	char trace[20];
	char token[COOKIE_TOKEN_MAX + 1];
};

struct streams {
	struct router *router;
	struct event *ping;
	size_t n;
	LIST_HEAD(stream_list, stream) list;
	struct metric *open, *ended;
};

static void stream_free(struct stream *stream)
{
	LIST_REMOVE(stream, link);
	stream->streams->n--;
	metric_set(stream->streams->open, (double)stream->streams->n);
	sodium_memzero(stream, sizeof(*stream));
	free(stream);
}

static void tell_closed(struct stream *stream)
{
	if (stream->hooks)
		stream->hooks->closed(stream->arg);
	stream->hooks = NULL;
}

/* The client has gone, or was too slow. */
static void on_closed(void *arg)
{
	struct stream *stream = arg;
	stream->http = NULL;
	tell_closed(stream);
	if (!stream->is_asking)
		stream_free(stream);
}

void stream_send(struct stream *stream, const char *event, json_t *data)
{
	scoped_json json_t *owned = data;
	scoped_free char *text = json_dumps(owned, JSON_COMPACT | JSON_ENSURE_ASCII);
	bug_if(!text);
	http_stream_send(stream->http, event, text);
}

/* reason NULL: the client is to come back and be judged anew. */
static void end(struct stream *stream, const char *reason)
{
	if (reason) {
		stream_send(stream, "session_ended",
		    json_pack("{s:s, s:s}", "kind", "session_ended", "reason", reason));
		metric_add(stream->streams->ended, 1);
	}
	http_stream_end(&stream->http);
	tell_closed(stream);
	if (!stream->is_asking)
		stream_free(stream);
}

static const char *reason_of(const struct error *err)
{
	return err && err->code == ERR_UNAUTHENTICATED ? problem_of(err)->code : NULL;
}

static const char *event_for(const char *kind)
{
	static const char *const own[] = {"transfer", "agent", "snapshot", "secret"};
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		if (strcmp(own[i], kind) == 0)
			return own[i];
	return "session";
}

static void send_news(struct stream *stream)
{
	for (size_t i = 0; i < stream->nnews; i++) {
		const struct news *news = &stream->news[i];
		stream_send(stream, event_for(news->kind),
		    json_pack("{s:s, s:s, s:o}", "kind", news->kind, "asset", stream->asset_text,
			"at", api_time(news->at_ms)));
	}
	stream->nnews = 0;
}

/* The gate lets no answer through that an event has overtaken, so a good one is as new as all news that wait. */
static void on_answer(void *arg, const struct session_check_rsp *session,
    enum decision_audience audience, const struct error *err)
{
	struct stream *stream = arg;
	(void)session, (void)audience;
	stream->is_asking = false;
	if (!stream->http)
		stream_free(stream);
	else if (err)
		end(stream, reason_of(err));
	else if (stream->hooks)
		stream->hooks->clear(stream->arg);
	else
		send_news(stream);
}

static void ask(struct stream *stream)
{
	if (stream->is_asking || !stream->http)
		return;
	stream->is_asking = true;
	gate_ask(stream->streams->router,
	    &(struct gate_question){
		.token = {stream->token, strlen(stream->token)},
		.timeout_ms = GATE_API_MS,
		.trace = stream->trace,
	    },
	    on_answer, stream);
}

void streams_on_event(struct streams *streams, const struct ledger_event *event)
{
	struct stream *stream;
	uint8_t asset[PUBKEY_LEN];
	bool all = pubkey_parse(event->asset, asset) != 0;
	LIST_FOREACH(stream, &streams->list, link)
	{
		if (!all && memcmp(stream->asset, asset, PUBKEY_LEN) != 0)
			continue;
		if (!stream->hooks && stream->nnews < NEWS_MAX) {
			struct news *news = &stream->news[stream->nnews++];
			memcpy(news->kind, event->kind, sizeof(news->kind));
			news->at_ms = event->id.ms;
		}
		ask(stream);
	}
}

void streams_on_restart(struct streams *streams)
{
	struct stream *stream;
	LIST_FOREACH(stream, &streams->list, link)
	ask(stream);
}

static void on_ping(evutil_socket_t fd, short what, void *arg)
{
	struct streams *streams = arg;
	(void)fd, (void)what;
	uint64_t now_ms = clock_unix_ms();
	for (struct stream *stream = LIST_FIRST(&streams->list), *next; stream; stream = next) {
		next = LIST_NEXT(stream, link);
		if (!stream->http)
			continue;
		if (now_ms < stream->exp_ms)
			http_stream_send(stream->http, NULL, "ping");
		else if (!stream->is_asking)
			end(stream, "session_expired");
	}
}

static bool has_room(const struct streams *streams, const uint8_t asset[PUBKEY_LEN])
{
	const struct stream *stream;
	size_t same = 0;
	LIST_FOREACH(stream, &streams->list, link)
	same += memcmp(stream->asset, asset, PUBKEY_LEN) == 0;
	return streams->n < streams->router->streams_max &&
	       same < streams->router->streams_per_asset;
}

static struct stream *stream_new(const struct api_call *call, struct streams *streams)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	bug_if(!stream);
	stream->streams = streams;
	stream->exp_ms = call->exp_ms;
	memcpy(stream->asset, call->asset, PUBKEY_LEN);
	pubkey_text(stream->asset, stream->asset_text);
	memcpy(stream->token, call->token, sizeof(stream->token));
	snprintf(stream->trace, sizeof(stream->trace), "%s", http_request_id(call->request));
	LIST_INSERT_HEAD(&streams->list, stream, link);
	metric_set(streams->open, (double)++streams->n);
	return stream;
}

struct stream *stream_start(struct api_call *call, const struct stream_hooks *hooks, void *arg)
{
	struct streams *streams = call->router->streams;
	if (!has_room(streams, call->asset)) {
		api_refuse_named(call, "streams_exhausted");
		return NULL;
	}
	struct stream *stream = stream_new(call, streams);
	stream->http = http_stream_start(call->request, on_closed, stream);
	api_done(call);
	if (!stream->http) {
		stream_free(stream);
		return NULL;
	}
	stream->hooks = hooks;
	stream->arg = arg;
	http_stream_send(stream->http, NULL, "ping");
	return stream;
}

void stream_open(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	stream_start(call, NULL, NULL);
}

bool stream_is_clear(const struct stream *stream)
{
	return !stream->is_asking;
}

size_t stream_waiting(const struct stream *stream)
{
	return http_stream_waiting(stream->http);
}

const char *stream_token(const struct stream *stream)
{
	return stream->token;
}

void stream_end(struct stream *stream, const struct error *err)
{
	stream->hooks = NULL;
	end(stream, reason_of(err));
}

struct streams *streams_new(struct router *router)
{
	static const struct timeval every = {PING_S, 0};
	struct streams *streams = calloc(1, sizeof(*streams));
	bug_if(!streams);
	streams->router = router;
	LIST_INIT(&streams->list);
	streams->open = metrics_gauge(
	    router->process->metrics, "multiclaw_streams", "Event streams open now.", NULL);
	streams->ended = metrics_counter(router->process->metrics, "multiclaw_streams_ended_total",
	    "Event streams ended with their session.", NULL);
	streams->ping = event_new(router->process->base, -1, EV_PERSIST, on_ping, streams);
	bug_if(!streams->ping);
	event_add(streams->ping, &every);
	return streams;
}

void streams_destroy(struct streams **streams)
{
	struct stream *stream;
	if (!*streams)
		return;
	while ((stream = LIST_FIRST(&(*streams)->list))) {
		http_stream_end(&stream->http);
		tell_closed(stream);
		stream_free(stream);
	}
	event_free((*streams)->ping);
	free(*streams);
	*streams = NULL;
}
