/* service_internal - what service.c and service_ops.c share. Nobody else includes it. */
#ifndef COMMON_SERVICE_INTERNAL_H
#define COMMON_SERVICE_INTERNAL_H

#include "common/service.h"
#include "common/status.h"

#define CLIENTS_MAX 80 /* one per service, and one per host */

/* A running daemon: what the service sees of it comes first, so that one pointer serves for both. */
struct daemon {
	struct process process;
	void *self;
	uint64_t began_us; /* CLOCK_BOOTTIME */
	uint64_t started_at_ms;
	struct settings_table tables[2];
	struct secret *redis_password; /* until Redis has it */
	struct bus_route *routes;
	struct bus_server *server;
	struct bell *bell; /* of every service; process.bell only if it rings */
	struct follower_hooks hooks;
	struct bus_client *clients[CLIENTS_MAX]; /* borrowed, to look at their clocks */
	size_t nclients;
	struct event *signals[3];
	struct service_ops *ops;
};
static inline struct daemon *daemon_of(const struct process *process)
{
	union {
		const struct process *process;
		struct daemon *daemon;
	} of = {process};
	return of.daemon;
}

/* service_options.c */
#define SERVICE_FILES_MAX 16
struct service_options {
	const char *files[SERVICE_FILES_MAX];
	size_t nfiles;
	bool check_only;
};
/* Returns the exit status if that was all there was to do, else -1. */
int service_options_read(
    const struct service *service, int argc, char **argv, struct service_options *options_r);

/* service_ops.c: /healthz, /readyz, /metrics, service.status, and the log line when readiness changes. */
struct service_ops *service_ops_new(struct daemon *daemon, struct error *err);
void service_ops_begin(struct service_ops *ops); /* everything exists: look, and tell */
void service_ops_destroy(struct service_ops **ops);
extern const struct bus_route service_ops_route;

/* service_notify.c: tells systemd (sd_notify(3)); nothing happens without NOTIFY_SOCKET. */
void service_notify(const char *state);

#endif
