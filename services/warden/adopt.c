#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/scoped.h"
#include "services/warden/adopt_mounts.h"
#include "services/warden/packet.h"
#include "services/warden/proc.h"
#include "services/warden/warden.h"

#define JOBS_MS 10000
#define AGENT_LETTERS "abcdefghijklmnopqrstuvwxyz234567"

/* A runtime whose warden died goes on making its container: first it has to stop. Some kernels (6.18) kill what is started in a group that was ever killed, so
 * the one of jobs is made anew. */
static int end_jobs(struct warden *warden, struct error *err)
{
	uint64_t until = clock_boot_ms() + JOBS_MS;
	struct error why;

	cgroup_kill(&warden->host.cgroups, "packers");
	while (!cgroup_is_empty(&warden->host.cgroups, "jobs", false)) {
		cgroup_kill(&warden->host.cgroups, "jobs");
		if (clock_boot_ms() > until)
			return error_set(err, ERR_UNAVAILABLE,
			    "what an earlier warden had running does not end");
		poll(NULL, 0, 2);
	}
	cgroup_remove(&warden->host.cgroups, "jobs", &why);
	warden->jobs_cgroup = cgroup_make(&warden->host.cgroups, "jobs", err);
	return warden->jobs_cgroup >= 0 ? 0 : -1;
}

/* ---- those that live ---- */

/* Of a number that is none with these settings nothing can be told apart any more: it is ended. */
static int open_process(const struct warden *warden, const struct record *record)
{
	if (!record->is_ready || record->pid <= 1 || record->slot >= host_slots(&warden->host))
		return -1;
	int pidfd = (int)syscall(SYS_pidfd_open, record->pid, 0);
	if (pidfd >= 0 && proc_started_at(record->pid) == record->pid_number)
		return pidfd;
	if (pidfd >= 0)
		close(pidfd);
	return -1;
}

/* Its standard output may be anything by now, but what we made has a number. It is looked at before it is opened: opening a terminal, say, would make it
 * warden's own, and its end warden's. */
static int open_log(const struct record *record)
{
	char path[64];
	struct stat about;

	snprintf(path, sizeof(path), "/proc/%d/fd/1", (int)record->pid);
	scoped_fd int seen = open(path, O_PATH | O_CLOEXEC);
	if (seen < 0 || fstat(seen, &about) != 0 || !S_ISFIFO(about.st_mode) ||
	    about.st_dev != record->log_device || about.st_ino != record->log_inode)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", seen);
	return open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

static void adopt(struct warden *warden, const struct record *record, int pidfd)
{
	struct network_limits limits = record_limits(record);
	struct error err = {0};
	struct agent *agent = agent_adopt(warden, record, pidfd);

	agent->log = open_log(record);
	agent->root = adopt_data(pidfd);
	/* a snapshot may have been under way */
	cgroup_freeze(&warden->host.cgroups, record->agent, false);
	agent->secrets = adopt_secrets(pidfd);
	if (agent->log < 0 || agent->secrets < 0 || agent->root < 0)
		log_warn("not all of an agent is found again", "agent", record->agent, "log",
		    agent->log < 0 ? "lost" : "found", "secrets",
		    agent->secrets < 0 ? "not to be wiped" : "found", "data",
		    agent->root < 0 ? "not to be saved" : "found");
	if (network_link_adopt(warden->host.network, record->slot, &limits, &err) == 0) {
		log_info(
		    "agent is taken over", "agent", record->agent, "slot", log_u64(record->slot));
		return;
	}
	log_warn(
	    "agent has no link any more and is ended", "agent", record->agent, "why", err.text);
	agent_kill(agent);
}

static void on_record(void *arg, const struct record *record)
{
	struct warden *warden = arg;
	int pidfd = open_process(warden, record);

	if (pidfd >= 0) {
		adopt(warden, record, pidfd);
		return;
	}
	log_info("what is left of an agent is cleaned up", "agent", record->agent);
	agent_clean_up(warden, record);
}

/* ---- those that nothing is noted of ---- */

static void on_leaf(void *arg, const char *leaf)
{
	struct warden *warden = arg;
	struct record record = {.slot = UINT32_MAX};

	if (strlen(leaf) != 32 || strspn(leaf, AGENT_LETTERS) != 32 || agent_find(warden, leaf))
		return;
	log_warn("a container that nothing is noted of is cleaned up", "agent", leaf);
	packet_put(record.agent, sizeof(record.agent), leaf);
	agent_clean_up(warden, &record);
}

static void look_at_runtime(struct warden *warden)
{
	DIR *dir = opendir(warden->host.runtime.root);

	if (!dir)
		return;
	for (struct dirent *entry; (entry = readdir(dir));)
		on_leaf(warden, entry->d_name);
	closedir(dir);
}

int warden_adopt(struct warden *warden, struct error *err)
{
	static const char *const groups[] = {"", "jobs", "volumes", "packers"};

	if (end_jobs(warden, err) != 0 ||
	    record_each(warden->host.run, on_record, warden, err) != 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(groups); i++)
		cgroup_each(&warden->host.cgroups, groups[i], on_leaf, warden);
	look_at_runtime(warden);
	return 0;
}
