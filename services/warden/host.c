#include "services/warden/host.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "common/log.h"
#include "common/scoped.h"
#include "services/warden/bundle.h"

#define FILES_MAX 65536

static int check_tools(struct error *err)
{
	static const struct {
		const char *path, *what;
	} needed[] = {{"/usr/bin/gocryptfs", "gocryptfs"}, {"/usr/bin/catatonit", "catatonit"},
	    {"/sbin/mkfs.ext4", "e2fsprogs"}, {"/usr/sbin/nft", "nftables"},
	    {"/dev/fuse", "the kernel's FUSE"}, {"/dev/loop-control", "the kernel's loop devices"}};

	if (geteuid() != 0)
		return error_set(err, ERR_UNAVAILABLE,
		    "namespaces, mounts and the OCI runtime need root: start this program as root");
	for (size_t i = 0; i < ARRAY_LEN(needed); i++)
		if (access(needed[i].path, F_OK) != 0)
			return error_set(err, ERR_UNAVAILABLE, "%s is missing: install %s",
			    needed[i].path, needed[i].what);
	return 0;
}

static int make_folders(struct host *host, struct error *err)
{
	const char *run = host->settings->run;

	if (mkdir(run, 0700) != 0 && errno != EEXIST)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", run, strerror(errno));
	scoped_free char *absolute = realpath(run, NULL);
	if (!absolute)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", run, strerror(errno));
	if (strlen(absolute) >= sizeof(host->run) - 64)
		return error_set(
		    err, ERR_INVALID, "MULTICLAW_WARDEN_RUN is too long: %s", absolute);
	snprintf(host->run, sizeof(host->run), "%s", absolute);
	/* not in the state folder: containers' runtimes look for mounts as the container's user */
	snprintf(host->work, sizeof(host->work), "/run/multiclaw-%s", host->settings->prefix);
	if (mkdir(host->work, 0755) != 0 && errno != EEXIST)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", host->work, strerror(errno));
	return 0;
}

/* Whoever could put files there would have root write where they lead, and run what a container's state names as its hooks. */
static int lock_folder(const char *path, int *lock_r, struct error *err)
{
	struct stat about;

	*lock_r = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*lock_r >= 0 && fstat(*lock_r, &about) == 0 &&
	    (about.st_uid != geteuid() || (about.st_mode & 022)))
		return error_set(err, ERR_INVALID,
		    "%s: others may write there; it must be root's alone (MULTICLAW_WARDEN_RUN)",
		    path);
	if (*lock_r >= 0 && flock(*lock_r, LOCK_EX | LOCK_NB) == 0)
		return 0;
	return error_set(err, ERR_CONFLICT, "%s: %s", path,
	    errno == EWOULDBLOCK ? "another warden runs" : strerror(errno));
}

/* One warden of a folder, and one of a prefix: two would take each other's containers for their own dead ones. */
static int lock_both(struct host *host, struct error *err)
{
	if (lock_folder(host->run, &host->lock, err) != 0)
		return -1;
	return lock_folder(host->work, &host->work_lock, err);
}

static void look_at_swap(void)
{
	scoped_file FILE *swaps = fopen("/proc/swaps", "re");
	char line[256];

	if (swaps && fgets(line, sizeof(line), swaps) && fgets(line, sizeof(line), swaps))
		log_warn("this host swaps: what agents keep in memory may reach a disk", "hint",
		    "swapoff -a, or encrypt it");
}

static void limit_files(struct host *host)
{
	struct rlimit files;

	host->files = 1024;
	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		return;
	host->files = files.rlim_max < FILES_MAX ? files.rlim_max : FILES_MAX;
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

int host_network_open(struct host *host, struct error *err)
{
	const struct warden_settings *settings = host->settings;
	struct network_config config = {.prefix = settings->prefix,
	    .pool = settings->pool,
	    .pool_bits = settings->pool_bits,
	    .agent_port = WARDEN_AGENT_PORT,
	    .gateway_port = (uint16_t)settings->llm_port,
	    .callers = settings->callers,
	    .ncallers = settings->ncallers,
	    .denied = (const char *const *)settings->denied_cidrs.item,
	    .ndenied = settings->denied_cidrs.len};

	return network_open(&config, &host->network, err);
}

int host_open(struct host *host, const struct warden_settings *settings, struct error *err)
{
	*host = (struct host){.settings = settings, .lock = -1, .work_lock = -1};
	if (access(settings->packer, X_OK) != 0)
		return error_set(err, ERR_UNAVAILABLE,
		    "%s is missing: install it beside multiclaw-warden, or say where it is "
		    "(MULTICLAW_WARDEN_PACKER)",
		    settings->packer);
	if (check_tools(err) != 0 || make_folders(host, err) != 0 || lock_both(host, err) != 0)
		return -1;
	limit_files(host);
	look_at_swap();
	if (cgroups_open(&host->cgroups, settings->prefix, err) != 0)
		return -1;
	if (runtime_find(settings->runtime, host->run, &host->runtime, err) != 0)
		return -1;
	host->seccomp = bundle_seccomp(settings->seccomp, err);
	if (!host->seccomp)
		return -1;
	if (host->runtime.warning[0])
		log_warn("the runtime has known gaps", "runtime", host->runtime.name, "what",
		    host->runtime.warning);
	return 0;
}

void host_close_locks(const struct host *host)
{
	if (host->lock >= 0)
		close(host->lock);
	if (host->work_lock >= 0)
		close(host->work_lock);
}

void host_close(struct host *host)
{
	if (host->network)
		network_close(&host->network);
	cgroups_close(&host->cgroups);
	json_decref(host->seccomp);
	rmdir(host->work);
	host_close_locks(host);
}
