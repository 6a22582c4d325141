#include "services/warden/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "common/scoped.h"
#include "services/warden/spawn.h"

#define RUN_MS 60000
#define DELETE_MS 20000
#define VERSION_MS 10000
#define LOG_BYTES 16384

/* ---- which one ---- */

static int find_program(const char *name, struct runtime *runtime, struct error *err)
{
	static const char *const folders[] = {
	    "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"};

	if (strchr(name, '/')) {
		scoped_free char *absolute = realpath(name, NULL);
		if (!absolute || access(absolute, X_OK) != 0)
			return error_set(err, ERR_NOT_FOUND, "MULTICLAW_WARDEN_RUNTIME %s: %s",
			    name, strerror(errno));
		snprintf(runtime->path, sizeof(runtime->path), "%s", absolute);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		snprintf(runtime->path, sizeof(runtime->path), "%s/%s", folders[i], name);
		if (access(runtime->path, X_OK) == 0)
			return 0;
	}
	return error_set(err, ERR_NOT_FOUND,
	    "MULTICLAW_WARDEN_RUNTIME: there is no %s: install runc, or name another OCI runtime",
	    name);
}

/* "runc version 1.1.5+ds1": the first line, without its second word. */
static int ask_version(struct runtime *runtime, struct error *err)
{
	const char *const argv[] = {runtime->path, "--version", NULL};
	char text[256] = "", name[32] = "", version[32] = "";
	scoped_fd int out = memfd_create("version", MFD_CLOEXEC);
	struct spawn spawn = {.argv = argv, .cgroup_fd = -1, .fds = {-1, out, out}, .nfds = 3};

	pid_t pid = spawn_exec(&spawn, err);
	if (pid < 0 || spawn_wait(pid, runtime->path, VERSION_MS, err) != 0)
		return -1;
	if (pread(out, text, sizeof(text) - 1, 0) <= 0 ||
	    sscanf(text, "%31s %*s %31s", name, version) != 2)
		return error_set(
		    err, ERR_UNAVAILABLE, "%s does not tell its version", runtime->path);
	snprintf(runtime->name, sizeof(runtime->name), "%s %s", name, version);
	return 0;
}

/* CVE-2025-31133, -52565 and -52881 are mended in runc 1.2.8, 1.3.3 and 1.4. */
static void judge(struct runtime *runtime)
{
	unsigned major = 0, minor = 0, patch = 0;

	if (sscanf(runtime->name, "runc %u.%u.%u", &major, &minor, &patch) == 3) {
		unsigned version = major * 1000000 + minor * 1000 + patch;
		bool is_mended = version >= 1003003 || (version >= 1002008 && version < 1003000);
		if (!is_mended)
			snprintf(runtime->warning, sizeof(runtime->warning),
			    "no fixes of CVE-2025-31133, -52565, -52881 (runc before 1.2.8): for "
			    "hostile tenants take runsc or a newer runc");
	} else if (strncmp(runtime->name, "crun ", 5) == 0) {
		snprintf(runtime->warning, sizeof(runtime->warning),
		    "crun before 1.9 refuses hybrid cgroups; runsc isolates hostile tenants "
		    "better");
	}
}

int runtime_find(const char *name, const char *run, struct runtime *runtime_r, struct error *err)
{
	*runtime_r = (struct runtime){.path = ""};
	snprintf(runtime_r->root, sizeof(runtime_r->root), "%s/runtime", run);
	if (mkdir(runtime_r->root, 0700) != 0 && errno != EEXIST)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", runtime_r->root, strerror(errno));
	if (find_program(name, runtime_r, err) != 0 || ask_version(runtime_r, err) != 0)
		return -1;
	judge(runtime_r);
	return 0;
}

/* ---- what it says when it fails ---- */

/* The last error of its log, which is JSON lines; what is no JSON is taken as it is. */
static int fail_with_log(int log, struct error *err)
{
	char text[LOG_BYTES + 1];
	ssize_t len = pread(log, text, LOG_BYTES, 0);
	struct error why = *err;

	if (len <= 0)
		return -1;
	text[len] = '\0';
	while (len > 0 && text[len - 1] == '\n')
		text[--len] = '\0';
	const char *last = strrchr(text, '\n');
	last = last ? last + 1 : text;
	scoped_json json_t *line = json_loads(last, 0, NULL);
	const char *message = json_string_value(json_object_get(line, "msg"));
	return error_set(err, why.code, "%.40s: %s", why.text, message ? message : last);
}

/* ---- what it does ---- */

static int read_pid(const char *path, pid_t *pid_r, struct error *err)
{
	scoped_file FILE *file = fopen(path, "re");
	int pid = 0;

	if (!file || fscanf(file, "%d", &pid) != 1 || pid <= 1)
		return error_set(
		    err, ERR_UNAVAILABLE, "the runtime did not tell the container's process");
	*pid_r = pid;
	return 0;
}

pid_t runtime_run(const struct runtime *runtime, const char *agent, const char *bundle, int stdio,
    struct error *err)
{
	char pid_file[160], log_path[160];
	const char *const argv[] = {runtime->path, "--root", runtime->root, "--log", log_path,
	    "--log-format", "json", "run", "-d", "--bundle", bundle, "--pid-file", pid_file, agent,
	    NULL};
	struct spawn spawn = {.argv = argv, .cgroup_fd = -1, .fds = {-1, stdio, stdio}, .nfds = 3};
	pid_t container = -1;

	snprintf(pid_file, sizeof(pid_file), "%s/pid", bundle);
	snprintf(log_path, sizeof(log_path), "%s/log", bundle);
	scoped_fd int log = open(log_path, O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
	pid_t pid = spawn_exec(&spawn, err);
	if (pid < 0)
		return -1;
	if (spawn_wait(pid, "the runtime", RUN_MS, err) != 0)
		return fail_with_log(log, err);
	return read_pid(pid_file, &container, err) == 0 ? container : -1;
}

static bool is_known(const struct runtime *runtime, const char *agent)
{
	char path[RUNTIME_PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/%s", runtime->root, agent);
	return access(path, F_OK) == 0;
}

int runtime_delete(const struct runtime *runtime, const char *agent, struct error *err)
{
	const char *const argv[] = {
	    runtime->path, "--root", runtime->root, "delete", "--force", agent, NULL};
	scoped_fd int log = memfd_create("log", MFD_CLOEXEC);
	struct spawn spawn = {.argv = argv, .cgroup_fd = -1, .fds = {-1, log, log}, .nfds = 3};

	if (!is_known(runtime, agent))
		return 0;
	pid_t pid = spawn_exec(&spawn, err);
	if (pid < 0)
		return -1;
	if (spawn_wait(pid, "the runtime's delete", DELETE_MS, err) == 0)
		return 0;
	return is_known(runtime, agent) ? fail_with_log(log, err) : 0;
}
