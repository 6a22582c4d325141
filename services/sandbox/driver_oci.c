/* driver_oci - containers by warden, which is root and runs an OCI runtime: this end asks, over warden_link.h. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "services/sandbox/driver.h"
#include "services/sandbox/image.h"
#include "services/sandbox/warden_link.h"

#define ALIVE_MS 1000

struct oci {
	struct driver_config config;
	struct warden_link *link;
	struct event *alive;
	bool is_ready, is_up;
	char runtime[64], warning[160];
};

/* ---- what warden says */

/* Warden may lie: a byte that is no bool must not be read as one. */
static bool is_set(const bool *from)
{
	uint8_t byte;
	memcpy(&byte, from, sizeof(byte));
	return byte != 0;
}

static void take_found(struct oci *oci, const struct warden_packet *packet, int fd)
{
	const struct driver_found found = {
	    .of = {packet->agent, packet->boot},
	    .address = packet->u.found.address,
	    .port = packet->u.found.port,
	    .is_ending = is_set(&packet->u.found.is_ending),
	    .started_ms = packet->u.found.started_ms,
	    .wallet = packet->u.found.wallet,
	    .period = packet->u.found.period,
	};
	oci->config.told.found(oci->config.told.arg, &found, fd);
}

static void take_ready(struct oci *oci, const struct warden_packet *packet, int fd)
{
	const struct driver_ready ready = {
	    .slots = packet->u.ready.slots,
	    .slots_used = packet->u.ready.slots_used,
	    .runtime = packet->u.ready.runtime,
	    .warning = packet->u.ready.warning,
	    .resolver = packet->u.ready.resolver,
	};
	memcpy(oci->runtime, packet->u.ready.runtime, sizeof(oci->runtime));
	memcpy(oci->warning, packet->u.ready.warning, sizeof(oci->warning));
	log_info("warden", "runtime", oci->runtime, "warning",
	    oci->warning[0] ? oci->warning : NULL, "slots", log_u64(ready.slots));
	oci->is_ready = true;
	oci->config.told.ready(oci->config.told.arg, &ready, fd);
}

static void take_ended(const struct oci *oci, const struct warden_packet *packet)
{
	const struct driver_boot of = {packet->agent, packet->boot};
	const struct driver_ended ended = {.was_asked = is_set(&packet->u.ended.was_asked),
	    .was_oom = is_set(&packet->u.ended.was_oom),
	    .is_held = is_set(&packet->u.ended.is_held),
	    .status = packet->u.ended.status,
	    .us = packet->u.ended.us};
	oci->config.told.ended(oci->config.told.arg, &of, &ended);
}

/* What is no failure or outcome of the list is the one that nothing good follows from. */
static void take_failed(const struct oci *oci, const struct warden_packet *packet)
{
	const struct driver_boot of = {packet->agent, packet->boot};
	uint32_t failure = packet->u.failed.failure;
	oci->config.told.failed(oci->config.told.arg, &of, packet->u.failed.text,
	    failure <= WARDEN_FAILURE_VOLUME ? (enum warden_failure)failure : WARDEN_FAILURE_OTHER);
}

static void take_snapshotted(const struct oci *oci, const struct warden_packet *packet)
{
	const struct driver_boot of = {packet->agent, packet->boot};
	uint32_t outcome = packet->u.snapshotted.outcome;
	const struct driver_snapshotted snapshotted = {
	    .outcome =
		outcome <= WARDEN_NOT_SAVED ? (enum warden_outcome)outcome : WARDEN_NOT_SAVED,
	    .bytes = packet->u.snapshotted.bytes,
	    .files = packet->u.snapshotted.files,
	    .stored_bytes = packet->u.snapshotted.stored_bytes,
	    .unsettled = packet->u.snapshotted.unsettled,
	    .skipped = packet->u.snapshotted.skipped,
	    .digest = packet->u.snapshotted.digest,
	    .fingerprint = packet->u.snapshotted.fingerprint,
	    .path = packet->u.snapshotted.path,
	    .kind = packet->u.snapshotted.kind,
	    .text = packet->u.snapshotted.text,
	};
	oci->config.told.snapshotted(oci->config.told.arg, &of, &snapshotted);
}

static void on_packet(void *arg, const struct warden_packet *packet, int fd)
{
	struct oci *oci = arg;
	const struct driver_told *told = &oci->config.told;
	const struct driver_boot of = {packet->agent, packet->boot};
	int rights = fd;
	if (packet->what == WARDEN_FOUND && !oci->is_ready)
		take_found(oci, packet, fd), rights = -1;
	else if (packet->what == WARDEN_READY && !oci->is_ready)
		take_ready(oci, packet, fd), rights = -1;
	else if (!oci->is_ready)
		log_warn("warden speaks before it is ready", "what", log_u64(packet->what));
	else if (packet->what == WARDEN_STARTING)
		told->starting(told->arg, &of, packet->u.starting.address);
	else if (packet->what == WARDEN_STARTED)
		told->started(
		    told->arg, &of, packet->u.started.address, packet->u.started.port, fd),
		    rights = -1;
	else if (packet->what == WARDEN_FAILED)
		take_failed(oci, packet);
	else if (packet->what == WARDEN_ENDED)
		take_ended(oci, packet);
	else if (packet->what == WARDEN_GONE)
		told->gone(told->arg, &of, packet->u.text);
	else if (packet->what == WARDEN_COUNTED)
		told->counted(told->arg, &of, packet->u.counted.connections);
	else if (packet->what == WARDEN_EXECED)
		told->execed(told->arg, &of, packet->u.execed.status,
		    is_set(&packet->u.execed.was_cut), packet->u.execed.why, fd),
		    rights = -1;
	else if (packet->what == WARDEN_RESETTED)
		told->was_reset(told->arg, &of, packet->u.text);
	else if (packet->what == WARDEN_ALLOWED)
		told->allowed(told->arg, packet->u.allowed.ticket);
	else if (packet->what == WARDEN_SAVING)
		told->saving(told->arg, &of, packet->u.saving.bytes, packet->u.saving.total_bytes);
	else if (packet->what == WARDEN_SNAPSHOTTED)
		take_snapshotted(oci, packet);
	else if (packet->what == WARDEN_ERASED)
		told->erased(told->arg, packet->agent, packet->u.text);
	else
		log_warn("warden says again what it has", "what", log_u64(packet->what));
	if (rights >= 0)
		close(rights);
}

static void say_alive(struct oci *oci)
{
	struct warden_packet packet = {.what = WARDEN_ALIVE};
	struct error err;
	if (oci->is_ready && oci->config.told.is_alive(oci->config.told.arg))
		warden_link_send(oci->link, &packet, NULL, &err);
}

static void on_alive(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	say_alive(arg);
}

static void on_up(void *arg)
{
	struct oci *oci = arg;
	oci->is_up = true;
}

static void on_down(void *arg)
{
	struct oci *oci = arg;
	oci->is_up = oci->is_ready = false;
	oci->config.told.lost(oci->config.told.arg);
}

/* ---- what it is asked */

static int send_packet(struct oci *oci, struct warden_packet *packet, const struct driver_boot *of,
    const int fds[WARDEN_FDS_MAX], struct error *err)
{
	/* what was found is killed without waiting for the rest */
	if (!oci->is_ready && packet->what != WARDEN_KILL)
		return error_refuse(
		    err, ERR_UNAVAILABLE, "service_unavailable", "warden is not ready");
	snprintf(packet->agent, sizeof(packet->agent), "%s", of->agent);
	snprintf(packet->boot, sizeof(packet->boot), "%s", of->boot);
	return warden_link_send(oci->link, packet, fds, err);
}

static int oci_start(void *self, const struct driver_start *start, struct error *err)
{
	struct warden_packet packet = {.what = WARDEN_START};
	const struct driver_limits *limits = start->limits;
	snprintf(packet.u.start.image, sizeof(packet.u.start.image), "%s", start->image->digest);
	snprintf(packet.u.start.kind, sizeof(packet.u.start.kind), "%s", start->image->kind);
	snprintf(packet.u.start.wallet, sizeof(packet.u.start.wallet), "%s", start->wallet);
	packet.u.start.period = start->period;
	memcpy(packet.u.start.volume_key, start->volume_key, sizeof(packet.u.start.volume_key));
	packet.u.start.limits = (struct warden_limits){.memory_bytes = limits->memory_bytes,
	    .pids = limits->pids,
	    .cpu_percent = limits->cpu_percent,
	    .volume_bytes = limits->volume_bytes,
	    .tmp_bytes = limits->tmp_bytes,
	    .connections = limits->connections,
	    .io_bytes_per_s = limits->io_bytes_per_s};
	packet.u.start.ready_ms = start->ready_ms;
	packet.u.start.is_narrowed = start->is_narrowed;
	bug_if(start->nranges > WARDEN_RANGES_MAX);
	packet.u.start.nranges = (uint32_t)start->nranges;
	for (size_t i = 0; i < start->nranges; i++)
		packet.u.start.range[i] =
		    (struct warden_range){start->range[i].address, start->range[i].bits};
	packet.u.start.volume = start->volume;
	const int fds[WARDEN_FDS_MAX] = {
	    start->files, start->volume == WARDEN_VOLUME_FILLED ? start->archive_fd : -1};
	if (start->volume == WARDEN_VOLUME_FILLED)
		packet.u.start.archive = *start->archive;
	int rc = send_packet(self, &packet, &start->of, fds, err);
	sodium_memzero(&packet, sizeof(packet));
	return rc;
}

static int oci_stop(void *self, const struct driver_boot *of, uint64_t grace_ms, uint64_t hold_ms,
    struct error *err)
{
	struct warden_packet packet = {
	    .what = WARDEN_STOP, .u.stop = {.grace_ms = grace_ms, .hold_ms = hold_ms}};
	return send_packet(self, &packet, of, NULL, err);
}

static int oci_release(void *self, const struct driver_boot *of, struct error *err)
{
	struct warden_packet packet = {.what = WARDEN_RELEASE};
	return send_packet(self, &packet, of, NULL, err);
}

static int oci_snapshot(void *self, const struct driver_snapshot *snapshot, struct error *err)
{
	struct warden_packet packet = {.what = WARDEN_SNAPSHOT};
	const int fds[WARDEN_FDS_MAX] = {snapshot->out, snapshot->secrets};
	packet.u.snapshot.archive = *snapshot->archive;
	packet.u.snapshot.bytes_max = snapshot->bytes_max;
	packet.u.snapshot.level = snapshot->level;
	packet.u.snapshot.must_freeze = snapshot->must_freeze;
	memcpy(packet.u.snapshot.fingerprint, snapshot->fingerprint,
	    sizeof(packet.u.snapshot.fingerprint));
	memcpy(packet.u.snapshot.roots, snapshot->roots, WARDEN_ROOTS_BYTES);
	memcpy(packet.u.snapshot.excluded, snapshot->excluded, WARDEN_ROOTS_BYTES);
	int rc = send_packet(self, &packet, &snapshot->of, fds, err);
	sodium_memzero(&packet, sizeof(packet));
	return rc;
}

static int oci_kill(void *self, const struct driver_boot *of, struct error *err)
{
	struct warden_packet packet = {.what = WARDEN_KILL};
	return send_packet(self, &packet, of, NULL, err);
}

static int oci_reset(void *self, const struct driver_boot *of, struct error *err)
{
	struct warden_packet packet = {.what = WARDEN_RESET};
	return send_packet(self, &packet, of, NULL, err);
}

static int oci_count(void *self, const struct driver_boot *of, struct error *err)
{
	struct warden_packet packet = {.what = WARDEN_COUNT};
	return send_packet(self, &packet, of, NULL, err);
}

static int oci_exec(void *self, const struct driver_boot *of, const char *argv, size_t len,
    uint64_t timeout_ms, struct error *err)
{
	struct warden_packet packet = {.what = WARDEN_EXEC};
	if (len > sizeof(packet.u.exec.text))
		return error_refuse(err, ERR_INVALID, "argv_too_long",
		    "more than %d bytes of arguments", WARDEN_EXEC_BYTES);
	packet.u.exec.len = (uint32_t)len;
	packet.u.exec.timeout_ms = timeout_ms;
	memcpy(packet.u.exec.text, argv, len);
	return send_packet(self, &packet, of, NULL, err);
}

static int oci_allow(
    void *self, const struct driver_boot *of, const struct driver_allow *allow, struct error *err)
{
	struct warden_packet packet = {.what = WARDEN_ALLOW};
	size_t n = allow->n < WARDEN_ALLOW_MAX ? allow->n : WARDEN_ALLOW_MAX;
	packet.u.allow.len = (uint32_t)n;
	packet.u.allow.ttl_s = allow->ttl_s;
	packet.u.allow.ticket = allow->ticket;
	memcpy(packet.u.allow.address, allow->address, n * sizeof(*allow->address));
	return send_packet(self, &packet, of, NULL, err);
}

static int oci_erase(
    void *self, const char *agent, const char *wallet, uint64_t period, struct error *err)
{
	struct warden_packet packet = {.what = WARDEN_ERASE, .u.erase.period = period};
	const struct driver_boot of = {agent, ""};
	snprintf(packet.u.erase.wallet, sizeof(packet.u.erase.wallet), "%s", wallet);
	return send_packet(self, &packet, &of, NULL, err);
}

static int oci_prepare(
    void *self, const char *image, struct driver_image *image_r, struct error *err)
{
	struct oci *oci = self;
	return image_find(oci->config.images, image, image_r, err);
}

static bool oci_is_ready(const void *self, char *why, size_t size)
{
	const struct oci *oci = self;
	if (!oci->is_ready)
		snprintf(why, size, "%s",
		    oci->is_up ? "warden is not ready" : "no connection to warden");
	else
		snprintf(why, size, "warden with %s%s%s", oci->runtime, oci->warning[0] ? "; " : "",
		    oci->warning);
	return oci->is_ready;
}

/* ---- life */

static void *oci_open(const struct driver_config *config)
{
	struct oci *oci = calloc(1, sizeof(*oci));
	const struct timeval every = {.tv_sec = ALIVE_MS / 1000};
	bug_if(!oci);
	oci->config = *config;
	const struct warden_link_hooks hooks = {on_packet, on_up, on_down, oci};
	oci->link = warden_link_new(config->base, config->socket, &hooks);
	oci->alive = event_new(config->base, -1, EV_PERSIST, on_alive, oci);
	bug_if(!oci->alive || event_add(oci->alive, &every) != 0);
	return oci;
}

static void oci_close(void *self)
{
	struct oci *oci = self;
	warden_link_destroy(&oci->link);
	event_free(oci->alive);
	free(oci);
}

const struct driver driver_oci = {
    .name = "oci",
    .open = oci_open,
    .close = oci_close,
    .is_ready = oci_is_ready,
    .prepare = oci_prepare,
    .start = oci_start,
    .stop = oci_stop,
    .release = oci_release,
    .snapshot = oci_snapshot,
    .kill = oci_kill,
    .reset = oci_reset,
    .count = oci_count,
    .exec = oci_exec,
    .allow = oci_allow,
    .erase = oci_erase,
};
