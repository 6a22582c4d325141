#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "services/warden/agent_internal.h"
#include "services/warden/secret_files.h"
#include "services/warden/warden.h"

#define CLEAN_AFTER_MS \
	150 /* whoever is at the other end of its connections learns of a kill first: cleaning takes as much CPU as that does */
#define POLL_US 500
#define POLLS_BETWEEN_KILLS \
	20 /* the kernel kills what forks meanwhile by itself; this is for what was moved in from outside */
#define POLL_US_LATER 20000
#define POLLS_SOON 400 /* then something is odd, and there is no hurry to look */

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

static void on_clean(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	agent_clean(arg);
}

static void clean_later(struct agent *agent)
{
	const struct timeval wait = {.tv_usec = CLEAN_AFTER_MS * 1000};

	agent->state = AGENT_CLEANING;
	agent_free_event(&agent->timer);
	agent->timer = evtimer_new(agent->warden->base, on_clean, agent);
	bug_if(!agent->timer || event_add(agent->timer, &wait) != 0);
}

void agent_wipe_secrets(struct agent *agent)
{
	if (agent->secrets >= 0 && !secret_files_wipe(agent->secrets))
		log_error("secrets are not wiped", "agent", agent->record.agent);
	agent_close_fd(&agent->secrets);
}

static void on_empty(struct agent *agent)
{
	bool was_oom = cgroup_was_oom(&agent->warden->host.cgroups, agent->record.agent);

	bool is_held = agent_may_be_held(agent);
	if (!is_held)
		agent_wipe_secrets(agent);
	if (agent->record.pid > 0 && agent->pidfd >= 0)
		agent->status = reaper_wait(agent->warden->reaper, agent->record.pid);
	agent_say_ended(agent, was_oom, is_held);
	if (is_held)
		agent_hold(agent);
	else if (agent->is_cut)
		clean_later(agent);
	else
		agent_clean(agent);
}

/* Its sockets end with it, one after the other: what is at the host's end of them need not wait for that. */
static void cut(struct agent *agent)
{
	struct error err = {0};

	agent->must_cut = false;
	agent->is_cut = true;
	if (network_cut(agent->warden->host.network, agent->record.slot, &err) != 0)
		log_warn("connections are not cut", "agent", agent->record.agent, "why", err.text);
}

static void on_poll(evutil_socket_t fd, short what, void *arg)
{
	struct agent *agent = arg;
	struct timeval again = {0, agent->polls < POLLS_SOON ? POLL_US : POLL_US_LATER};

	(void)fd, (void)what;
	if (agent->must_cut)
		cut(agent);
	if (has_ended(agent)) {
		on_empty(agent);
		return;
	}
	if (agent->polls++ == POLLS_SOON)
		log_warn("agent takes long to end", "agent", agent->record.agent);
	if (agent->polls % POLLS_BETWEEN_KILLS == 0)
		kill_groups(agent);
	event_add(agent->poll, &again);
}

void agent_end(struct agent *agent, bool was_asked)
{
	if (agent->state >= AGENT_ENDING)
		return;
	agent->state = AGENT_ENDING;
	agent->was_asked = was_asked;
	agent->ending_us = clock_boot_us();
	agent_give_up_snapshot(agent);
	kill_groups(agent);
	agent_free_event(&agent->ended);
	agent_free_event(&agent->timer);
	agent->poll = evtimer_new(agent->warden->base, on_poll, agent);
	bug_if(!agent->poll);
	/* not now: others may have to be killed first */
	event_active(agent->poll, EV_TIMEOUT, 0);
}

void agent_kill(struct agent *agent)
{
	agent_release(agent, "it is killed");
	agent->must_cut |= agent->state == AGENT_RUNNING;
	agent_end(agent, true);
}

void agents_kill(struct warden *warden, const char *why)
{
	struct agent *agent, *following;

	if (warden->nagents)
		log_audit("all agents are ended", "why", why);
	for (agent = LIST_FIRST(&warden->agents); agent; agent = following) {
		following = LIST_NEXT(agent, next);
		agent_kill(agent);
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
		agent_end(agent, false);
	}
}

void agents_look_at_volumes(struct warden *warden)
{
	struct agent *agent, *following;
	char name[64];

	for (agent = LIST_FIRST(&warden->agents); agent; agent = following) {
		following = LIST_NEXT(agent, next);
		snprintf(name, sizeof(name), "volumes/%s", agent->record.agent);
		if ((agent->state != AGENT_RUNNING && agent->state != AGENT_HELD) ||
		    cgroup_process(&warden->host.cgroups, name) != 0)
			continue;
		log_error("what shows its volume has ended, so the agent is ended", "agent",
		    agent->record.agent);
		agent_release(agent, "its volume is not shown any more");
		agent_end(agent, agent->was_asked);
	}
}

static void on_grace_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	agent_end(arg, true);
}

void agent_stop(struct agent *agent, uint64_t grace_ms, uint64_t hold_ms)
{
	const struct timeval grace = {
	    (time_t)(grace_ms / 1000), (suseconds_t)(grace_ms % 1000 * 1000)};

	/* nothing was saved of it, nor has to be */
	if (agent->state == AGENT_STARTING)
		agent_end(agent, true);
	if (agent->state != AGENT_RUNNING)
		return;
	agent->was_asked = true;
	agent->hold_ms = hold_ms;
	/* it has to hear it */
	if (agent->save)
		cgroup_freeze(&agent->warden->host.cgroups, agent->record.agent, false);
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
		agent_end(agent, agent->was_asked);
}

void agent_watch(struct agent *agent)
{
	agent->ended = event_new(agent->warden->base, agent->pidfd, EV_READ, on_ended, agent);
	bug_if(!agent->ended || event_add(agent->ended, NULL) != 0);
}
