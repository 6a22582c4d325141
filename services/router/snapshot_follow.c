#include "services/router/snapshot_follow.h"

#include <sodium.h>
#include <string.h>

#include "services/router/sandboxes.h"
#include "services/router/snapshot_json.h"
#include "services/router/stream.h"

#define WAIT_MS 10000
#define WAIT_GRACE_MS 3000
#define WAITING_MAX 16384 /* what a reader may leave lying before progress is left out */

/* Between two questions: a host that answers at once, always, costs no more than this. */
static const struct timeval pause_for_agent = {0, 250000};

/* A reader who follows. Freed when both stream and question are over. */
struct progress {
	struct router *router;
	struct stream *stream; /* NULL: closed */
	struct event *later;
	bool is_asking, is_done;
	uint8_t asset[PUBKEY_LEN];
	char trace[20];
	uint64_t change;
	json_t *news; /* what is to be sent; NULL: nothing */
};

static void progress_free(struct progress *progress)
{
	event_free(progress->later);
	json_decref(progress->news);
	free(progress);
}

static void on_snapshots(void *arg, const void *rsp, const struct error *err);

static void ask(struct progress *progress)
{
	uint64_t wait_ms = progress->change ? WAIT_MS : 0;
	struct sandbox_snapshots_req req = {.after = progress->change, .wait_ms = wait_ms};
	progress->is_asking = true;
	snprintf(req.token, sizeof(req.token), "%s", stream_token(progress->stream));
	sandboxes_ask(progress->router->sandboxes,
	    &(struct sandboxes_question){
		.call = &sandbox_snapshots_call,
		.req = &req,
		.asset = progress->asset,
		.deadline = clock_unix_ms() + wait_ms + WAIT_GRACE_MS,
		.trace = progress->trace,
	    },
	    on_snapshots, progress);
	sodium_memzero(&req, sizeof(req));
}

static void send_news(struct progress *progress)
{
	json_t *news = progress->news;
	progress->news = NULL;
	if (progress->is_done || stream_waiting(progress->stream) < WAITING_MAX)
		stream_send(progress->stream, progress->is_done ? "done" : "progress", news);
	else
		json_decref(news);
}

/* What there is, if the session allows it; then the end, or the next question in a moment. */
static void pump(struct progress *progress)
{
	if (!stream_is_clear(progress->stream))
		return;
	if (progress->news)
		send_news(progress);
	if (progress->is_done) {
		stream_end(progress->stream, NULL);
		progress_free(progress);
	} else if (!progress->is_asking && !event_pending(progress->later, EV_TIMEOUT, NULL)) {
		event_add(progress->later, &pause_for_agent);
	}
}

static void take(struct progress *progress, const struct sandbox_snapshots_rsp *found)
{
	bool is_new = !progress->change || found->change != progress->change;
	progress->change = found->change;
	progress->is_done = !found->doing[0];
	if (!is_new && !progress->is_done)
		return;
	json_decref(progress->news);
	progress->news = progress->is_done ? snapshot_json_list(found)
					   : snapshot_json_progress((const void *)found);
}

static void on_snapshots(void *arg, const void *rsp, const struct error *err)
{
	struct progress *progress = arg;
	struct error bad;
	progress->is_asking = false;
	if (!progress->stream) {
		progress_free(progress);
		return;
	}
	if (!err)
		take(progress, rsp);
	if (!err && progress->is_done && !progress->news) {
		error_set(&bad, ERR_INTERNAL, "snapshots that JSON cannot say");
		err = &bad;
	}
	if (err) {
		stream_end(progress->stream, err);
		progress_free(progress);
	} else {
		pump(progress);
	}
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
	struct progress *progress = arg;
	(void)fd, (void)what;
	if (stream_is_clear(progress->stream))
		ask(progress);
}

static void on_clear(void *arg)
{
	pump(arg);
}

static void on_closed(void *arg)
{
	struct progress *progress = arg;
	progress->stream = NULL;
	event_del(progress->later);
	if (!progress->is_asking)
		progress_free(progress);
}

void snapshot_follow(struct api_call *call)
{
	static const struct stream_hooks hooks = {on_clear, on_closed};
	struct router *router = call->router;
	struct progress *progress = calloc(1, sizeof(*progress));
	bug_if(!progress);
	progress->router = router;
	memcpy(progress->asset, call->asset, PUBKEY_LEN);
	snprintf(progress->trace, sizeof(progress->trace), "%s", http_request_id(call->request));
	progress->later = evtimer_new(router->process->base, on_later, progress);
	bug_if(!progress->later);
	progress->stream = stream_start(call, &hooks, progress);
	if (progress->stream)
		ask(progress);
	else
		progress_free(progress);
}
