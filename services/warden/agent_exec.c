#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/scoped.h"
#include "services/warden/agent_internal.h"
#include "services/warden/exec_job.h"
#include "services/warden/packet.h"
#include "services/warden/warden.h"

static void say_execed(struct agent *agent, const struct job_report *report, int fd)
{
	struct warden_packet packet;

	agent_packet(agent, &packet, WARDEN_EXECED);
	packet.u.execed.status = report->pid;
	packet.u.execed.was_cut = report->number != 0;
	if (report->kind != EXEC_DONE) {
		packet.u.execed.status = -1;
		packet_put(packet.u.execed.why, sizeof(packet.u.execed.why),
		    report->text[0] ? report->text : "it did not run");
	}
	peer_send(agent->warden->peer, &packet, fd);
}

static void on_report(void *arg, const struct job_report *report, const int *fds, size_t nfds)
{
	struct agent *agent = arg;

	agent->execed = *report;
	for (size_t i = 0; i < nfds; i++)
		if (i == 0 && agent->output < 0)
			agent->output = fds[i];
		else
			close(fds[i]);
}

static void on_end(void *arg, int status)
{
	struct agent *agent = arg;

	(void)status;
	agent->exec = NULL;
	/* killed with its container, before it could say anything: who asked still gets an answer */
	if (!agent->execed.kind)
		agent->execed =
		    (struct job_report){.kind = EXEC_FAILED, .text = "the container ended"};
	say_execed(agent, &agent->execed, agent->output);
	if (agent->output >= 0)
		close(agent->output);
	agent->output = -1;
}

static void refuse(struct agent *agent, const char *why)
{
	struct job_report report = {.kind = EXEC_FAILED};

	snprintf(report.text, sizeof(report.text), "%s", why);
	say_execed(agent, &report, -1);
}

/* All but its own container's process. */
static void close_others(void *arg)
{
	struct agent *agent = arg;
	int pidfd = agent->pidfd;

	agent->pidfd = -1; /* in the child alone */
	agents_close_fds(agent->warden, NULL);
	agent->pidfd = pidfd;
}

void agent_exec(struct agent *agent, const struct warden_packet *packet)
{
	struct warden *warden = agent->warden;
	struct job_hooks hooks = {close_others, on_report, on_end, agent};
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
	memset(&agent->execed, 0, sizeof(agent->execed));
	agent->exec =
	    group < 0 ? NULL : job_start(warden->reaper, group, &hooks, exec_job_run, &work);
	if (!agent->exec)
		refuse(agent, "no process can be made");
}
