#include "services/warden/enter.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common/scoped.h"
#include "services/warden/filter.h"
#include "services/warden/spawn.h"

#define NAMESPACES \
	(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | \
	    CLONE_NEWCGROUP)
#define OOM_SCORE "500"

static _Noreturn void give_up(const char *what)
{
	dprintf(STDERR_FILENO, "%s: %s\n", what, strerror(errno));
	_exit(126);
}

/* While this process is the host's still. */
static void prepare(const struct enter *enter)
{
	struct rlimit files = {enter->host->files, enter->host->files};
	struct error err = {0};
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (null < 0 || dup2(null, 0) < 0 || dup2(enter->output, 1) < 0 ||
	    dup2(enter->output, 2) < 0)
		_exit(126);
	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	scoped_fd int oom = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (oom < 0 || write(oom, OOM_SCORE, strlen(OOM_SCORE)) < 0 ||
	    setrlimit(RLIMIT_NOFILE, &files) != 0)
		give_up("limits");
	if (cgroup_join(&enter->host->cgroups, enter->agent, &err) != 0)
		give_up("cgroups");
	setsid();
	umask(022);
}

static void drop_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
			give_up("bounding set");
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 ||
	    syscall(SYS_capset, &header, none) != 0)
		give_up("capabilities");
}

/* Inside. It is not dumpable until it is the command, so that nobody there can look at it or trace it. */
static _Noreturn void become(const struct enter *enter, const struct sock_fprog *program)
{
	union {
		const char *const *given;
		char *const *wanted;
	} argv = {enter->argv};
	union {
		const char *const *given;
		char **wanted;
	} environment = {enter->environment};

	if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) != 0 || chdir("/") != 0)
		give_up("/");
	if (setgroups(0, NULL) != 0 || setresgid(enter->gid, enter->gid, enter->gid) != 0 ||
	    setresuid(enter->uid, enter->uid, enter->uid) != 0)
		give_up("user");
	drop_capabilities();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program) != 0)
		give_up("filter");
	/* found by its own PATH, not by warden's */
	environ = environment.wanted;
	execvp(enter->argv[0], argv.wanted);
	dprintf(STDERR_FILENO, "%s: %s\n", enter->argv[0], strerror(errno));
	_exit(127);
}

/* A process joins all namespaces but that of process ids, which its children are in: the command is a child's child, and its parent ends as it does. */
static _Noreturn void pass_on(pid_t child)
{
	int status;

	close_range(0, ~0U, 0);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			_exit(126);
	if (WIFSIGNALED(status)) {
		signal(WTERMSIG(status), SIG_DFL);
		raise(WTERMSIG(status));
	}
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 126);
}

pid_t enter_run(const struct enter *enter, struct error *err)
{
	struct sock_fprog program = {0};

	if (filter_compile(enter->host->seccomp, &program, err) != 0)
		return -1;
	pid_t pid = spawn_fork(-1, NULL);
	if (pid == 0) {
		prepare(enter);
		if (setns(enter->pidfd, NAMESPACES) != 0)
			give_up("namespaces");
		pid_t child = fork();
		if (child == 0)
			become(enter, &program);
		if (child < 0)
			give_up("fork");
		pass_on(child);
	}
	free(program.filter);
	return pid >= 0
		   ? pid
		   : error_set(err, ERR_UNAVAILABLE, "no process can be made: %s", strerror(errno));
}
