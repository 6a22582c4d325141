#include "services/warden/job.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/error.h"
#include "services/warden/spawn.h"

struct job {
	struct reaper *reaper;
	struct job_hooks hooks;
	pid_t pid;
	int fd;
	struct event *readable;
};

union control {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int) * JOB_FDS_MAX)];
};

void job_tell(int report_fd, const struct job_report *report, const int *fds, size_t nfds)
{
	union control control = {.room = {0}};
	union {
		const struct job_report *report;
		void *bytes;
	} of = {report};
	struct iovec part = {of.bytes, sizeof(*report)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	bug_if(nfds > JOB_FDS_MAX);
	if (nfds) {
		message.msg_control = control.room;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(header), fds, sizeof(int) * nfds);
	}
	sendmsg(report_fd, &message, MSG_NOSIGNAL);
}

/* Returns the length, 0 at the end, -1 if there is nothing now. */
static ssize_t receive(int fd, struct job_report *report, int fds[JOB_FDS_MAX], size_t *nfds_r)
{
	union control control;
	struct iovec part = {report, sizeof(*report)};
	struct msghdr message = {.msg_iov = &part,
	    .msg_iovlen = 1,
	    .msg_control = control.room,
	    .msg_controllen = sizeof(control.room)};
	ssize_t len = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	*nfds_r = 0;
	struct cmsghdr *header = len > 0 ? CMSG_FIRSTHDR(&message) : NULL;
	if (header && header->cmsg_type == SCM_RIGHTS) {
		*nfds_r = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(header), *nfds_r * sizeof(int));
	}
	return len;
}

static void end(struct job *job)
{
	struct job_hooks hooks = job->hooks;
	int status = reaper_wait(job->reaper, job->pid);

	event_free(job->readable);
	close(job->fd);
	free(job);
	hooks.on_end(hooks.arg, status);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct job *job = arg;
	struct job_report report;
	int fds[JOB_FDS_MAX];
	size_t nfds;

	(void)what;
	ssize_t len = receive(fd, &report, fds, &nfds);
	if (len == (ssize_t)sizeof(report)) {
		report.text[JOB_TEXT_MAX] = '\0';
		job->hooks.on_report(job->hooks.arg, &report, fds, nfds);
	} else if (len == 0 || (len < 0 && errno != EAGAIN && errno != EINTR)) {
		end(job);
	}
}

/* Its death ends what it began, by its cgroup; a warden that is gone must not have one at work. */
static _Noreturn void run(
    const struct job_hooks *hooks, int report_fd, pid_t parent, job_work work, void *arg)
{
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	static const int caught[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
	for (size_t i = 0; i < ARRAY_LEN(caught); i++)
		signal(caught[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
	if (hooks->close_all)
		hooks->close_all(hooks->arg);
	_exit(work(arg, report_fd));
}

struct job *job_start(struct reaper *reaper, int cgroup_fd, const struct job_hooks *hooks,
    job_work work, void *work_arg)
{
	int pair[2];
	pid_t parent = getpid();

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return NULL;
	pid_t pid = spawn_fork(cgroup_fd, NULL);
	if (pid == 0) {
		close(pair[0]);
		run(hooks, pair[1], parent, work, work_arg);
	}
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return NULL;
	}
	struct job *job = calloc(1, sizeof(*job));
	bug_if(!job);
	*job = (struct job){.reaper = reaper, .hooks = *hooks, .pid = pid, .fd = pair[0]};
	job->readable =
	    event_new(reaper_base(reaper), job->fd, EV_READ | EV_PERSIST, on_readable, job);
	bug_if(!job->readable || event_add(job->readable, NULL) != 0);
	return job;
}

void job_destroy(struct job **job)
{
	if (!*job)
		return;
	kill((*job)->pid, SIGKILL);
	reaper_wait((*job)->reaper, (*job)->pid);
	event_free((*job)->readable);
	close((*job)->fd);
	free(*job);
	*job = NULL;
}
