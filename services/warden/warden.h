/* warden - the root half of a host's container service: what sandbox asks over proto/warden.h is done here. */
#ifndef WARDEN_WARDEN_H
#define WARDEN_WARDEN_H

#include <event2/event.h>

#include "services/warden/agent.h"
#include "services/warden/host.h"
#include "services/warden/peer.h"
#include "services/warden/slots.h"

struct warden {
	const struct warden_settings *settings;
	struct host host;
	struct event_base *base;
	struct reaper *reaper;
	struct peer *peer;
	struct slots *slots;
	struct agents agents;
	size_t nagents, nerases;
	int jobs_cgroup; /* of jobs that are no agent's */
	int watch;       /* network_watch_socket */
	int resolver;    /* network_resolver_socket, or -1 */
	bool is_network_broken, is_stopping;
	uint64_t alive_at_ms; /* CLOCK_BOOTTIME of sandbox's last word */
	struct event *tick, *watches, *signals[2];
};

/* Everything up to the loop: checks, what an earlier warden left, the socket. */
int warden_open(struct warden *warden, const struct warden_settings *settings, struct error *err);
/* Until SIGTERM or SIGINT; with MULTICLAW_WARDEN_STOP_ON_EXIT until all agents are gone after that. */
void warden_run(struct warden *warden);
void warden_close(struct warden *warden);
/* An agent is gone: maybe that was the last that a stop had to wait for. */
void warden_look_at_exit(struct warden *warden);

/* adopt.c: ends what a dead warden had running, takes over agents that live, cleans up the others. */
int warden_adopt(struct warden *warden, struct error *err);

#endif
