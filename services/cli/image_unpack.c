#include "services/cli/image_unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/scoped.h"
#include "services/cli/image_signal.h"

#define USER "multiclaw-image"
#define NOBODY 65534
#define MEMORY_MAX (UINT64_C(4) << 30)
#define CPU_S 1800
#define WALL_MS (UINT64_C(3600) * 1000)
#define LOOK_US 10000
#define MEASURE_MS \
	200 /* at least between two walks through the tree, and four times as long as one takes */
#define SAID_MAX 65536

struct image_user image_unpack_user(void)
{
	const struct passwd *found;

	if (geteuid() != 0)
		return (struct image_user){geteuid(), getegid()};
	found = getpwnam(USER);
	if (found && found->pw_uid != 0)
		return (struct image_user){found->pw_uid, found->pw_gid};
	return (struct image_user){NOBODY, NOBODY};
}

/* ---- in the child ---- */

struct child {
	const char *path;
	int work, said; /* said: what it writes to standard error */
	bool is_root;
	struct image_user user;
	uint64_t bytes_max;
};

static void limit(int resource, uint64_t value)
{
	const struct rlimit both = {value, value};

	if (setrlimit(resource, &both) != 0)
		_exit(126);
}

/* All that it can write to is the work, which is /tmp for it. By its path: the descriptor is of the mounts that were left behind. */
static int hide(const struct child *child)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount(child->path, "/tmp", NULL, MS_BIND, NULL) != 0)
		return -1;
	return mount(
	    NULL, "/tmp", NULL, MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

static int drop(const struct child *child)
{
	if (setgroups(0, NULL) != 0 ||
	    setresgid(child->user.gid, child->user.gid, child->user.gid) != 0)
		return -1;
	return setresuid(child->user.uid, child->user.uid, child->user.uid);
}

static void limit_all(const struct child *child)
{
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_FSIZE, child->bytes_max);
	limit(RLIMIT_AS, MEMORY_MAX);
	limit(RLIMIT_CPU, CPU_S);
}

__attribute__((noreturn)) static void run_child(const struct child *child)
{
	const char *home = child->is_root ? "/tmp" : child->path;
	char home_env[4200], image[4200], bundle[4200];
	char path_env[] = "PATH=/usr/local/bin:/usr/bin:/bin";
	sigset_t none;

	snprintf(home_env, sizeof(home_env), "HOME=%s", home);
	snprintf(image, sizeof(image), "%s/layout:image", home);
	snprintf(bundle, sizeof(bundle), "%s/bundle", home);
	char *argv[] = {(char[]){"umoci"}, (char[]){"raw"}, (char[]){"unpack"},
	    (char[]){"--rootless"}, (char[]){"--image"}, image, bundle, NULL};
	char *envp[] = {path_env, home_env, (char[]){"LC_ALL=C"}, NULL};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	umask(022);
	setsid();
	int null = open("/dev/null", O_RDWR);
	if (dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(child->said, 2) < 0)
		_exit(126);
	limit_all(child);
	if (child->is_root && (hide(child) != 0 || drop(child) != 0)) {
		dprintf(2, "cannot give up privileges: %s\n", strerror(errno));
		_exit(126);
	}
	if (!child->is_root && fchdir(child->work) != 0)
		_exit(126);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	close_range(3, ~0u, CLOSE_RANGE_UNSHARE);
	execvpe("umoci", argv, envp);
	dprintf(2, "umoci: %s\n", strerror(errno));
	_exit(127);
}

/* As root in namespaces of its own: its end is the end of all that it started. */
static pid_t start(const struct child *child)
{
	unsigned long flags = SIGCHLD;

	if (child->is_root)
		flags |= CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;
	pid_t pid = (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, 0UL);
	if (pid == 0)
		run_child(child);
	return pid;
}

/* ---- watching ---- */

struct watch {
	pid_t pid;
	int work;
	const struct image_limits *limits;
	uint64_t ends_ms, measure_ms;
	struct error *err;
};

/* All that it ever wrote, to files or elsewhere: known without a walk. 0: not known. */
static uint64_t written(pid_t pid)
{
	char path[64], text[512], *at;
	unsigned long long bytes = 0;

	snprintf(path, sizeof(path), "/proc/%d/io", (int)pid);
	scoped_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	text[n > 0 ? n : 0] = '\0';
	if (!(at = strstr(text, "wchar: ")) || sscanf(at, "wchar: %llu", &bytes) != 1)
		return 0;
	return bytes;
}

static int measure(struct watch *watch)
{
	struct image_size size;
	uint64_t began_ms = clock_boot_ms();
	int rc = 0;

	if (began_ms < watch->measure_ms)
		return 0;
	scoped_fd int fd =
	    openat(watch->work, "bundle", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		rc = image_tree_measure(fd, watch->limits, &size, watch->err);
	uint64_t now_ms = clock_boot_ms();
	watch->measure_ms = now_ms + MEASURE_MS + 4 * (now_ms - began_ms);
	return rc;
}

static int look(struct watch *watch)
{
	if (image_is_interrupted(watch->err))
		return -1;
	if (written(watch->pid) > watch->limits->bytes_max)
		return error_refuse(watch->err, ERR_INVALID, "image_too_large",
		    "the image unpacks to more than the limit (see --max-size)");
	if (clock_boot_ms() > watch->ends_ms)
		return error_set(watch->err, ERR_TIMEOUT, "unpacking takes too long");
	return measure(watch);
}

static int watch_child(struct watch *watch, int *status_r)
{
	int rc = 0;

	for (;;) {
		pid_t ended = waitpid(watch->pid, status_r, rc < 0 ? 0 : WNOHANG);
		if (ended == watch->pid)
			return rc;
		if (ended == 0 && (rc = look(watch)) < 0) {
			kill(-watch->pid, SIGKILL);
			kill(watch->pid, SIGKILL);
			continue;
		}
		usleep(LOOK_US);
	}
}

/* ---- what it said ---- */

static char *read_said(int said)
{
	char *text = calloc(1, SAID_MAX + 1);

	bug_if(!text);
	if (pread(said, text, SAID_MAX, 0) < 0)
		text[0] = '\0';
	return text;
}

/* Without the right to make a device it makes an empty file, and says so. */
static uint64_t count_devices(const char *text)
{
	static const char mark[] = "in place of device";
	uint64_t n = 0;

	while ((text = strstr(text, mark))) {
		text += sizeof(mark) - 1;
		n++;
	}
	return n;
}

static int judge(int status, const char *text, struct error *err)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) >= 126)
		return error_set(
		    err, ERR_UNAVAILABLE, "cannot unpack: %.*s", (int)strcspn(text, "\n"), text);
	if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGXFSZ || WTERMSIG(status) == SIGXCPU))
		return error_refuse(err, ERR_INVALID, "image_too_large",
		    "the image unpacks to more than the limit (see --max-size)");
	if (strstr(text, "file too large"))
		return error_refuse(err, ERR_INVALID, "image_too_large",
		    "a file of the image is larger than the limit (see --max-size)");
	const char *last = text;
	for (const char *at = text; *at; at++)
		if (at[0] == '\n' && at[1])
			last = at + 1;
	return error_refuse(err, ERR_INVALID, "image_invalid", "umoci cannot unpack it: %.*s",
	    (int)strcspn(last, "\n"), last);
}

int image_unpack(const char *path, int work, const struct image_limits *limits, uint64_t *devices_r,
    struct error *err)
{
	scoped_fd int said = memfd_create("said", MFD_CLOEXEC);
	const struct child child = {.path = path,
	    .work = work,
	    .said = said,
	    .is_root = geteuid() == 0,
	    .user = image_unpack_user(),
	    .bytes_max = limits->bytes_max};
	struct watch watch = {.work = work,
	    .limits = limits,
	    .ends_ms = clock_boot_ms() + WALL_MS,
	    .measure_ms = clock_boot_ms() + MEASURE_MS,
	    .err = err};
	int status = 0;

	watch.pid = start(&child);
	if (watch.pid < 0)
		return error_set(err, ERR_UNAVAILABLE, "cannot start umoci%s: %s",
		    child.is_root ? " in namespaces of its own" : "", strerror(errno));
	int rc = watch_child(&watch, &status);
	scoped_free char *text = read_said(said);
	*devices_r = count_devices(text);
	return rc < 0 ? -1 : judge(status, text, err);
}
