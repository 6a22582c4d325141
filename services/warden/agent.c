#include "services/warden/agent.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "services/warden/agent_internal.h"
#include "services/warden/warden.h"

struct agent *agent_find(const struct warden *warden, const char *id)
{
	struct agent *agent;

	LIST_FOREACH(agent, &warden->agents, next)
	if (strcmp(agent->record.agent, id) == 0)
		return agent;
	return NULL;
}

void agent_close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void agents_close_fds(const struct warden *warden, const struct agent *except)
{
	const struct agent *agent;
	int spared[] = {except ? except->root : -1, except ? except->secrets : -1};

	LIST_FOREACH(agent, &warden->agents, next)
	{
		const int fds[] = {agent->pidfd, agent->secrets, agent->log, agent->root};
		for (size_t i = 0; i < ARRAY_LEN(fds); i++)
			if (fds[i] >= 0 && fds[i] != spared[0] && fds[i] != spared[1])
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

bool agent_is_pipe(int fd, int access)
{
	struct stat about;

	return fstat(fd, &about) == 0 && S_ISFIFO(about.st_mode) &&
	       (fcntl(fd, F_GETFL) & O_ACCMODE) == access;
}

/* ---- made and forgotten ---- */

struct agent *agent_new(struct warden *warden, const struct record *record)
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

void agent_free_event(struct event **event)
{
	if (*event)
		event_free(*event);
	*event = NULL;
}

void agent_free(struct agent *agent)
{
	struct warden *warden = agent->warden;

	LIST_REMOVE(agent, next);
	warden->nagents--;
	agent_free_event(&agent->ended);
	agent_free_event(&agent->poll);
	agent_free_event(&agent->timer);
	job_destroy(&agent->job);
	job_destroy(&agent->exec);
	agent_forget_snapshot(agent);
	agent_allow_forget(agent);
	agent_close_fd(&agent->pidfd);
	agent_close_fd(&agent->secrets);
	agent_close_fd(&agent->log);
	agent_close_fd(&agent->root);
	agent_close_fd(&agent->execed_fd);
	free(agent);
	warden_look_at_exit(warden);
}

void agents_forget(struct warden *warden)
{
	while (!LIST_EMPTY(&warden->agents))
		agent_free(LIST_FIRST(&warden->agents));
}

/* ---- found ---- */

struct agent *agent_adopt(struct warden *warden, const struct record *record, int pidfd)
{
	struct agent *agent = agent_new(warden, record);

	agent->state = AGENT_RUNNING;
	agent->pidfd = pidfd;
	agent_watch(agent);
	return agent;
}

void agent_clean_up(struct warden *warden, const struct record *record)
{
	struct agent *agent = agent_new(warden, record);

	agent->is_adopted = true;
	agent_end(agent, true);
}
