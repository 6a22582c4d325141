#include "services/warden/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/scoped.h"
#include "services/warden/agent_internal.h"
#include "services/warden/clean_job.h"
#include "services/warden/packet.h"
#include "services/warden/proc.h"
#include "services/warden/secret_files.h"
#include "services/warden/start_job.h"
#include "services/warden/warden.h"

#define START_GRACE_MS 20000 /* for all of a start but the wait for its port */
#define POLL_US 500
#define POLL_US_LATER 20000
#define POLLS_SOON 400 /* then something is odd, and there is no hurry to look */
#define CLEAN_AGAIN_S 5

struct agent *agent_find(const struct warden *warden, const char *id)
{
	struct agent *agent;

	LIST_FOREACH(agent, &warden->agents, next)
	if (strcmp(agent->record.agent, id) == 0)
		return agent;
	return NULL;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void agents_close_fds(const struct warden *warden, const struct agent *except)
{
	const struct agent *agent;
	int spared = except ? except->root : -1;

	LIST_FOREACH(agent, &warden->agents, next)
	{
		const int fds[] = {agent->pidfd, agent->secrets, agent->log, agent->root};
		for (size_t i = 0; i < ARRAY_LEN(fds); i++)
			if (fds[i] >= 0 && fds[i] != spared)
				close(fds[i]);
	}
	peer_close_fds(warden->peer);
	host_close_locks(&warden->host);
	if (warden->resolver >= 0)
		close(warden->resolver);
}

void agent_close_others(void *arg)
{
	const struct agent *agent = arg;

	agents_close_fds(agent->warden, agent);
}

void agent_close_all_but_process(void *arg)
{
	struct agent *agent = arg;
	int pidfd = agent->pidfd;

	agent->pidfd = -1; /* in the child alone */
	agents_close_fds(agent->warden, NULL);
	agent->pidfd = pidfd;
}

/* ---- what sandbox is told ---- */

void agent_packet(const struct agent *agent, struct warden_packet *packet, uint32_t what)
{
	*packet = (struct warden_packet){.what = what};
	packet_put(packet->agent, sizeof(packet->agent), agent->record.agent);
	packet_put(packet->boot, sizeof(packet->boot), agent->record.boot);
}

static struct in_addr address_of(const struct agent *agent)
{
	struct network_link link = {0};

	if (agent->record.slot < network_slots(agent->warden->host.network))
		network_link_of(agent->warden->host.network, agent->record.slot, &link);
	return link.container;
}

/* The read end alone, and without waiting: what it has of the FIFO ends with its descriptor, not with the container's. */
static int open_log(const struct agent *agent)
{
	char path[64];

	if (agent->log < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", agent->log);
	return open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

static void say_text(struct agent *agent, uint32_t what, const char *text)
{
	struct warden_packet packet;

	agent_packet(agent, &packet, what);
	packet_put(packet.u.text, sizeof(packet.u.text), text);
	peer_send(agent->warden->peer, &packet, -1);
}

void agent_say_found(struct agent *agent)
{
	struct warden_packet packet;
	scoped_fd int log = agent->state == AGENT_RUNNING ? open_log(agent) : -1;

	agent_packet(agent, &packet, WARDEN_FOUND);
	packet.u.found.address = address_of(agent);
	packet.u.found.port = WARDEN_AGENT_PORT;
	packet.u.found.is_ending = agent->state != AGENT_RUNNING;
	packet.u.found.started_ms = agent->record.started_ms;
	packet.u.found.period = agent->record.period;
	packet_put(packet.u.found.image, sizeof(packet.u.found.image), agent->record.image);
	packet_put(packet.u.found.wallet, sizeof(packet.u.found.wallet), agent->record.wallet);
	peer_send(agent->warden->peer, &packet, log);
}

/* The slot is its own from here on: what asks from its address is this agent. */
static void say_starting(struct agent *agent)
{
	struct warden_packet packet;

	agent_packet(agent, &packet, WARDEN_STARTING);
	packet.u.starting.address = address_of(agent);
	peer_send(agent->warden->peer, &packet, -1);
}

static void say_started(struct agent *agent)
{
	struct warden_packet packet;
	scoped_fd int log = open_log(agent);

	agent_packet(agent, &packet, WARDEN_STARTED);
	packet.u.started.address = address_of(agent);
	packet.u.started.port = WARDEN_AGENT_PORT;
	packet.u.started.ms = (clock_boot_us() - agent->began_us) / 1000;
	peer_send(agent->warden->peer, &packet, log);
	log_info("agent started", "agent", agent->record.agent, "slot", log_u64(agent->record.slot),
	    "ms", log_u64(packet.u.started.ms));
}

static void say_ended(struct agent *agent, bool was_oom)
{
	struct warden_packet packet;

	agent_packet(agent, &packet, WARDEN_ENDED);
	packet.u.ended.was_asked = agent->was_asked;
	packet.u.ended.status = agent->status;
	packet.u.ended.was_oom = was_oom;
	packet.u.ended.us = clock_boot_us() - agent->ending_us;
	log_info("agent ended", "agent", agent->record.agent, "asked",
	    agent->was_asked ? "yes" : "no", "oom", was_oom ? "yes" : "no", "us",
	    log_u64(packet.u.ended.us));
	/* of a START that was not done, FAILED is the only word */
	if (!agent->why[0])
		peer_send(agent->warden->peer, &packet, -1);
}

/* ---- made and forgotten ---- */

static struct agent *agent_new(struct warden *warden, const struct record *record)
{
	struct agent *agent = calloc(1, sizeof(*agent));

	bug_if(!agent);
	agent->warden = warden;
	agent->record = *record;
	agent->pidfd = agent->secrets = agent->log = agent->root = agent->status = -1;
	agent->execed_fd = -1;
	agent->began_us = clock_boot_us();
	LIST_INSERT_HEAD(&warden->agents, agent, next);
	warden->nagents++;
	if (record->slot != UINT32_MAX)
		slots_keep(warden->slots, record->slot);
	return agent;
}

static void free_event(struct event **event)
{
	if (*event)
		event_free(*event);
	*event = NULL;
}

static void agent_free(struct agent *agent)
{
	struct warden *warden = agent->warden;

	LIST_REMOVE(agent, next);
	warden->nagents--;
	free_event(&agent->ended);
	free_event(&agent->poll);
	free_event(&agent->timer);
	job_destroy(&agent->job);
	job_destroy(&agent->exec);
	agent_allow_forget(agent);
	close_fd(&agent->pidfd);
	close_fd(&agent->secrets);
	close_fd(&agent->log);
	close_fd(&agent->root);
	close_fd(&agent->execed_fd);
	free(agent);
	warden_look_at_exit(warden);
}

void agents_forget(struct warden *warden)
{
	while (!LIST_EMPTY(&warden->agents))
		agent_free(LIST_FIRST(&warden->agents));
}

/* ---- cleaning ---- */

static void clean(struct agent *agent);

static void on_clean_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	clean(arg);
}

static void on_clean_report(void *arg, const struct job_report *report, const int *fds, size_t nfds)
{
	struct agent *agent = arg;

	for (size_t i = 0; i < nfds; i++)
		close(fds[i]);
	log_warn("agent is not cleaned up yet", "agent", agent->record.agent, "why", report->text);
	if (!agent->was_told && !agent->is_adopted)
		say_text(agent, agent->why[0] ? WARDEN_FAILED : WARDEN_GONE,
		    agent->why[0] ? agent->why : report->text);
	agent->was_told = true;
}

static void on_clean_end(void *arg, int status)
{
	struct agent *agent = arg;
	const struct timeval again = {CLEAN_AGAIN_S, 0};

	agent->job = NULL;
	if (status != 0) {
		if (!agent->timer)
			agent->timer = evtimer_new(agent->warden->base, on_clean_again, agent);
		bug_if(!agent->timer || event_add(agent->timer, &again) != 0);
		return;
	}
	slots_give(agent->warden->slots, agent->record.slot);
	log_info("agent is gone", "agent", agent->record.agent);
	if (!agent->was_told && agent->why[0])
		say_text(agent, WARDEN_FAILED, agent->why);
	else if (!agent->was_told)
		say_text(agent, WARDEN_GONE, "");
	agent_free(agent);
}

static void clean(struct agent *agent)
{
	struct warden *warden = agent->warden;
	struct clean_job work = {.host = &warden->host,
	    .period = agent->record.period,
	    .slot = agent->record.slot,
	    .network = record_limits(&agent->record),
	    .root = agent->root};
	struct job_hooks hooks = {agent_close_others, on_clean_report, on_clean_end, agent};

	agent->state = AGENT_CLEANING;
	free_event(&agent->timer);
	packet_put(work.agent, sizeof(work.agent), agent->record.agent);
	packet_put(work.wallet, sizeof(work.wallet), agent->record.wallet);
	agent->job = job_start(warden->reaper, warden->jobs_cgroup, &hooks, clean_job_run, &work);
	/* the job has it now: whoever closes it last waits until the volume is written */
	close_fd(&agent->root);
	close_fd(&agent->log);
	if (!agent->job) {
		log_error(
		    "no process can be made", "agent", agent->record.agent, "why", strerror(errno));
		on_clean_end(agent, -1);
	}
}

/* ---- ending ---- */

void agent_jobs_group(const struct agent *agent, char name[64])
{
	snprintf(name, 64, "jobs/%s", agent->record.agent);
}

static void kill_groups(struct agent *agent)
{
	const struct cgroups *cgroups = &agent->warden->host.cgroups;
	char jobs[64];

	agent_jobs_group(agent, jobs);
	cgroup_unlimit(cgroups, agent->record.agent);
	cgroup_kill(cgroups, agent->record.agent);
	cgroup_kill(cgroups, jobs);
}

static bool has_ended(struct agent *agent)
{
	const struct cgroups *cgroups = &agent->warden->host.cgroups;
	char jobs[64];

	agent_jobs_group(agent, jobs);
	return !agent->job && !agent->exec && !agent->allow &&
	       cgroup_is_empty(cgroups, jobs, true) &&
	       cgroup_is_empty(cgroups, agent->record.agent, true);
}

static void on_empty(struct agent *agent)
{
	bool was_oom = cgroup_was_oom(&agent->warden->host.cgroups, agent->record.agent);

	if (agent->secrets >= 0 && !secret_files_wipe(agent->secrets))
		log_error("secrets are not wiped", "agent", agent->record.agent);
	close_fd(&agent->secrets);
	if (agent->record.pid > 0 && agent->pidfd >= 0)
		agent->status = reaper_wait(agent->warden->reaper, agent->record.pid);
	say_ended(agent, was_oom);
	clean(agent);
}

static void on_poll(evutil_socket_t fd, short what, void *arg)
{
	struct agent *agent = arg;
	struct timeval again = {0, agent->polls < POLLS_SOON ? POLL_US : POLL_US_LATER};

	(void)fd, (void)what;
	if (has_ended(agent)) {
		on_empty(agent);
		return;
	}
	if (agent->polls++ == POLLS_SOON)
		log_warn("agent takes long to end", "agent", agent->record.agent);
	kill_groups(agent);
	event_add(agent->poll, &again);
}

static void end(struct agent *agent, bool was_asked)
{
	if (agent->state >= AGENT_ENDING)
		return;
	agent->state = AGENT_ENDING;
	agent->was_asked = was_asked;
	agent->ending_us = clock_boot_us();
	kill_groups(agent);
	free_event(&agent->ended);
	free_event(&agent->timer);
	agent->poll = evtimer_new(agent->warden->base, on_poll, agent);
	bug_if(!agent->poll);
	on_poll(-1, 0, agent);
}

void agent_kill(struct agent *agent)
{
	end(agent, true);
}

void agents_kill(struct warden *warden, const char *why)
{
	struct agent *agent, *following;

	if (warden->nagents)
		log_audit("all agents are ended", "why", why);
	for (agent = LIST_FIRST(&warden->agents); agent; agent = following) {
		following = LIST_NEXT(agent, next);
		end(agent, true);
	}
}

void agents_look_at_starts(struct warden *warden)
{
	struct agent *agent, *following;

	for (agent = LIST_FIRST(&warden->agents); agent; agent = following) {
		following = LIST_NEXT(agent, next);
		if (agent->state != AGENT_STARTING || clock_boot_us() < agent->start_by_us)
			continue;
		log_error("a start hangs, so it is ended", "agent", agent->record.agent);
		end(agent, false);
	}
}

void agents_look_at_volumes(struct warden *warden)
{
	struct agent *agent, *following;
	char name[64];

	for (agent = LIST_FIRST(&warden->agents); agent; agent = following) {
		following = LIST_NEXT(agent, next);
		snprintf(name, sizeof(name), "volumes/%s", agent->record.agent);
		if (agent->state != AGENT_RUNNING ||
		    cgroup_process(&warden->host.cgroups, name) != 0)
			continue;
		log_error("what shows its volume has ended, so the agent is ended", "agent",
		    agent->record.agent);
		end(agent, agent->was_asked);
	}
}

static void on_grace_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	end(arg, true);
}

void agent_stop(struct agent *agent, uint64_t grace_ms)
{
	const struct timeval grace = {
	    (time_t)(grace_ms / 1000), (suseconds_t)(grace_ms % 1000 * 1000)};

	if (agent->state == AGENT_STARTING)
		end(agent, true);
	if (agent->state != AGENT_RUNNING)
		return;
	agent->was_asked = true;
	syscall(SYS_pidfd_send_signal, agent->pidfd, SIGTERM, NULL, 0);
	if (!agent->timer)
		agent->timer = evtimer_new(agent->warden->base, on_grace_over, agent);
	bug_if(!agent->timer || event_add(agent->timer, &grace) != 0);
}

/* Its first process has ended, and all others with it; a stop that was asked for ends this way too. */
static void on_ended(evutil_socket_t fd, short what, void *arg)
{
	struct agent *agent = arg;

	(void)fd, (void)what;
	if (agent->state == AGENT_RUNNING)
		end(agent, agent->was_asked);
}

static void watch(struct agent *agent)
{
	agent->ended = event_new(agent->warden->base, agent->pidfd, EV_READ, on_ended, agent);
	bug_if(!agent->ended || event_add(agent->ended, NULL) != 0);
}

/* ---- starting ---- */

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
	end(agent, false);
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
	watch(agent);
	say_started(agent);
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
	say_starting(agent);
	if (begin(agent, packet, files, &err) != 0)
		fail(agent, err.text);
}

/* ---- found ---- */

struct agent *agent_adopt(struct warden *warden, const struct record *record, int pidfd)
{
	struct agent *agent = agent_new(warden, record);

	agent->state = AGENT_RUNNING;
	agent->pidfd = pidfd;
	watch(agent);
	return agent;
}

void agent_clean_up(struct warden *warden, const struct record *record)
{
	struct agent *agent = agent_new(warden, record);

	agent->is_adopted = true;
	end(agent, true);
}
