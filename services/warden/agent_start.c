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
	agent->pidfd = fds[0];
	agent->log = fds[1];
	agent->root = fds[2];
	if (fstat(agent->log, &about) == 0) {
		agent->record.log_device = about.st_dev;
		agent->record.log_inode = about.st_ino;
	}
	agent_allow_go(agent);
}

static void fail(struct agent *agent, const char *why)
{
	packet_put(agent->why, sizeof(agent->why), why);
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
		if (agent->state == AGENT_STARTING && report->kind == START_READY)
			on_ready(agent);
		else if (agent->state == AGENT_STARTING)
			fail(agent, report->text);
	}
}

static void on_start_end(void *arg, int status)
{
	struct agent *agent = arg;

	(void)status;
	agent->job = NULL;
	if (agent->state == AGENT_STARTING)
		fail(agent, "its start was interrupted");
}

static void take_order(
    const struct agent *agent, const struct warden_packet *packet, struct start_job *work)
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
}

/* Notes it, makes its groups, starts its job. */
static int begin(
    struct agent *agent, const struct warden_packet *packet, int files, struct error *err)
{
	struct warden *warden = agent->warden;
	struct start_job work = {.files = files};
	struct job_hooks hooks = {agent_close_others, on_start_report, on_start_end, agent};
	char name[64];

	agent->start_by_us = agent->began_us + (packet->u.start.ready_ms + START_GRACE_MS) * 1000;
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
	take_order(agent, packet, &work);
	work.volume_cgroup = volume_group;
	struct secret *key =
	    secret_new(packet->u.start.volume_key, sizeof(packet->u.start.volume_key));
	work.volume_key = key;
	agent->job = job_start(warden->reaper, job_group, &hooks, start_job_run, &work);
	secret_destroy(&key);
	return agent->job ? 0 : error_set(err, ERR_UNAVAILABLE, "no process can be made");
}

static int may_start(const struct warden *warden, const char *id, struct error *err)
{
	const struct agent *agent = agent_find(warden, id);

	if (warden->is_stopping)
		return error_set(err, ERR_UNAVAILABLE, "warden is stopping");
	if (warden->is_network_broken)
		return error_set(err, ERR_UNAVAILABLE, "the host's rules for containers are gone");
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
	packet_put(packet.u.text, sizeof(packet.u.text), why);
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

void agent_start(struct warden *warden, const struct warden_packet *packet, int files)
{
	struct record record = {.period = packet->u.start.period,
	    .connections = packet->u.start.limits.connections,
	    .is_narrowed = packet->u.start.is_narrowed};
	struct secret_files about;
	struct error err = {0};

	if (may_start(warden, packet->agent, &err) != 0 ||
	    secret_files_check(files, &about, &err) != 0 ||
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
	if (begin(agent, packet, files, &err) != 0)
		fail(agent, err.text);
}
