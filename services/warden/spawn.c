#include "services/warden/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common/scoped.h"

#define FD_ABOVE 64 /* where descriptors wait before they take their places */

pid_t spawn_fork(int cgroup_fd, int *pidfd_r)
{
	int pidfd = -1;
	struct clone_args args = {.flags = CLONE_PIDFD, .exit_signal = SIGCHLD};

	args.pidfd = (uint64_t)(uintptr_t)&pidfd;
	if (cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (unsigned)cgroup_fd;
	}
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid > 0 && pidfd_r)
		*pidfd_r = pidfd;
	else if (pid > 0)
		close(pidfd);
	return pid;
}

static void reset_signals(void)
{
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the child; returns only if it fails. */
static void become(const struct spawn *spawn)
{
	static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	union {
		const char *given;
		char *wanted;
	} setting = {spawn->setting};
	char *environment[] = {path, setting.wanted, NULL};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), waiting[SPAWN_FDS_MAX];

	reset_signals();
	for (size_t i = 0; i < spawn->nfds; i++) {
		/* at a number that is free: one to come may be up there itself */
		waiting[i] = fcntl(spawn->fds[i] >= 0 ? spawn->fds[i] : null, F_DUPFD, FD_ABOVE);
		if (waiting[i] < 0)
			return;
	}
	for (int i = 0; i < (int)spawn->nfds; i++)
		if (dup2(waiting[i], i) < 0)
			return;
	for (int i = 0; i < (int)spawn->nfds; i++)
		if (spawn->fds[i] == SPAWN_CLOSED)
			close(i);
	if (close_range((unsigned)spawn->nfds, ~0U, 0) != 0)
		return;
	union {
		const char *const *given;
		char *const *wanted;
	} argv = {spawn->argv};
	execve(spawn->argv[0], argv.wanted, environment);
}

pid_t spawn_exec(const struct spawn *spawn, struct error *err)
{
	bug_if(spawn->nfds < 3 || spawn->nfds > SPAWN_FDS_MAX);
	pid_t pid = spawn_fork(spawn->cgroup_fd, NULL);
	if (pid == 0) {
		become(spawn);
		_exit(127);
	}
	if (pid < 0)
		return error_set(
		    err, ERR_UNAVAILABLE, "cannot start %s: %s", spawn->argv[0], strerror(errno));
	return pid;
}

int spawn_wait(pid_t pid, const char *name, unsigned timeout_ms, struct error *err)
{
	scoped_fd int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd end = {.fd = pidfd, .events = POLLIN};
	bool was_late = false;
	int status;

	if (pidfd >= 0 && poll(&end, 1, (int)timeout_ms) == 0) {
		was_late = true;
		kill(pid, SIGKILL);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_set(
			    err, ERR_INTERNAL, "%s: waitpid: %s", name, strerror(errno));
	if (was_late)
		return error_set(
		    err, ERR_TIMEOUT, "%s did not end within %u s", name, timeout_ms / 1000);
	if (WIFSIGNALED(status))
		return error_set(
		    err, ERR_UNAVAILABLE, "%s was ended by signal %d", name, WTERMSIG(status));
	if (WEXITSTATUS(status) == 127)
		return error_set(err, ERR_UNAVAILABLE, "%s could not be started", name);
	if (WEXITSTATUS(status) != 0)
		return error_set(
		    err, ERR_UNAVAILABLE, "%s failed with status %d", name, WEXITSTATUS(status));
	return 0;
}
