#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "services/warden/agent_internal.h"
#include "services/warden/clean_job.h"
#include "services/warden/packet.h"
#include "services/warden/warden.h"

#define CLEAN_AGAIN_S 5

static void on_clean_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	agent_clean(arg);
}

static void on_clean_report(void *arg, const struct job_report *report, const int *fds, size_t nfds)
{
	struct agent *agent = arg;

	for (size_t i = 0; i < nfds; i++)
		close(fds[i]);
	log_warn("agent is not cleaned up yet", "agent", agent->record.agent, "why", report->text);
	if (!agent->was_told && !agent->is_adopted && agent->why[0])
		agent_say_failed(agent);
	else if (!agent->was_told && !agent->is_adopted)
		agent_say_text(agent, WARDEN_GONE, report->text);
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
		agent_say_failed(agent);
	else if (!agent->was_told)
		agent_say_text(agent, WARDEN_GONE, "");
	agent_free(agent);
}

void agent_clean(struct agent *agent)
{
	struct warden *warden = agent->warden;
	struct clean_job work = {.host = &warden->host,
	    .period = agent->record.period,
	    .slot = agent->record.slot,
	    .network = record_limits(&agent->record),
	    .root = agent->root};
	struct job_hooks hooks = {agent_close_others, on_clean_report, on_clean_end, agent};

	agent->state = AGENT_CLEANING;
	agent_free_event(&agent->timer);
	if (agent->save)
		return;
	packet_put(work.agent, sizeof(work.agent), agent->record.agent);
	packet_put(work.wallet, sizeof(work.wallet), agent->record.wallet);
	agent->job = job_start(warden->reaper, warden->jobs_cgroup, &hooks, clean_job_run, &work);
	/* the job has it now: whoever closes it last waits until the volume is written */
	agent_close_fd(&agent->root);
	agent_close_fd(&agent->log);
	if (!agent->job) {
		log_error(
		    "no process can be made", "agent", agent->record.agent, "why", strerror(errno));
		on_clean_end(agent, -1);
	}
}
