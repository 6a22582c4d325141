/* seam - what the world does through the interfaces that are replaced at link time: seam_clock.c (common/clock.h), seam_loop.c (libevent's timers), seam_redis.c
 * (common/redis.h), seam_bus.c (common/bus.h), seam_http.c (common/http_server.h), seam_quiet.c (log and metrics). */
#ifndef SIM_SEAM_H
#define SIM_SEAM_H

#include "common/bus.h"
#include "common/http_server.h"
#include "common/redis.h"
#include "tests/sim/proc.h"

struct event_base *seam_base_new(struct proc *proc);

/* ---- redis */
struct redis *seam_redis_new(struct proc *proc);
/* The server that this process talks to is gone: it notices soon, and connects to whichever serves now. */
void seam_redis_reset(struct redis *redis);
/* It stays with the old primary until then. */
void seam_redis_leave_behind(struct redis *redis, uint64_t until);
void seam_redis_rejoin(struct redis *redis); /* if it was left behind, no longer */

/* ---- bus */
struct bus_client *seam_client_new(struct proc *proc, enum role server);
struct bell *seam_bell_new(struct proc *proc);

/* ---- HTTP: one request of somebody outside, through nginx */
struct seam_request {
	const char *method, *path;
	const char *cookie, *host; /* host: X-Original-Host, for authz */
	void (*answered)(void *arg, struct proc *router, int status);
	void *arg;
};
void seam_http_ask(struct proc *router, struct http_server *server, uint64_t time,
    const struct seam_request *request);

#endif
