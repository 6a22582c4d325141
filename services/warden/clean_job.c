#include "services/warden/clean_job.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "common/clock.h"
#include "services/warden/job.h"
#include "services/warden/packer.h"
#include "services/warden/proc.h"
#include "services/warden/record.h"
#include "services/warden/volume.h"

#define VOLUME_MS 20000 /* what is not on the disk yet is written by then, or is being written */
#define VOLUME_TURNS 15
#define KILL_MS 2000

static bool wait_empty(const struct host *host, const char *name, unsigned timeout_ms)
{
	uint64_t until = clock_boot_ms() + timeout_ms;

	while (!cgroup_is_empty(&host->cgroups, name, false)) {
		if (clock_boot_ms() > until)
			return false;
		poll(NULL, 0, 1);
	}
	return true;
}

/* One whose start was interrupted before it was left behind has its own mount still, and so never ends; but nobody has used it yet. */
static void kill_unused(const struct clean_job *job, const char *group)
{
	pid_t pid = cgroup_process(&job->host->cgroups, group);

	if (pid <= 0 || !proc_has_mount(pid, job->host->work))
		return;
	cgroup_kill(&job->host->cgroups, group);
	volume_abort(pid, job->host->work);
}

/* Killed long before, but what it was in the middle of had to come to its end. */
static int end_packer(const struct clean_job *job, struct error *err)
{
	char group[PACKER_GROUP_LEN];

	packer_group(job->agent, group);
	cgroup_kill(&job->host->cgroups, group);
	return wait_empty(job->host, group, VOLUME_MS)
		   ? 0
		   : error_set(err, ERR_UNAVAILABLE, "what saved its files does not end");
}

/* On a busy disk it takes long; to kill it while it writes would lose what it has not written yet. */
static bool wait_closed(const struct host *host, const char *group)
{
	for (int i = 0; i < VOLUME_TURNS; i++) {
		uint64_t before = proc_written(cgroup_process(&host->cgroups, group));
		if (wait_empty(host, group, VOLUME_MS))
			return true;
		if (proc_written(cgroup_process(&host->cgroups, group)) == before)
			return false;
	}
	return false;
}

/* For people: what keeps it open, so that its cause can be found. */
static int still_open(const struct clean_job *job, const char *group, struct error *err)
{
	char shows[80], others[48];
	pid_t pid = cgroup_process(&job->host->cgroups, group);

	proc_describe(pid, shows, sizeof(shows));
	proc_list_mount(job->host->work, others, sizeof(others));
	return error_set(err, ERR_UNAVAILABLE, "its volume does not close: %s; mounted in: %s",
	    pid > 0 ? shows : "no process shows it", others[0] ? others : "none");
}

/* gocryptfs ends by itself once nobody uses what it shows. */
static int close_volume(const struct clean_job *job, struct error *err)
{
	struct volume_name name = {
	    job->host->settings->volumes, job->agent, job->wallet, job->period};
	char group[64];

	snprintf(group, sizeof(group), "volumes/%s", job->agent);
	kill_unused(job, group);
	if (!wait_closed(job->host, group)) {
		cgroup_kill(&job->host->cgroups, group);
		if (!wait_empty(job->host, group, KILL_MS))
			return still_open(job, group, err);
	}
	if (job->wallet[0] && !volume_is_closed(&name))
		return error_set(err, ERR_UNAVAILABLE, "its volume is still open");
	return 0;
}

static int remove_groups(const struct clean_job *job, struct error *err)
{
	static const char *const folders[] = {"", "jobs/", "volumes/", "packers/"};
	char name[64];
	int status = 0;

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		snprintf(name, sizeof(name), "%s%s", folders[i], job->agent);
		if (cgroup_remove(&job->host->cgroups, name, err) != 0)
			status = -1;
	}
	return status;
}

static int forget_link(const struct clean_job *job, struct error *err)
{
	if (job->slot >= network_slots(job->host->network))
		return 0;
	return network_link_forget(job->host->network, job->slot, &job->network, err);
}

static int delete_container(const struct clean_job *job, struct error *err)
{
	int status = runtime_delete(&job->host->runtime, job->agent, err);

	if (job->root >= 0)
		close(job->root);
	return status;
}

int clean_job_run(void *arg, int report_fd)
{
	static int (*const steps[])(const struct clean_job *job, struct error *err) = {
	    forget_link, end_packer, delete_container, close_volume, remove_groups};
	const struct clean_job *job = arg;
	struct job_report report = {.kind = CLEAN_FAILED};
	struct error err = {0};
	int status = 0;

	/* each of them, whatever became of the one before */
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		if (steps[i](job, &err) == 0 || status)
			continue;
		status = 1;
		snprintf(report.text, sizeof(report.text), "%.*s", JOB_TEXT_MAX, err.text);
	}
	if (status)
		job_tell(report_fd, &report, NULL, 0);
	else
		record_remove(job->host->run, job->agent);
	return status;
}
