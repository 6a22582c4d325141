/* sandbox - the state of services/sandbox, and what its handlers share.
 *
 * Nothing is served before warden is there, and every holding was looked at in the ledger once (architecture, rule 14).
 */
#ifndef SANDBOX_SANDBOX_H
#define SANDBOX_SANDBOX_H

#include "common/codec.h"
#include "common/marks.h"
#include "common/origin.h"
#include "common/providers.h"
#include "common/service.h"
#include "proto/registry.h"
#include "services/sandbox/driver.h"
#include "services/sandbox/machine.h"
#include "services/sandbox/records.h"

struct agents;
struct gateway_link;
struct holder;
struct housekeeping;
struct names;
struct store_link;

struct sandbox_metrics {
	struct metric *starts, *start_failures, *kills, *crashes, *resets, *log_lost, *strays,
	    *restores, *snapshot_bytes, *snapshot_stored;
	struct histogram *start_time, *kill_time, *end_time, *snapshot_time;
};

struct sandbox {
	struct process *process; /* first: the skeleton sets it */

	/* settings */
	struct setting_list denied_cidrs;
	char *gateway, *gateway_key, *providers_path;
	uint64_t llm_port;
	char *warden, *image, *images, *state_folder, *upstreams, *store_socket, *snapshot_roots,
	    *snapshot_exclude, *snapshot_quiesce, *snapshot_resume;
	uint64_t idle_s, ready_ms, grace_ms, restarts_max, memory_mb, cpu_percent, pids, volume_mb,
	    tmp_mb, connections, io_mb_s, agents_max, log_kb, log_kb_s, former_keep_s,
	    snapshot_interval_s, snapshot_hold_s, snapshot_keep, snapshot_max_mib, snapshot_level;

	struct machine_rules rules;
	struct driver_limits limits;
	char holder_name[80]; /* in the ledger: "sandbox:<replica>" */
	char host_key[40 + 1];
	char scheme[9]; /* of agents' origins */
	const struct driver *driver;
	void *driven;
	bool is_driver_ready;
	uint64_t slots; /* of the driver: how many agents there may be at one time */
	struct records *records;
	struct agents *agents;
	struct holder *holder;
	uint64_t found_ticket; /* until the driver has told of everything there is: follower_hold */
	struct housekeeping *housekeeping;
	struct names *names;
	struct bus_client *sessions, *vaults;
	struct store_link *store;
	struct providers *providers;       /* NULL: no gateway */
	struct gateway_link *gateway_link; /* NULL: none is set */
	struct in_addr resolver;           /* as the driver says */
	char roots[WARDEN_ROOTS_BYTES], excluded[WARDEN_ROOTS_BYTES];
	size_t nsaving;
	struct sandbox_metrics metrics;
	bool is_stopping;
};

extern const struct setting sandbox_settings[];
extern const size_t sandbox_nsettings;

int sandbox_service_start(void *self, struct error *err);
void sandbox_service_stop(void *self);
void sandbox_on_event(void *self, const struct ledger_event *event);
void sandbox_on_heard(void *self, const struct ledger_event *event);
void sandbox_on_restart(void *self, const char *history, struct event_id head);
bool sandbox_has_driver(void *self, char *why, size_t size);
bool sandbox_has_gateway(void *self, char *why, size_t size);
bool sandbox_has_store(void *self, char *why, size_t size);
bool sandbox_has_looked(void *self, char *why, size_t size);
bool sandbox_has_image(void *self, char *why, size_t size);
bool sandbox_reaches_peers(void *self, char *why, size_t size);

SANDBOX_CALLS(PROTO_HANDLER)

/* Is there a lease, and is the chain read? What holds for every answer holds for letting agents live. */
bool sandbox_knows(const struct sandbox *sandbox);
/* ERR_UNAVAILABLE unless it may answer for agents at this moment. */
int sandbox_serves(const struct sandbox *sandbox, struct error *err);
/* What Redis could not do, as callers are told it. */
struct error sandbox_no_ledger(const struct error *why);

#endif
