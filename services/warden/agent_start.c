#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/scoped.h"
#include "services/warden/agent_internal.h"
#include "services/warden/packet.h"
#include "services/warden/secret_files.h"
#include "services/warden/start_job.h"
#include "services/warden/warden.h"

#define START_GRACE_MS 20000 /* for all of a start but the wait for its port */

static void on_created(struct agent *agent, const struct job_report *report, const int *fds)
{
	struct stat about;

	agent->record.pid = report->pid;
	agent->record.pid_number = report->number;
	agent->record.uid = (uint32_t)(report->more >> 32);
	agent->record.gid = (uint32_t)report->more;
	agent->pidfd = fds[0];
	agent->log = fds[1];
	agent->root = fds[2];
	if (fstat(agent->log, &about) == 0) {
		agent->record.log_device = about.st_dev;
		agent->record.log_inode = about.st_ino;
	}
	agent_allow_go(agent);
}

static void fail(struct agent *agent, const char *why, enum warden_failure failure)
{
	packet_put(agent->why, sizeof(agent->why), why);
	agent->failure = failure;
	log_warn("agent does not start", "agent", agent->record.agent, "why", why);
	agent_end(agent, false);
}

static void on_ready(struct agent *agent)
{
	struct error err = {0};

	agent->record.is_ready = true;
	agent->record.started_ms = clock_unix_ms();
	/* what is not noted would be ended by the next warden */
	if (record_write(agent->warden->host.run, &agent->record, &err) != 0)
		log_warn("agent is not noted", "agent", agent->record.agent, "why", err.text);
	agent->state = AGENT_RUNNING;
	agent_watch(agent);
	agent_say_started(agent);
}

static void on_filling(struct agent *agent, const struct job_report *report)
{
	agent->start_by_us = clock_boot_us() + agent->start_ms * 1000;
	agent_say_saving(agent, report->number, report->more);
}

static void on_start_report(void *arg, const struct job_report *report, const int *fds, size_t nfds)
{
	struct agent *agent = arg;

	if (report->kind == START_SECRETS && nfds == 1) {
		agent->secrets = fds[0];
	} else if (report->kind == START_CREATED && nfds == 3) {
		on_created(agent, report, fds);
	} else {
		for (size_t i = 0; i < nfds; i++)
			close(fds[i]);
		if (agent->state != AGENT_STARTING)
			return;
		if (report->kind == START_READY)
			on_ready(agent);
		else if (report->kind == START_FILLING)
			on_filling(agent, report);
		else
			fail(agent, report->text, (enum warden_failure)report->number);
	}
}

static void on_start_end(void *arg, int status)
{
	struct agent *agent = arg;

	(void)status;
	agent->job = NULL;
	if (agent->state == AGENT_STARTING)
		fail(agent, "its start was interrupted", WARDEN_FAILURE_OTHER);
}

static void take_order(
    const struct agent *agent, struct warden_packet *packet, struct start_job *work)
{
	const struct record *record = &agent->record;

	work->host = &agent->warden->host;
	packet_put(work->agent, sizeof(work->agent), record->agent);
	packet_put(work->boot, sizeof(work->boot), record->boot);
	packet_put(work->image, sizeof(work->image), record->image);
	packet_put(work->wallet, sizeof(work->wallet), record->wallet);
	packet_put(work->kind, sizeof(work->kind), record->kind);
	work->period = record->period;
	work->slot = record->slot;
	work->limits = packet->u.start.limits;
	work->ready_ms = packet->u.start.ready_ms;
	work->network = record_limits(record);
	work->volume = (enum warden_volume)packet->u.start.volume;
	work->archive = packet->u.start.archive;
	work->volume_key =
	    secret_new(packet->u.start.volume_key, sizeof(packet->u.start.volume_key));
	/* what is forked now must not have them anywhere but in its order */
	sodium_memzero(&packet->u.start.archive, sizeof(packet->u.start.archive));
	sodium_memzero(packet->u.start.volume_key, sizeof(packet->u.start.volume_key));
}

/* Notes it, makes its groups, starts its job. */
static int begin(
    struct agent *agent, struct warden_packet *packet, struct start_job *work, struct error *err)
{
	struct warden *warden = agent->warden;
	struct job_hooks hooks = {agent_close_others, on_start_report, on_start_end, agent};
	char name[64];

	agent->start_ms = packet->u.start.ready_ms + START_GRACE_MS;
	if (packet->u.start.volume == WARDEN_VOLUME_FILLED)
		agent->start_ms += warden->settings->packer_stall_s * 1000;
	agent->start_by_us = agent->began_us + agent->start_ms * 1000;
	if (record_write(warden->host.run, &agent->record, err) != 0)
		return -1;
	agent_jobs_group(agent, name);
	scoped_fd int job_group = cgroup_make(&warden->host.cgroups, name, err);
	if (job_group < 0)
		return -1;
	snprintf(name, sizeof(name), "volumes/%s", agent->record.agent);
	scoped_fd int volume_group = cgroup_make(&warden->host.cgroups, name, err);
	if (volume_group < 0)
		return -1;
	take_order(agent, packet, work);
	work->volume_cgroup = volume_group;
	agent->job = job_start(warden->reaper, job_group, &hooks, start_job_run, work);
	secret_destroy(&work->volume_key);
	sodium_memzero(&work->archive, sizeof(work->archive));
	return agent->job ? 0 : error_set(err, ERR_UNAVAILABLE, "no process can be made");
}

static int may_start(const struct warden *warden, const char *id, struct error *err)
{
	const struct agent *agent = agent_find(warden, id);

	if (warden->is_stopping)
		return error_set(err, ERR_UNAVAILABLE, "warden is stopping");
	if (warden->is_network_broken)
		return error_set(err, ERR_UNAVAILABLE, "the host's rules for containers are gone");
	if (agent && agent->state == AGENT_HELD)
		return error_set(err, ERR_CONFLICT, "it is held for a snapshot");
	if (agent && agent->state == AGENT_CLEANING)
		return error_set(err, ERR_CONFLICT, "what is left of it is still being cleaned up");
	if (agent)
		return error_set(err, ERR_CONFLICT, "it runs, or starts, or ends already");
	if (warden->nagents >= warden->settings->slots)
		return error_set(err, ERR_BUSY, "this host has as many agents as it may have");
	return 0;
}

static void refuse(struct warden *warden, const struct warden_packet *request, const char *why)
{
	struct warden_packet packet = {.what = WARDEN_FAILED};

	log_warn("agent is not started", "agent", request->agent, "why", why);
	packet_put(packet.agent, sizeof(packet.agent), request->agent);
	packet_put(packet.boot, sizeof(packet.boot), request->boot);
	packet_put(packet.u.failed.text, sizeof(packet.u.failed.text), why);
	peer_send(warden->peer, &packet, -1);
}

/* nft takes no ranges that overlap. */
static void take_ranges(struct record *record, const struct warden_packet *packet)
{
	uint32_t n = packet->u.start.nranges;

	for (uint32_t i = 0; i < n; i++)
		record->range[i] =
		    (struct cidr){packet->u.start.range[i].address, packet->u.start.range[i].bits};
	record->nranges = (uint32_t)cidr_distinct(record->range, n);
}

static int check_fds(const int *fds, size_t nfds, struct error *err)
{
	struct secret_files about;

	if (nfds > 1 && !agent_is_pipe(fds[1], O_RDONLY))
		return error_set(
		    err, ERR_INVALID, "the archive comes from a pipe's read end alone");
	return secret_files_check(fds[0], &about, err);
}

void agent_start(struct warden *warden, struct warden_packet *packet, const int *fds, size_t nfds)
{
	struct start_job work = {.files = fds[0], .archive_fd = nfds > 1 ? fds[1] : -1};
	struct record record = {.period = packet->u.start.period,
	    .connections = packet->u.start.limits.connections,
	    .is_narrowed = packet->u.start.is_narrowed};
	struct error err = {0};

	if (may_start(warden, packet->agent, &err) != 0 || check_fds(fds, nfds, &err) != 0 ||
	    slots_take(warden->slots, &record.slot, &err) != 0) {
		refuse(warden, packet, err.text);
		return;
	}
	packet_put(record.agent, sizeof(record.agent), packet->agent);
	packet_put(record.boot, sizeof(record.boot), packet->boot);
	packet_put(record.image, sizeof(record.image), packet->u.start.image);
	packet_put(record.kind, sizeof(record.kind), packet->u.start.kind);
	packet_put(record.wallet, sizeof(record.wallet), packet->u.start.wallet);
	take_ranges(&record, packet);
	struct agent *agent = agent_new(warden, &record);
	agent_say_starting(agent);
	if (begin(agent, packet, &work, &err) != 0)
		fail(agent, err.text, WARDEN_FAILURE_OTHER);
}
