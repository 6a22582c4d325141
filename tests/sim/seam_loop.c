/* libevent's timers, as far as the suite's code uses them without sockets. */
#include <event2/event.h>
#include <stdlib.h>

#include "tests/sim/seam.h"

struct event_base {
	struct proc *proc;
};

struct event {
	struct proc *proc;
	short what;
	event_callback_fn fn;
	void *arg;
	uint64_t every_us;
	struct timer *armed; /* NULL: not */
};

/* Stays behind when its event is freed or set again. */
struct timer {
	struct event *event; /* NULL: disarmed */
};

struct event_base *seam_base_new(struct proc *proc)
{
	struct event_base *base = world_alloc(sizeof(*base));

	base->proc = proc;
	return base;
}

struct event *event_new(
    struct event_base *base, evutil_socket_t fd, short what, event_callback_fn fn, void *arg)
{
	struct event *event = malloc(sizeof(*event));

	bug_if(!event || fd != -1);
	*event = (struct event){.proc = base->proc, .what = what, .fn = fn, .arg = arg};
	return event;
}

static void on_time(void *arg)
{
	const struct timer *timer = arg;
	struct event *event = timer->event;

	if (!event)
		return;
	event->armed = NULL;
	if (event->what & EV_PERSIST) {
		struct timeval every = {.tv_sec = (time_t)(event->every_us / SECOND),
		    .tv_usec = (suseconds_t)(event->every_us % SECOND)};
		event_add(event, &every);
	}
	event->fn(-1, EV_TIMEOUT, event->arg);
}

int event_add(struct event *event, const struct timeval *tv)
{
	struct timer *timer = world_alloc(sizeof(*timer));

	event_del(event);
	event->every_us = (uint64_t)tv->tv_sec * SECOND + (uint64_t)tv->tv_usec;
	event->armed = timer;
	timer->event = event;
	proc_deliver(event->proc, CHANNEL_TIMER, world.now + event->every_us, on_time, timer);
	return 0;
}

int event_del(struct event *event)
{
	if (event->armed)
		event->armed->event = NULL;
	event->armed = NULL;
	return 0;
}

void event_free(struct event *event)
{
	event_del(event);
	free(event);
}

int event_pending(const struct event *event, short what, struct timeval *tv)
{
	(void)tv;
	return event->armed ? what & EV_TIMEOUT : 0;
}
