#include "services/warden/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "common/scoped.h"

#define PATH_ROOM 320
#define PIDS_ROOM 16384 /* of a cgroup.procs, at one look */

/* ---- what is mounted ---- */

static bool has_option(const char *options, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = options; (at = strstr(at, name)); at += len) {
		bool begins = at == options || at[-1] == ',';
		if (begins && (at[len] == '\0' || at[len] == ',' || at[len] == '\n'))
			return true;
	}
	return false;
}

/* One line of /proc/self/mountinfo: "36 35 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory" */
static void take_mount(struct cgroups *cgroups, char *line)
{
	char *dash = strstr(line, " - "), root[64], point[96], type[32], options[256];

	if (!dash || cgroups->n == CGROUP_HIERARCHIES_MAX)
		return;
	if (sscanf(line, "%*s %*s %*s %63s %95s", root, point) != 2 || strcmp(root, "/") != 0)
		return;
	if (sscanf(dash + 3, "%31s %*s %255s", type, options) != 2 ||
	    strncmp(type, "cgroup", 6) != 0)
		return;
	struct cgroup_hierarchy *to = &cgroups->hierarchy[cgroups->n];
	to->is_v2 = strcmp(type, "cgroup2") == 0;
	if (to->is_v2 && cgroups->v2)
		return;
	snprintf(to->base, sizeof(to->base), "%s%s", point, cgroups->path);
	to->has_cpu = has_option(options, "cpu");
	to->has_memory = has_option(options, "memory");
	if (to->is_v2)
		cgroups->v2 = to;
	cgroups->n++;
}

static int find_mounts(struct cgroups *cgroups, struct error *err)
{
	scoped_file FILE *mounts = fopen("/proc/self/mountinfo", "re");
	scoped_free char *line = NULL;
	size_t room = 0;

	if (!mounts)
		return error_set(err, ERR_UNAVAILABLE, "/proc/self/mountinfo: %s", strerror(errno));
	while (getline(&line, &room, mounts) > 0)
		take_mount(cgroups, line);
	if (!cgroups->v2)
		return error_set(err, ERR_UNAVAILABLE,
		    "no cgroup2 is mounted (alone, or beside v1 controllers): killing at once "
		    "needs it");
	return 0;
}

static bool file_exists(const struct cgroup_hierarchy *hierarchy, const char *name)
{
	char path[PATH_ROOM];

	snprintf(path, sizeof(path), "%.*s/%s",
	    (int)(strrchr(hierarchy->base, '/') - hierarchy->base), hierarchy->base, name);
	return access(path, F_OK) == 0;
}

static void path_of(
    char path[PATH_ROOM], const struct cgroup_hierarchy *in, const char *name, const char *file)
{
	snprintf(path, PATH_ROOM, "%s/%s%s%s", in->base, name, file ? "/" : "", file ? file : "");
}

static int make_folder(const char *path, struct error *err)
{
	if (mkdir(path, 0755) == 0 || errno == EEXIST)
		return 0;
	return error_set(err, ERR_UNAVAILABLE, "%s: %s", path, strerror(errno));
}

static int check_limits(struct cgroups *cgroups, struct error *err)
{
	bool has_memory = false, has_cpu = false;
	char path[PATH_ROOM], text[256] = "";

	bug_if(!cgroups->v2); /* find_mounts */
	for (size_t i = 0; i < cgroups->n; i++) {
		has_memory |= cgroups->hierarchy[i].has_memory;
		has_cpu |= cgroups->hierarchy[i].has_cpu;
		cgroups->has_swap_limit |=
		    cgroups->hierarchy[i].has_memory &&
		    file_exists(&cgroups->hierarchy[i], "memory.memsw.limit_in_bytes");
	}
	snprintf(path, sizeof(path), "%.*s/cgroup.controllers",
	    (int)(strlen(cgroups->v2->base) - strlen(cgroups->path)), cgroups->v2->base);
	scoped_file FILE *file = fopen(path, "re");
	if (file && fgets(text, sizeof(text), file)) {
		for (char *c = text; *c; c++)
			*c = *c == ' ' ? ',' : *c;
		struct cgroup_hierarchy *v2 = &cgroups->hierarchy[cgroups->v2 - cgroups->hierarchy];
		v2->has_memory = has_option(text, "memory");
		v2->has_cpu = has_option(text, "cpu");
		cgroups->has_swap_limit |= v2->has_memory;
	}
	if ((has_memory || cgroups->v2->has_memory) && (has_cpu || cgroups->v2->has_cpu))
		return 0;
	return error_set(err, ERR_UNAVAILABLE,
	    "the memory and cpu controllers are not in any mounted cgroup hierarchy");
}

/* With all above it. */
static void make_folders(const struct cgroup_hierarchy *in, const char *name)
{
	char path[PATH_ROOM];

	path_of(path, in, name, NULL);
	for (size_t at = strlen(in->base); path[at]; at++) {
		if (path[at] != '/')
			continue;
		path[at] = '\0';
		mkdir(path, 0755);
		path[at] = '/';
	}
	mkdir(path, 0755);
}

static const char *const folders[] = {"jobs", "volumes", "packers"};

int cgroups_open(struct cgroups *cgroups, const char *prefix, struct error *err)
{
	char path[PATH_ROOM];

	*cgroups = (struct cgroups){0};
	snprintf(cgroups->path, sizeof(cgroups->path), "/multiclaw-%s", prefix);
	if (find_mounts(cgroups, err) != 0 || check_limits(cgroups, err) != 0)
		return -1;
	if (make_folder(cgroups->v2->base, err) != 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		snprintf(path, sizeof(path), "%s/%s", cgroups->v2->base, folders[i]);
		if (make_folder(path, err) != 0)
			return -1;
	}
	for (size_t i = 0; i < cgroups->n; i++)
		if (cgroups->hierarchy[i].has_memory && !cgroups->hierarchy[i].is_v2)
			make_folders(&cgroups->hierarchy[i], "packers");
	snprintf(path, sizeof(path), "%s/jobs/cgroup.kill", cgroups->v2->base);
	if (access(path, F_OK) != 0)
		return error_set(err, ERR_UNAVAILABLE,
		    "this kernel has no cgroup.kill (5.14): a fork bomb could not be ended at "
		    "once");
	return 0;
}

void cgroups_close(const struct cgroups *cgroups)
{
	char path[PATH_ROOM];

	for (size_t i = 0; i < cgroups->n; i++) {
		const char *base = cgroups->hierarchy[i].base;
		for (size_t j = 0; j < ARRAY_LEN(folders); j++) {
			snprintf(path, sizeof(path), "%s/%s", base, folders[j]);
			rmdir(path);
		}
		rmdir(base);
	}
}

/* ---- one group ---- */

static int write_file(
    const struct cgroup_hierarchy *in, const char *name, const char *file, const char *text)
{
	char path[PATH_ROOM];

	path_of(path, in, name, file);
	scoped_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd >= 0 && write(fd, text, strlen(text)) >= 0 ? 0 : -1;
}

/* Cut to size - 1; returns its length, -1 if there is no such file. */
static ssize_t read_file(
    const struct cgroup_hierarchy *in, const char *name, const char *file, char *text, size_t size)
{
	char path[PATH_ROOM];

	path_of(path, in, name, file);
	scoped_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd >= 0 ? read(fd, text, size - 1) : -1;
	text[len > 0 ? len : 0] = '\0';
	return len;
}

int cgroup_make(const struct cgroups *cgroups, const char *name, struct error *err)
{
	char path[PATH_ROOM];

	path_of(path, cgroups->v2, name, NULL);
	if (make_folder(path, err) != 0)
		return -1;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 ? fd : error_set(err, ERR_UNAVAILABLE, "%s: %s", path, strerror(errno));
}

void cgroup_unlimit(const struct cgroups *cgroups, const char *name)
{
	for (size_t i = 0; i < cgroups->n; i++) {
		const struct cgroup_hierarchy *in = &cgroups->hierarchy[i];
		if (in->has_cpu && in->is_v2)
			write_file(in, name, "cpu.max", "max");
		else if (in->has_cpu)
			write_file(in, name, "cpu.cfs_quota_us", "-1");
	}
}

int cgroup_join(const struct cgroups *cgroups, const char *name, struct error *err)
{
	for (size_t i = 0; i < cgroups->n; i++)
		if (write_file(&cgroups->hierarchy[i], name, "cgroup.procs", "0") != 0 &&
		    errno != ENOENT)
			return error_set(err, ERR_UNAVAILABLE, "%s/%s: %s",
			    cgroups->hierarchy[i].base, name, strerror(errno));
	return 0;
}

/* The controller has to be on in every group above. */
static void limit_v2(const struct cgroup_hierarchy *in, const char *name, const char *text)
{
	char path[PATH_ROOM], file[PATH_ROOM + 32];

	path_of(path, in, name, NULL);
	for (size_t at = (size_t)(strrchr(in->base, '/') - in->base); path[at]; at++) {
		if (path[at] != '/')
			continue;
		snprintf(file, sizeof(file), "%.*s/cgroup.subtree_control", (int)at, path);
		scoped_fd int fd = open(file, O_WRONLY | O_CLOEXEC);
		(void)!(fd >= 0 ? write(fd, "+memory", strlen("+memory")) : 0);
	}
	write_file(in, name, "memory.max", text);
}

static void limit_v1(const struct cgroup_hierarchy *in, const char *name, const char *text)
{
	make_folders(in, name);
	write_file(in, name, "memory.limit_in_bytes", text);
}

void cgroup_limit_memory(const struct cgroups *cgroups, const char *name, uint64_t bytes)
{
	char text[24];

	snprintf(text, sizeof(text), "%lu", (unsigned long)bytes);
	for (size_t i = 0; i < cgroups->n; i++) {
		const struct cgroup_hierarchy *in = &cgroups->hierarchy[i];
		if (in->has_memory && in->is_v2)
			limit_v2(in, name, text);
		else if (in->has_memory)
			limit_v1(in, name, text);
	}
}

void cgroup_put(const struct cgroups *cgroups, const char *name, pid_t pid)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", (int)pid);
	for (size_t i = 0; i < cgroups->n; i++)
		if (!cgroups->hierarchy[i].is_v2)
			write_file(&cgroups->hierarchy[i], name, "cgroup.procs", text);
}

void cgroup_freeze(const struct cgroups *cgroups, const char *name, bool is_frozen)
{
	write_file(cgroups->v2, name, "cgroup.freeze", is_frozen ? "1" : "0");
}

bool cgroup_is_frozen(const struct cgroups *cgroups, const char *name)
{
	char text[256];

	return read_file(cgroups->v2, name, "cgroup.events", text, sizeof(text)) > 0 &&
	       strstr(text, "frozen 1");
}

void cgroup_kill(const struct cgroups *cgroups, const char *name)
{
	write_file(cgroups->v2, name, "cgroup.kill", "1");
}

/* The number may have passed to another process since it was read. */
static void kill_member(const char *path, pid_t pid)
{
	char file[64], text[4096];
	scoped_fd int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (pidfd < 0)
		return;
	snprintf(file, sizeof(file), "/proc/%d/cgroup", (int)pid);
	scoped_fd int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	text[len > 0 ? len : 0] = '\0';
	if (strstr(text, path))
		syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
}

static bool v1_is_empty(const struct cgroups *cgroups, const struct cgroup_hierarchy *in,
    const char *name, bool may_kill)
{
	char text[PIDS_ROOM], path[PATH_ROOM], *at = text;

	if (read_file(in, name, "cgroup.procs", text, sizeof(text)) <= 0)
		return true;
	snprintf(path, sizeof(path), ":%s/%s\n", cgroups->path, name);
	while (may_kill && *at) {
		long pid = strtol(at, &at, 10);
		at += strspn(at, "\n");
		if (pid > 0)
			kill_member(path, (pid_t)pid);
	}
	return false;
}

static bool is_populated(const struct cgroup_hierarchy *in, const char *name)
{
	char text[256];

	return read_file(in, name, "cgroup.events", text, sizeof(text)) > 0 &&
	       !strstr(text, "populated 0");
}

/* What is only in a group of the others was moved there: it is dealt with once nothing is in the one that all begin in. */
bool cgroup_is_empty(const struct cgroups *cgroups, const char *name, bool may_kill)
{
	bool is_empty = true;

	if (is_populated(cgroups->v2, name))
		return false;
	for (size_t i = 0; i < cgroups->n; i++)
		if (!cgroups->hierarchy[i].is_v2)
			is_empty &= v1_is_empty(cgroups, &cgroups->hierarchy[i], name, may_kill);
	return is_empty;
}

pid_t cgroup_process(const struct cgroups *cgroups, const char *name)
{
	char text[32];

	if (read_file(cgroups->v2, name, "cgroup.procs", text, sizeof(text)) <= 0)
		return 0;
	return (pid_t)strtol(text, NULL, 10);
}

bool cgroup_was_oom(const struct cgroups *cgroups, const char *name)
{
	char text[1024];

	for (size_t i = 0; i < cgroups->n; i++) {
		const struct cgroup_hierarchy *in = &cgroups->hierarchy[i];
		const char *file = in->is_v2 ? "memory.events" : "memory.oom_control";
		if (!in->has_memory || read_file(in, name, file, text, sizeof(text)) <= 0)
			continue;
		const char *count = strstr(text, "oom_kill ");
		if (count && strtoul(count + strlen("oom_kill "), NULL, 10) > 0)
			return true;
	}
	return false;
}

/* ---- folders ---- */

static int remove_tree(const char *path, int depth)
{
	char below[PATH_ROOM];

	if (rmdir(path) == 0 || errno == ENOENT)
		return 0;
	DIR *dir = depth > 0 ? opendir(path) : NULL;
	if (!dir)
		return -1;
	for (struct dirent *entry; (entry = readdir(dir));) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		int len = snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
		if (len < (int)sizeof(below))
			remove_tree(below, depth - 1);
	}
	closedir(dir);
	return rmdir(path) == 0 || errno == ENOENT ? 0 : -1;
}

int cgroup_remove(const struct cgroups *cgroups, const char *name, struct error *err)
{
	char path[PATH_ROOM];
	int status = 0;

	for (size_t i = 0; i < cgroups->n; i++) {
		path_of(path, &cgroups->hierarchy[i], name, NULL);
		if (remove_tree(path, 4) != 0)
			status = error_set(err, ERR_UNAVAILABLE, "%s: %s", path, strerror(errno));
	}
	return status;
}

void cgroup_each(const struct cgroups *cgroups, const char *name,
    void (*on_name)(void *arg, const char *leaf), void *arg)
{
	char path[PATH_ROOM];

	for (size_t i = 0; i < cgroups->n; i++) {
		path_of(path, &cgroups->hierarchy[i], name, NULL);
		DIR *dir = opendir(path);
		if (!dir)
			continue;
		for (struct dirent *entry; (entry = readdir(dir));) {
			if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
				on_name(arg, entry->d_name);
		}
		closedir(dir);
	}
}
