/* Rules that change are waited for by the kernel, some 20 ms each time: a job's work, one at a time for an agent, for all that were asked for until it begins. */
#include <stdlib.h>

#include "common/log.h"
#include "common/scoped.h"
#include "services/warden/agent_internal.h"
#include "services/warden/warden.h"

#define ADDRESSES_MAX 512
#define TICKETS_MAX 128 /* more than sandbox waits for at one time, for one agent */

struct allowing {
	size_t n, ntickets;
	struct network_allowed at[ADDRESSES_MAX];
	uint64_t ticket[TICKETS_MAX];
};

struct allow_job {
	const struct network *network;
	uint32_t slot;
	int pidfd;
	const struct allowing *of;
};

static int run(void *arg, int report_fd)
{
	const struct allow_job *job = arg;
	struct job_report report = {.kind = 1};
	struct error err = {0};

	if (network_allow(job->network, job->slot, job->pidfd, job->of->at, job->of->n, &err) == 0)
		return 0;
	snprintf(report.text, sizeof(report.text), "%.*s", JOB_TEXT_MAX, err.text);
	job_tell(report_fd, &report, NULL, 0);
	return 1;
}

static void on_report(void *arg, const struct job_report *report, const int *fds, size_t nfds)
{
	const struct agent *agent = arg;

	for (size_t i = 0; i < nfds; i++)
		close(fds[i]);
	log_warn(
	    "addresses are not let through", "agent", agent->record.agent, "why", report->text);
}

static void say_allowed(const struct agent *agent, const struct allowing *allowed)
{
	struct warden_packet packet;

	for (size_t i = 0; i < allowed->ntickets; i++) {
		agent_packet(agent, &packet, WARDEN_ALLOWED);
		packet.u.allowed.ticket = allowed->ticket[i];
		peer_send(agent->warden->peer, &packet, -1);
	}
}

static void on_end(void *arg, int status)
{
	struct agent *agent = arg;

	agent->allow = NULL;
	if (status == 0)
		say_allowed(agent, agent->allows);
	free(agent->allows);
	agent->allows = NULL;
	agent_allow_go(agent);
}

void agent_allow_go(struct agent *agent)
{
	struct warden *warden = agent->warden;
	struct job_hooks hooks = {agent_close_all_but_process, on_report, on_end, agent};
	struct allow_job work = {
	    warden->host.network, agent->record.slot, agent->pidfd, agent->allows_next};
	struct error err = {0};
	char name[64];

	/* one that starts has no process yet that its namespace is known by */
	if (!agent->allows_next || agent->allow || agent->pidfd < 0 || agent->state > AGENT_RUNNING)
		return;
	agent->allows = agent->allows_next;
	agent->allows_next = NULL;
	agent_jobs_group(agent, name);
	scoped_fd int group = cgroup_make(&warden->host.cgroups, name, &err);
	agent->allow = group < 0 ? NULL : job_start(warden->reaper, group, &hooks, run, &work);
	if (agent->allow)
		return;
	log_warn("addresses are not let through", "agent", agent->record.agent, "why",
	    "no process can be made");
	free(agent->allows);
	agent->allows = NULL;
}

/* Each address once: nft takes no element out twice. The longer time holds for both. */
static bool add(struct allowing *allowing, struct in_addr address, uint32_t ttl_s)
{
	for (size_t i = 0; i < allowing->n; i++)
		if (allowing->at[i].address.s_addr == address.s_addr) {
			if (ttl_s > allowing->at[i].ttl_s)
				allowing->at[i].ttl_s = ttl_s;
			return true;
		}
	if (allowing->n == ADDRESSES_MAX)
		return false;
	allowing->at[allowing->n++] = (struct network_allowed){address, ttl_s};
	return true;
}

void agent_allow(struct agent *agent, const struct warden_packet *packet)
{
	if (!agent->record.is_narrowed || agent->state > AGENT_RUNNING)
		return;
	if (!agent->allows_next)
		agent->allows_next = calloc(1, sizeof(*agent->allows_next));
	struct allowing *next = agent->allows_next;
	bug_if(!next);
	/* what is too much is never answered */
	if (next->ntickets == TICKETS_MAX)
		return;
	for (uint32_t i = 0; i < packet->u.allow.len; i++)
		if (!add(next, packet->u.allow.address[i], packet->u.allow.ttl_s))
			return;
	next->ticket[next->ntickets++] = packet->u.allow.ticket;
	agent_allow_go(agent);
}

void agent_allow_forget(struct agent *agent)
{
	job_destroy(&agent->allow);
	free(agent->allows);
	free(agent->allows_next);
	agent->allows = agent->allows_next = NULL;
}
