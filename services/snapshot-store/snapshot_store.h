/* snapshot_store - the loop: sandbox's requests become transfers, their ends become answers, counts go to /metrics. */
#ifndef SNAPSHOT_STORE_SNAPSHOT_STORE_H
#define SNAPSHOT_STORE_SNAPSHOT_STORE_H

#include <event2/event.h>

#include "common/http_server.h"
#include "common/metrics.h"
#include "common/suite_settings.h"
#include "services/snapshot-store/sandbox_link.h"
#include "services/snapshot-store/transfers.h"

struct snapshot_store {
	const struct store_settings *settings;
	struct event_base *base;
	struct storage *storage;
	struct transfers *transfers;
	struct sandbox_link *link;
	struct http_server *http;
	struct metrics *metrics;
	struct event *signals[2];
};

/* Privileged part: credentials, sockets. -1 with *err; what was opened until then stays open, the process ends. */
int snapshot_store_open(struct snapshot_store *store, const struct suite_settings *suite,
    const struct store_settings *settings, struct error *err);
/* As the user that it stays. */
int snapshot_store_ready(struct snapshot_store *store, struct error *err);
/* Until SIGTERM or SIGINT. */
void snapshot_store_run(struct snapshot_store *store);
void snapshot_store_close(struct snapshot_store *store);

#endif
