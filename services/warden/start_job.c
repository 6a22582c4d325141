#include "services/warden/start_job.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/scoped.h"
#include "services/warden/bundle.h"
#include "services/warden/job.h"
#include "services/warden/mounts.h"
#include "services/warden/packer.h"
#include "services/warden/probe.h"
#include "services/warden/proc.h"
#include "services/warden/secret_files.h"
#include "services/warden/volume.h"

#define LOG_TAIL 100 /* bytes of what a container said before it ended, for the text */

/* What the steps hand on to each other. Its descriptors go with the process. */
struct start {
	struct start_job *job;
	int report_fd;
	enum warden_failure failure; /* what a step that fails may know of it */
	struct image image;
	struct volume volume;
	struct network_link link;
	int netns, log, pidfd;
	pid_t pid;
};

static const char *work_path(const struct start *start, char path[96], const char *name)
{
	snprintf(path, 96, "%s/%s", start->job->host->work, name);
	return path;
}

static int make_text(
    const struct start *start, const char *name, const char *text, size_t len, struct error *err)
{
	char path[96];
	scoped_fd int fd =
	    open(work_path(start, path, name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0 || fchmod(fd, 0644) != 0 || write(fd, text, len) != (ssize_t)len)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", path, strerror(errno));
	return 0;
}

static int make_folder(const struct start *start, const char *name, struct error *err)
{
	char path[96];

	if (mkdir(work_path(start, path, name), 0755) == 0 && chmod(path, 0755) == 0)
		return 0;
	return error_set(err, ERR_UNAVAILABLE, "%s: %s", path, strerror(errno));
}

/* ---- the steps ---- */

static int read_image(struct start *start, struct error *err)
{
	const struct start_job *job = start->job;

	return image_read(job->host->settings->images, job->image, &start->image, err);
}

static int enter_mounts(struct start *start, struct error *err)
{
	return mounts_enter(start->job->host->work, err);
}

static int begin_volume(struct start *start, struct error *err)
{
	struct start_job *job = start->job;
	struct volume_order order = {
	    .name = {job->host->settings->volumes, job->agent, job->wallet, job->period},
	    .work = job->host->work,
	    .cgroup_fd = job->volume_cgroup,
	    .must_exist = job->volume == WARDEN_VOLUME_PRESENT};
	int status = volume_begin(&start->volume, &order, secret_bytes(job->volume_key), err);

	secret_destroy(&job->volume_key);
	if (status != 0 && err->code == ERR_NOT_FOUND)
		start->failure = WARDEN_FAILURE_NO_VOLUME;
	return status;
}

static int make_link(struct start *start, struct error *err)
{
	const struct start_job *job = start->job;

	network_link_of(job->host->network, job->slot, &start->link);
	return network_link_make(job->host->network, job->slot, &job->network, &start->netns, err);
}

static int mount_image(struct start *start, struct error *err)
{
	char path[96];

	if (make_folder(start, "rootfs", err) != 0)
		return -1;
	return mounts_bind_image(start->image.rootfs, work_path(start, path, "rootfs"), err);
}

static int fill_secrets(struct start *start, struct error *err)
{
	const struct start_job *job = start->job;
	uid_t owner = host_uid_base(job->host, job->slot) + start->image.uid;
	struct job_report report = {.kind = START_SECRETS};
	struct secret_files about;
	char path[96];

	if (secret_files_check(job->files, &about, err) != 0 ||
	    make_folder(start, "secrets", err) != 0)
		return -1;
	scoped_fd int folder = mounts_secrets(work_path(start, path, "secrets"),
	    about.bytes + (about.folders + 16) * 4096, about.files + about.folders + 16, owner,
	    err);
	if (folder < 0)
		return -1;
	/* whoever is killed from here on, somebody can wipe it */
	job_tell(start->report_fd, &report, &folder, 1);
	return secret_files_unpack(job->files, folder, owner, err);
}

static int make_texts(struct start *start, struct error *err)
{
	const struct start_job *job = start->job;
	struct in_addr resolver = network_resolver(job->host->network);
	char address[INET_ADDRSTRLEN], text[256];

	inet_ntop(AF_INET, &resolver, address, sizeof(address));
	int len =
	    snprintf(text, sizeof(text), "nameserver %s\noptions timeout:2 attempts:3\n", address);
	if (make_text(start, "resolv.conf", text, (size_t)len, err) != 0)
		return -1;
	len = snprintf(text, sizeof(text), "127.0.0.1 localhost\n127.0.0.1 %s\n", job->agent);
	if (make_text(start, "hosts", text, (size_t)len, err) != 0)
		return -1;
	len = snprintf(text, sizeof(text), "%s\n", job->agent);
	return make_text(start, "hostname", text, (size_t)len, err);
}

/* A FIFO that is open both ways never ends, whoever reads it: a container outlives its warden, and a pipe without a reader would kill it. */
static int make_log(struct start *start, struct error *err)
{
	const struct start_job *job = start->job;
	uid_t owner = host_uid_base(job->host, job->slot) + start->image.uid;
	char path[96];

	if (mkfifo(work_path(start, path, "output"), 0600) != 0 || chown(path, owner, owner) != 0)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", path, strerror(errno));
	start->log = open(path, O_RDWR | O_CLOEXEC);
	if (start->log < 0)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", path, strerror(errno));
	unlink(path);
	return 0;
}

static int open_volume(struct start *start, struct error *err)
{
	const struct start_job *job = start->job;

	if (volume_wait(&start->volume, err) != 0)
		return -1;
	/* gocryptfs stays behind with no mount but its own: when the last user of the volume is gone, so is it */
	if (mounts_leave_behind(job->host->work, err) != 0)
		return -1;
	uid_t base = host_uid_base(job->host, job->slot);
	if (job->volume == WARDEN_VOLUME_FILLED)
		return volume_mount_new(&start->volume, job->limits.volume_bytes, base, err);
	int status = volume_mount(&start->volume, job->limits.volume_bytes, base, err);
	if (status != 0 && err->code == ERR_INVALID)
		start->failure = WARDEN_FAILURE_VOLUME;
	return status;
}

static void on_filling(void *arg, const struct packer_report *progress)
{
	const struct start *start = arg;
	struct job_report report = {
	    .kind = START_FILLING, .number = progress->bytes, .more = progress->total_bytes};

	job_tell(start->report_fd, &report, NULL, 0);
}

static int unpack(struct start *start, struct error *err)
{
	struct start_job *job = start->job;
	uid_t base = host_uid_base(job->host, job->slot);
	struct packer_order order = {.is_unpacking = true,
	    .uid = base + start->image.uid,
	    .gid = base + start->image.gid,
	    .archive = job->archive,
	    .bytes_max = job->limits.volume_bytes};
	char name[PACKER_GROUP_LEN];
	scoped_fd int group = packer_make_group(job->host, job->agent, name, err);
	struct packer packer = {.host = job->host,
	    .order = &order,
	    .group_name = name,
	    .group = group,
	    .root = start->volume.root,
	    .secrets = -1,
	    .archive = job->archive_fd,
	    .on_progress = on_filling,
	    .arg = start};
	struct packer_report done;

	sodium_memzero(&job->archive, sizeof(job->archive));
	memcpy(order.agent, job->agent, sizeof(order.agent));
	if (group < 0 || packer_run(&packer, &done, err) != 0)
		return -1;
	if (done.outcome == WARDEN_MADE)
		return 0;
	if (done.is_damaged)
		start->failure = WARDEN_FAILURE_ARCHIVE;
	return error_set(err, ERR_INVALID, "the archive: %s", done.text);
}

static int fill_volume(struct start *start, struct error *err)
{
	if (start->job->volume != WARDEN_VOLUME_FILLED)
		return 0;
	if (unpack(start, err) == 0 && volume_keep(&start->volume, err) == 0)
		return 0;
	volume_drop(&start->volume);
	return -1;
}

static int write_config(struct start *start, struct error *err)
{
	const struct start_job *job = start->job;
	const struct host *host = job->host;
	char netns[64], cgroup[80];
	struct bundle bundle = {.agent = job->agent,
	    .kind = job->kind,
	    .image = &start->image,
	    .work = host->work,
	    .cgroup = cgroup,
	    .netns = netns,
	    .uid_base = host_uid_base(host, job->slot),
	    .port = WARDEN_AGENT_PORT,
	    .limits = job->limits,
	    .files = host->files,
	    .volume_major = start->volume.major,
	    .volume_minor = start->volume.minor,
	    .has_swap_limit = host->cgroups.has_swap_limit,
	    .seccomp = host->seccomp};

	snprintf(netns, sizeof(netns), "/proc/%d/fd/%d", (int)getpid(), start->netns);
	snprintf(cgroup, sizeof(cgroup), "%s/%s", host->cgroups.path, job->agent);
	scoped_json json_t *config = bundle_config(&bundle);
	scoped_free char *text = json_dumps(config, JSON_COMPACT);
	bug_if(!text);
	return make_text(start, "config.json", text, strlen(text), err);
}

static int run_container(struct start *start, struct error *err)
{
	const struct host *host = start->job->host;
	struct job_report report = {.kind = START_CREATED};

	scoped_fd int view = mounts_view(start->volume.data, err);
	if (view < 0)
		return -1;
	/* folders that the runtime makes, as /sys/fs, are the agent's to look through */
	umask(0022);
	start->pid = runtime_run(&host->runtime, start->job->agent, host->work, start->log, err);
	umask(0077);
	if (start->pid < 0)
		return -1;
	start->pidfd = (int)syscall(SYS_pidfd_open, start->pid, 0);
	if (start->pidfd < 0)
		return error_set(err, ERR_UNAVAILABLE, "it ended at once");
	report.pid = start->pid;
	report.number = proc_started_at(start->pid);
	report.more = (uint64_t)start->image.uid << 32 | start->image.gid;
	int fds[] = {start->pidfd, start->log, view};
	job_tell(start->report_fd, &report, fds, ARRAY_LEN(fds));
	return 0;
}

/* The container's own last words, made printable. */
static void add_tail(int log, struct error *err)
{
	char text[4096], *at = text;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", log);
	scoped_fd int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ssize_t len = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' '))
		len--;
	if (len <= 0)
		return;
	text[len] = '\0';
	if (len > LOG_TAIL)
		at += len - LOG_TAIL;
	for (char *c = at; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = ' ';
	struct error why = *err;
	error_set(err, why.code, "%.50s; it said: %s", why.text, at);
}

static int wait_ready(struct start *start, struct error *err)
{
	const struct start_job *job = start->job;

	if (probe_wait(
		start->link.container, WARDEN_AGENT_PORT, start->pidfd, job->ready_ms, err) == 0)
		return 0;
	add_tail(start->log, err);
	return -1;
}

int start_job_run(void *arg, int report_fd)
{
	static const struct {
		const char *name;
		int (*work)(struct start *start, struct error *err);
	} steps[] = {{"mounts", enter_mounts}, {"volume", begin_volume}, {"image", read_image},
	    {"link", make_link}, {"rootfs", mount_image}, {"secrets", fill_secrets},
	    {"texts", make_texts}, {"log", make_log}, {"volume open", open_volume},
	    {"fill", fill_volume}, {"config", write_config}, {"runtime", run_container},
	    {"ready", wait_ready}};
	struct start start = {
	    .job = arg, .report_fd = report_fd, .netns = -1, .log = -1, .pidfd = -1};
	struct job_report report = {.kind = START_READY};
	struct error err = {0};

	umask(0077);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		uint64_t began_us = clock_boot_us();
		int status = steps[i].work(&start, &err);
		log_debug("a step of a start", "agent", start.job->agent, "step", steps[i].name,
		    "us", log_u64(clock_boot_us() - began_us));
		if (status == 0)
			continue;
		report.kind = START_FAILED;
		report.number = start.failure;
		snprintf(report.text, sizeof(report.text), "%.*s", JOB_TEXT_MAX, err.text);
		break;
	}
	job_tell(report_fd, &report, NULL, 0);
	return report.kind == START_READY ? 0 : 1;
}
