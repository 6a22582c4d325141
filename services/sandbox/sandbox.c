#include "services/sandbox/sandbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "services/sandbox/agent.h"
#include "services/sandbox/gateway_link.h"
#include "services/sandbox/holder.h"
#include "services/sandbox/housekeeping.h"
#include "services/sandbox/names.h"
#include "services/sandbox/roots.h"
#include "services/sandbox/snapshot.h"
#include "services/sandbox/store_link.h"
#include "services/sandbox/version.h"

#define MIB (1024 * 1024)

/* clang-format off */
#define ROW(name, type, member, least, most, value, doc) \
	{"MULTICLAW_SANDBOX_" name, SETTING_##type, offsetof(struct sandbox, member), least, most, value, doc}
/* clang-format on */
const struct setting sandbox_settings[] = {
    ROW("WARDEN", PATH, warden, 0, 100, "",
	"Socket of this host's multiclaw-warden; empty: run/<replica>.warden."),
    ROW("IMAGE", STR, image, 1, 64, "demo",
	"Name of the image, in the store, that agents are started with from now on."),
    ROW("IMAGES", PATH, images, 1, 256, "images", "The store of images: `multiclaw image import`."),
    ROW("STATE", PATH, state_folder, 1, 256, "sandbox",
	"Folder of what this host holds: one small file for each agent."),
    ROW("RESOLVERS", STR, upstreams, 0, 255, "",
	"Who is asked for the names that containers ask for: comma list of addresses[:port], or "
	"the path of a file like resolv.conf; empty: /etc/resolv.conf."),
    ROW("IDLE_S", UINT, idle_s, 0, 604800, "600",
	"An agent that nobody used for so long is put to sleep; 0: never."),
    ROW("READY_MS", UINT, ready_ms, 100, 600000, "60000",
	"Longest wait for a started agent to accept connections."),
    ROW("GRACE_MS", UINT, grace_ms, 0, 120000, "10000",
	"How long an agent that is stopped has to end by itself."),
    ROW("RESTARTS_MAX", UINT, restarts_max, 0, 60, "10",
	"After more crashes than these within 10 minutes an agent is not started again by itself."),
    ROW("MEMORY_MB", UINT, memory_mb, 16, 1048576, "2048", "Memory of one agent."),
    ROW("CPU_PERCENT", UINT, cpu_percent, 5, 25600, "100",
	"Processor time of one agent; 100: one processor."),
    ROW("PIDS", UINT, pids, 8, 65536, "512", "Processes and threads of one agent."),
    ROW("VOLUME_MB", UINT, volume_mb, 16, 1048576, "4096",
	"Size of /data; taken when an owner's volume is made."),
    ROW("TMP_MB", UINT, tmp_mb, 1, 65536, "256", "Size of /tmp, which counts as memory."),
    ROW("CONNECTIONS", UINT, connections, 8, 65536, "512",
	"Connections of one agent at one time, in each direction."),
    ROW("IO_MB_S", UINT, io_mb_s, 0, 65536, "50", "Megabytes a second of /data, each way; 0: any."),
    ROW("AGENTS_MAX", UINT, agents_max, 1, 4096, "200",
	"Agents that run on this host at one time."),
    ROW("LOG_KB", UINT, log_kb, 4, 16384, "256", "What is kept of an agent's output, in memory."),
    ROW("LOG_KB_S", UINT, log_kb_s, 1, 16384, "64",
	"An agent's output beyond this rate is dropped."),
    ROW("FORMER_KEEP_S", UINT, former_keep_s, 0, 31536000, "86400",
	"A former owner's volume and snapshots, which nobody can read any more, are deleted after "
	"this time."),
    ROW("STORE", PATH, store_socket, 0, 100, "",
	"Socket of this host's multiclaw-snapshot-store; empty: run/<replica>.store."),
    ROW("SNAPSHOT_ROOTS", STR, snapshot_roots, 1, 2048,
	"notes .openclaw/workspace .openclaw/memory .openclaw/skills .openclaw/agents",
	"What of /data is saved: paths below it, by spaces; those that are not there are left "
	"out."),
    ROW("SNAPSHOT_EXCLUDE", STR, snapshot_exclude, 0, 2048,
	".openclaw/agents/main/agent/auth-profiles.json .openclaw/agents/main/agent/auth.json "
	".openclaw/agents/main/agent/models.json",
	"What of that is left out: where agents keep credentials of their own. Owners add to it."),
    ROW("SNAPSHOT_INTERVAL_S", UINT, snapshot_interval_s, 0, 604800, "300",
	"A running agent is saved so often, if something has changed; 0: only when it sleeps, is "
	"stopped, or its owner says so."),
    ROW("SNAPSHOT_HOLD_S", UINT, snapshot_hold_s, 5, 3600, "600",
	"How long the snapshot of an agent that sleeps or was stopped may take."),
    ROW("SNAPSHOT_KEEP", UINT, snapshot_keep, 1, VERSIONS_MAX, "5",
	"How many snapshots of an agent are kept."),
    ROW("SNAPSHOT_MAX_MIB", UINT, snapshot_max_mib, 1, 1048576, "10240",
	"An agent whose files are more is not saved."),
    ROW("SNAPSHOT_LEVEL", UINT, snapshot_level, 1, 19, "3", "Of compression, by zstd."),
    ROW("QUIESCE", STR, snapshot_quiesce, 0, 1000, "",
	"Command line that is run in a running agent before it is saved: words by spaces, no "
	"shell."),
    ROW("RESUME", STR, snapshot_resume, 0, 1000, "", "The same, after it was read."),
    ROW("GATEWAY", STR, gateway, 0, 200, "",
	"Bus address of this host's llm-gateway; empty: there is none, and of LLM keys agents have "
	"those alone that their owners want as files."),
    ROW("GATEWAY_KEY", STR, gateway_key, 11, 40, "llm-gateway",
	"Public key (Z85) of this host's llm-gateway; llm-gateway: the one that the list of peers "
	"has, if it has one only."),
    ROW("PROVIDERS", PATH, providers_path, 1, 256, "providers.json",
	"The LLM providers that are known; the same file as llm-gateway's."),
    {"MULTICLAW_LLM_PORT", SETTING_UINT, offsetof(struct sandbox, llm_port), 1, 65535, "18790",
	"Port on which agents reach this host's llm-gateway; the same as warden's and "
	"llm-gateway's."},
    {"MULTICLAW_DENY_CIDRS", SETTING_LIST, offsetof(struct sandbox, denied_cidrs), 0, 64, "",
	"Networks whose addresses no container is told, besides all that is not public; the same "
	"as warden's."},
};
const size_t sandbox_nsettings = ARRAY_LEN(sandbox_settings);

/* ---- start */

static void set_limits(struct sandbox *self)
{
	self->rules = (struct machine_rules){.restarts_max = self->restarts_max,
	    .restarts_window_ms = 600000,
	    .backoff_ms = 1000,
	    .backoff_max_ms = 60000,
	    .start_max_ms = self->ready_ms + 60000,
	    .stop_max_ms = self->grace_ms + 10000};
	self->limits = (struct driver_limits){.memory_bytes = self->memory_mb * MIB,
	    .pids = self->pids,
	    .cpu_percent = self->cpu_percent,
	    .volume_bytes = self->volume_mb * MIB,
	    .tmp_bytes = self->tmp_mb * MIB,
	    .connections = self->connections,
	    .io_bytes_per_s = self->io_mb_s * MIB};
}

static int name_socket(char **path, const char *replica, const char *kind)
{
	if ((*path)[0])
		return 0;
	free(*path);
	return asprintf(path, "run/%s.%s", replica, kind) < 0 ? -1 : 0;
}

static int read_roots(struct sandbox *self, struct error *err)
{
	unsigned at;
	if (!roots_parse(
		self->snapshot_roots, strlen(self->snapshot_roots), " ", self->roots, &at) ||
	    !self->roots[0])
		return error_set(err, ERR_INVALID,
		    "MULTICLAW_SANDBOX_SNAPSHOT_ROOTS: part %u is not a path below /data", at);
	if (!roots_parse(
		self->snapshot_exclude, strlen(self->snapshot_exclude), " ", self->excluded, &at))
		return error_set(err, ERR_INVALID,
		    "MULTICLAW_SANDBOX_SNAPSHOT_EXCLUDE: part %u is not a path below /data", at);
	return 0;
}

static int name_self(struct sandbox *self, struct error *err)
{
	const struct suite_settings *settings = &self->process->settings;
	struct origin origin;
	if (origin_parse(settings->public_url, &origin, err) != 0)
		return -1;
	snprintf(
	    self->scheme, sizeof(self->scheme), "%s", origin.is_https ? "https://" : "http://");
	snprintf(self->holder_name, sizeof(self->holder_name), "sandbox:%s", settings->replica);
	snprintf(self->host_key, sizeof(self->host_key), "%s",
	    keyring_own_public(self->process->keyring));
	if (name_socket(&self->warden, settings->replica, "warden") != 0 ||
	    name_socket(&self->store_socket, settings->replica, "store") != 0)
		return error_set(err, ERR_INTERNAL, "no memory");
	return 0;
}

static double count_agents(void *arg)
{
	const struct sandbox *self = arg;
	return self->agents ? (double)agents_active(self->agents) : 0;
}

static double count_held(void *arg)
{
	const struct sandbox *self = arg;
	return self->agents ? (double)agents_count(self->agents) : 0;
}

static void make_metrics(struct sandbox *self)
{
	struct metrics *metrics = self->process->metrics;
	metrics_gauge_fn(metrics, "multiclaw_sandbox_agents_active",
	    "Agents that start, run or end now.", NULL, count_agents, self);
	metrics_gauge_fn(metrics, "multiclaw_sandbox_agents_held",
	    "Agents that this host has something of.", NULL, count_held, self);
	self->metrics = (struct sandbox_metrics){
	    .starts = metrics_counter(
		metrics, "multiclaw_sandbox_starts_total", "Starts handed to the driver.", NULL),
	    .kills =
		metrics_counter(metrics, "multiclaw_sandbox_kills_total", "Agents killed.", NULL),
	    .crashes = metrics_counter(metrics, "multiclaw_sandbox_crashes_total",
		"Agents that ended by themselves.", NULL),
	    .resets = metrics_counter(metrics, "multiclaw_sandbox_resets_total",
		"Agents whose connections were reset because a session ended.", NULL),
	    .log_lost = metrics_counter(metrics, "multiclaw_sandbox_log_lost_bytes_total",
		"Output of agents that was dropped.", NULL),
	    .strays = metrics_counter(metrics, "multiclaw_sandbox_strays_total",
		"Containers killed because this host does not hold them.", NULL),
	    .restores = metrics_counter(metrics, "multiclaw_sandbox_restores_total",
		"Volumes filled from a snapshot.", NULL),
	    .snapshot_bytes = metrics_counter(metrics, "multiclaw_sandbox_snapshot_bytes_total",
		"Of the files that were saved.", NULL),
	    .snapshot_stored = metrics_counter(metrics,
		"multiclaw_sandbox_snapshot_stored_bytes_total", "Of the archives of them.", NULL),
	    .snapshot_time = metrics_histogram(metrics, "multiclaw_sandbox_snapshot_seconds",
		"From the beginning of a snapshot to its being the newest.", NULL),
	    .start_time = metrics_histogram(metrics, "multiclaw_sandbox_start_seconds",
		"From the wish to an agent that accepts connections.", NULL),
	    .kill_time = metrics_histogram(metrics, "multiclaw_sandbox_kill_seconds",
		"From an event to the driver told to kill.", NULL),
	    .end_time = metrics_histogram(metrics, "multiclaw_sandbox_end_seconds",
		"From the request to no process left and secrets wiped, by the driver.", NULL),
	};
}

static void on_record(
    void *arg, const char *id, const struct record *record, const struct error *why)
{
	struct sandbox *self = arg;
	if (!record)
		log_error("a record is damaged: what runs of this agent is killed, and nothing is "
			  "done for it until somebody has looked",
		    "agent", id, "why", why->text);
	agents_add(self->agents, id, record);
}

int sandbox_service_start(void *arg, struct error *err)
{
	struct sandbox *self = arg;
	struct process *process = self->process;
	if (name_self(self, err) != 0 || read_roots(self, err) != 0)
		return -1;
	set_limits(self);
	make_metrics(self);
	self->records = records_new(process->base, self->state_folder, err);
	if (!self->records)
		return -1;
	self->agents = agents_new(self);
	self->holder = holder_new(self);
	if (records_read(self->records, on_record, self, err) != 0)
		return -1;
	self->sessions = process_client(process, ROLE_SESSION);
	self->vaults = process_client(process, ROLE_VAULT);
	self->names = names_new(self, err);
	if (!self->names)
		return -1;
	if (self->gateway[0]) {
		self->providers = providers_read(self->providers_path, err);
		self->gateway_link = self->providers ? gateway_link_new(self, err) : NULL;
		if (!self->gateway_link)
			return -1;
	}
	self->store = store_link_new(process->base, self->store_socket);
	self->housekeeping = housekeeping_new(self);
	const struct driver_config config = {.base = process->base,
	    .metrics = process->metrics,
	    .socket = self->warden,
	    .images = self->images,
	    .told = told_hooks};
	struct driver_config with_self = config;
	with_self.told.arg = self;
	self->driver = &driver_oci;
	self->driven = self->driver->open(&with_self);
	return 0;
}

/* Containers go on without this process; the next one finds them. What is under way ends with an error. */
void sandbox_service_stop(void *arg)
{
	struct sandbox *self = arg;
	self->is_stopping = true;
	/* while there is a driver: an agent that holds still has to be told that it need not */
	for (size_t i = 0; self->agents && i < agents_count(self->agents); i++)
		snapshot_destroy(agents_at(self->agents, i));
	bus_client_destroy(&self->sessions);
	bus_client_destroy(&self->vaults);
	gateway_link_destroy(&self->gateway_link);
	housekeeping_destroy(&self->housekeeping);
	records_destroy(&self->records);
	self->driver->close(self->driven);
	self->is_driver_ready = false;
	store_link_destroy(&self->store);
	agents_destroy(&self->agents);
	holder_destroy(&self->holder);
	names_destroy(&self->names);
	if (self->providers)
		providers_destroy(&self->providers);
}

/* ---- events */

void sandbox_on_event(void *arg, const struct ledger_event *event)
{
	struct sandbox *self = arg;
	struct agent *agent;
	if (self->is_stopping)
		return;
	holder_mark(self->holder, event);
	if (strcmp(event->asset, "*") == 0)
		holder_look_at_all(self->holder);
	else if ((agent = agents_of(self->agents, event->asset)))
		holder_look_at(agent, ledger_event_ends(event));
}

void sandbox_on_heard(void *arg, const struct ledger_event *event)
{
	struct sandbox *self = arg;
	struct agent *agent;
	if (self->is_stopping)
		return;
	holder_mark(self->holder, event);
	if (strcmp(event->asset, "*") != 0 && (agent = agents_of(self->agents, event->asset)))
		holder_look_at(agent, false);
}

void sandbox_on_restart(void *arg, const char *history, struct event_id head)
{
	struct sandbox *self = arg;
	(void)history;
	if (self->is_stopping)
		return;
	holder_unmark(self->holder, head);
	/* what runs here that is not known yet may be of an owner before */
	if (!self->is_driver_ready && !self->found_ticket)
		self->found_ticket = follower_hold(self->process->follower);
	holder_look_at_all(self->holder);
}

/* ---- may it answer? */

bool sandbox_knows(const struct sandbox *sandbox)
{
	const struct follower *follower = sandbox->process->follower;
	return follower && follower_has_lease(follower) &&
	       follower_chain_age_ms(follower) <= sandbox->process->settings.chain_grace_s * 1000;
}

int sandbox_serves(const struct sandbox *sandbox, struct error *err)
{
	const char *why = NULL;
	if (sandbox->is_stopping)
		why = "stopping";
	else if (!sandbox_knows(sandbox))
		why = "no lease, or the chain was not read for too long";
	else if (!sandbox->is_driver_ready)
		why = "no warden";
	else if (!holder_has_looked(sandbox->holder))
		why = "catching up";
	if (!why)
		return 0;
	error_refuse(err, ERR_UNAVAILABLE, "service_unavailable", "%s", why);
	err->retry_after_s = 1;
	return -1;
}

struct error sandbox_no_ledger(const struct error *why)
{
	struct error err;
	error_refuse(&err, ERR_UNAVAILABLE, "service_unavailable", "the ledger: %s", why->text);
	err.retry_after_s = 1;
	return err;
}

bool sandbox_has_driver(void *arg, char *why, size_t size)
{
	const struct sandbox *self = arg;
	return self->driven && self->driver->is_ready(self->driven, why, size);
}

bool sandbox_has_store(void *arg, char *why, size_t size)
{
	const struct sandbox *self = arg;
	if (self->store)
		return store_link_is_ready(self->store, why, size);
	snprintf(why, size, "not yet");
	return false;
}

bool sandbox_has_gateway(void *arg, char *why, size_t size)
{
	const struct sandbox *self = arg;
	if (self->gateway_link)
		return gateway_link_is_ready(self->gateway_link, why, size);
	snprintf(why, size, "none is set: LLM keys are for agents as files alone");
	return true;
}

bool sandbox_has_looked(void *arg, char *why, size_t size)
{
	const struct sandbox *self = arg;
	bool has_looked = self->holder && holder_has_looked(self->holder);
	snprintf(why, size, "%s", has_looked ? "looked at everything held" : "catching up");
	return has_looked;
}

bool sandbox_has_image(void *arg, char *why, size_t size)
{
	const struct sandbox *self = arg;
	struct driver_image image;
	struct error err;
	if (!self->driven || self->driver->prepare(self->driven, self->image, &image, &err) != 0) {
		snprintf(why, size, "%s", self->driven ? err.text : "not yet");
		return false;
	}
	snprintf(why, size, "%s is %.12s", image.name, image.digest);
	return true;
}

bool sandbox_reaches_peers(void *arg, char *why, size_t size)
{
	const struct sandbox *self = arg;
	size_t sessions = self->sessions ? bus_client_ready(self->sessions) : 0;
	size_t vaults = self->vaults ? bus_client_ready(self->vaults) : 0;
	snprintf(why, size, "%zu session, %zu secret-vault replicas answer", sessions, vaults);
	return sessions > 0 && vaults > 0;
}
