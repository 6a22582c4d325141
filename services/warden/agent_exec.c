#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/scoped.h"
#include "services/warden/agent_internal.h"
#include "services/warden/exec_job.h"
#include "services/warden/packet.h"
#include "services/warden/warden.h"

static void fill(
    const struct agent *agent, struct warden_packet *packet, const struct job_report *report)
{
	agent_packet(agent, packet, WARDEN_EXECED);
	packet->u.execed.status = report->pid;
	packet->u.execed.was_cut = report->number != 0;
	if (report->kind == EXEC_DONE)
		return;
	packet->u.execed.status = -1;
	packet_put(packet->u.execed.why, sizeof(packet->u.execed.why),
	    report->text[0] ? report->text : "it did not run");
}

static void refuse(const struct agent *agent, const char *why)
{
	struct job_report report = {.kind = EXEC_FAILED};
	struct warden_packet packet;

	packet_put(report.text, sizeof(report.text), why);
	fill(agent, &packet, &report);
	peer_send(agent->warden->peer, &packet, -1);
}

static void on_report(void *arg, const struct job_report *report, const int *fds, size_t nfds)
{
	struct agent *agent = arg;

	fill(agent, &agent->execed, report);
	agent->execed_fd = nfds ? fds[0] : -1;
	for (size_t i = 1; i < nfds; i++)
		close(fds[i]);
}

/* Only now is there room for the next one. Killed with its container, it has told nothing; who asked still gets an answer. */
static void on_end(void *arg, int status)
{
	struct agent *agent = arg;

	(void)status;
	agent->exec = NULL;
	if (agent->execed.what == 0)
		refuse(agent, "the container ended");
	else
		peer_send(agent->warden->peer, &agent->execed, agent->execed_fd);
	if (agent->execed_fd >= 0)
		close(agent->execed_fd);
	agent->execed_fd = -1;
	agent->execed.what = 0;
}

void agent_exec(struct agent *agent, const struct warden_packet *packet)
{
	struct warden *warden = agent->warden;
	struct job_hooks hooks = {agent_close_all_but_process, on_report, on_end, agent};
	struct exec_job work = {
	    .host = &warden->host, .pidfd = agent->pidfd, .len = packet->u.exec.len};
	struct error err = {0};
	char name[64];

	if (agent->state != AGENT_RUNNING || agent->exec) {
		refuse(agent, agent->exec ? "another command runs" : "it does not run");
		return;
	}
	log_audit("a command in a container", "agent", agent->record.agent, "command",
	    packet->u.exec.text);
	packet_put(work.agent, sizeof(work.agent), agent->record.agent);
	packet_put(work.kind, sizeof(work.kind), agent->record.kind);
	packet_put(work.image, sizeof(work.image), agent->record.image);
	memcpy(work.text, packet->u.exec.text, work.len);
	work.timeout_ms = packet->u.exec.timeout_ms;
	snprintf(name, sizeof(name), "jobs/%s", agent->record.agent);
	scoped_fd int group = cgroup_make(&warden->host.cgroups, name, &err);
	agent->exec =
	    group < 0 ? NULL : job_start(warden->reaper, group, &hooks, exec_job_run, &work);
	if (!agent->exec)
		refuse(agent, "no process can be made");
}
