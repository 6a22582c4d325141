#include "services/warden/snapshot_job.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/scoped.h"
#include "services/warden/job.h"
#include "services/warden/secret_files.h"

#define FREEZE_MS 2000 /* until all of it stands still */
#define FROZEN_MS 5000 /* who waits for the agent has not given up by then */

struct snapshot {
	struct snapshot_job *job;
	int report_fd;
	uint64_t thaw_at_ms; /* 0: it is not frozen */
};

static void freeze(const struct snapshot *snapshot, bool is_frozen)
{
	cgroup_freeze(&snapshot->job->host->cgroups, snapshot->job->order.agent, is_frozen);
}

static void begin_freeze(struct snapshot *snapshot)
{
	const struct snapshot_job *job = snapshot->job;
	uint64_t until = clock_boot_ms() + FREEZE_MS;

	freeze(snapshot, true);
	while (!cgroup_is_frozen(&job->host->cgroups, job->order.agent)) {
		if (clock_boot_ms() > until) {
			log_warn("an agent does not stand still, so it is saved while it runs",
			    "agent", job->order.agent);
			freeze(snapshot, false);
			return;
		}
		poll(NULL, 0, 1);
	}
	snapshot->thaw_at_ms = clock_boot_ms() + FROZEN_MS;
}

static void end_freeze(struct snapshot *snapshot)
{
	if (snapshot->thaw_at_ms)
		freeze(snapshot, false);
	snapshot->thaw_at_ms = 0;
}

static void on_turn(void *arg)
{
	struct snapshot *snapshot = arg;

	if (snapshot->thaw_at_ms && clock_boot_ms() > snapshot->thaw_at_ms) {
		log_warn("a snapshot takes long, so the agent goes on meanwhile", "agent",
		    snapshot->job->order.agent);
		end_freeze(snapshot);
	}
}

static void on_progress(void *arg, const struct packer_report *progress)
{
	const struct snapshot *snapshot = arg;
	struct job_report report = {
	    .kind = SNAPSHOT_SAVING, .number = progress->bytes, .more = progress->total_bytes};

	job_tell(snapshot->report_fd, &report, NULL, 0);
}

static int tell_done(const struct snapshot *snapshot, const struct packer_report *done)
{
	struct job_report report = {.kind = SNAPSHOT_DONE};
	scoped_fd int memfd = memfd_create("report", MFD_CLOEXEC);

	if (memfd < 0 || write(memfd, done, sizeof(*done)) != (ssize_t)sizeof(*done))
		return 1;
	job_tell(snapshot->report_fd, &report, &memfd, 1);
	return 0;
}

/* What it was given at its start is in its hands, whatever its owner has replaced or deleted since. */
static int gather(struct snapshot_job *job, struct error *err)
{
	int all = secret_files_join(job->secrets, job->given, err);

	close(job->secrets);
	close(job->given);
	job->secrets = all;
	return all >= 0 ? 0 : -1;
}

static int pack(struct snapshot *snapshot, struct packer_report *done_r, struct error *err)
{
	struct snapshot_job *job = snapshot->job;
	struct packer packer = {.host = job->host,
	    .order = &job->order,
	    .group_name = job->group_name,
	    .group = job->group,
	    .root = job->root,
	    .secrets = job->secrets,
	    .archive = job->archive,
	    .on_progress = on_progress,
	    .on_turn = on_turn,
	    .arg = snapshot};

	if (job->must_freeze)
		begin_freeze(snapshot);
	int status = packer_run(&packer, done_r, err);
	end_freeze(snapshot);
	return status;
}

int snapshot_job_run(void *arg, int report_fd)
{
	struct snapshot snapshot = {.job = arg, .report_fd = report_fd};
	struct job_report report = {.kind = SNAPSHOT_FAILED};
	struct packer_report done;
	struct error err = {0};

	if (gather(snapshot.job, &err) == 0 && pack(&snapshot, &done, &err) == 0)
		return tell_done(&snapshot, &done);
	snprintf(report.text, sizeof(report.text), "%.*s", JOB_TEXT_MAX, err.text);
	job_tell(report_fd, &report, NULL, 0);
	return 1;
}
