#include "common/curl_loop.h"

#include <stdlib.h>
#include <string.h>

#include "common/heap.h"

struct curl_loop {
	struct event_base *base;
	int priority;
	CURLM *multi;
	struct event *timer; /* curl's */
	curl_loop_over over;
	void *arg;
};

void curl_loop_collect(struct curl_loop *loop)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(loop->multi, &left))) {
		if (message->msg == CURLMSG_DONE)
			loop->over(loop->arg, message->easy_handle, message->data.result);
	}
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct curl_loop *loop = arg;
	int running, did = 0;

	did |= what & EV_READ ? CURL_CSELECT_IN : 0;
	did |= what & EV_WRITE ? CURL_CSELECT_OUT : 0;
	curl_multi_socket_action(loop->multi, fd, did, &running);
	curl_loop_collect(loop);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct curl_loop *loop = arg;
	int running;

	(void)fd, (void)what;
	curl_multi_socket_action(loop->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	curl_loop_collect(loop);
}

static int watch_socket(CURL *easy, curl_socket_t fd, int wanted, void *arg, void *watch)
{
	struct curl_loop *loop = arg;
	struct event *event = watch;

	(void)easy;
	if (event)
		event_free(event);
	event = NULL;
	if (wanted != CURL_POLL_REMOVE) {
		int in = wanted & CURL_POLL_IN ? EV_READ : 0,
		    out = wanted & CURL_POLL_OUT ? EV_WRITE : 0;
		event = event_new(loop->base, fd, (short)(in | out | EV_PERSIST), on_socket, loop);
		bug_if(!event);
		event_priority_set(event, loop->priority); /* a loop without them has one for all */
		event_add(event, NULL);
	}
	curl_multi_assign(loop->multi, fd, event);
	return 0;
}

static int watch_time(CURLM *multi, long ms, void *arg)
{
	struct curl_loop *loop = arg;
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000};

	(void)multi;
	if (ms < 0)
		evtimer_del(loop->timer);
	else
		evtimer_add(loop->timer, &tv);
	return 0;
}

CURLM *curl_loop_multi(const struct curl_loop *loop)
{
	return loop->multi;
}

int curl_loop_add(struct curl_loop *loop, CURL *easy)
{
	return curl_multi_add_handle(loop->multi, easy) == CURLM_OK ? 0 : -1;
}

void curl_loop_remove(struct curl_loop *loop, CURL *easy)
{
	curl_multi_remove_handle(loop->multi, easy);
}

struct curl_loop *curl_loop_new(
    struct event_base *base, int priority, curl_loop_over over, void *arg, struct error *err)
{
	/* keys, tokens and bodies pass through its buffers */
	if (curl_global_init_mem(
		CURL_GLOBAL_DEFAULT, malloc, heap_free, heap_move, strdup, calloc) != CURLE_OK) {
		error_set(err, ERR_INTERNAL, "cannot start libcurl");
		return NULL;
	}
	struct curl_loop *loop = calloc(1, sizeof(*loop));
	bug_if(!loop);
	*loop = (struct curl_loop){.base = base, .priority = priority, .over = over, .arg = arg};
	loop->timer = evtimer_new(base, on_timer, loop);
	loop->multi = curl_multi_init();
	bug_if(!loop->timer || !loop->multi);
	event_priority_set(loop->timer, priority);
	curl_multi_setopt(loop->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
	curl_multi_setopt(loop->multi, CURLMOPT_SOCKETDATA, loop);
	curl_multi_setopt(loop->multi, CURLMOPT_TIMERFUNCTION, watch_time);
	curl_multi_setopt(loop->multi, CURLMOPT_TIMERDATA, loop);
	return loop;
}

void curl_loop_destroy(struct curl_loop **loop)
{
	struct curl_loop *l = *loop;

	if (!l)
		return;
	*loop = NULL;
	curl_multi_cleanup(l->multi);
	event_free(l->timer);
	free(l);
	curl_global_cleanup();
}
