#include "services/warden/exec_job.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/scoped.h"
#include "services/warden/bundle.h"
#include "services/warden/image.h"
#include "services/warden/job.h"
#include "services/warden/spawn.h"

#define LINGER_MS 50 /* for what is in the pipe after the end: a child that stays behind may hold it open */

struct exec {
	const struct exec_job *job;
	pid_t runtime;
	int pidfd, output, process_file, memfd;
	char pid_path[RUNTIME_PATH_MAX + 64];
	size_t len;
	bool was_cut, was_late;
};

/* The container's own process, with other arguments: same user, same filter, same limits. */
static int write_process(struct exec *exec, struct error *err)
{
	const struct exec_job *job = exec->job;
	struct image image;
	struct bundle bundle = {.agent = job->agent,
	    .kind = "",
	    .image = &image,
	    .port = WARDEN_AGENT_PORT,
	    .files = job->host->files};
	scoped_json json_t *args = json_array();

	if (image_read(job->host->settings->images, job->image, &image, err) != 0)
		return -1;
	for (const char *at = job->text; at < job->text + job->len; at += strlen(at) + 1)
		json_array_append_new(args, json_string(at));
	bool is_text = true;
	for (size_t i = 0; i < json_array_size(args); i++)
		is_text &= json_is_string(json_array_get(args, i));
	scoped_json json_t *process = bundle_process(&bundle, args);
	image_free(&image);
	if (!is_text || json_array_size(args) == 0)
		return error_set(err, ERR_INVALID, "the arguments are not UTF-8");
	return json_dumpfd(process, exec->process_file, 0) == 0
	    ? 0
	    : error_set(err, ERR_UNAVAILABLE, "memfd: %s", strerror(errno));
}

static int start(struct exec *exec, struct error *err)
{
	const struct runtime *runtime = &exec->job->host->runtime;
	const char *const argv[] = {runtime->path, "--root", runtime->root, "exec", "--process",
	    "/proc/self/fd/3", "--pid-file", exec->pid_path, exec->job->agent, NULL};
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) != 0)
		return error_set(err, ERR_UNAVAILABLE, "pipe: %s", strerror(errno));
	scoped_fd int to = ends[1];
	exec->output = ends[0];
	fcntl(exec->output, F_SETFL, O_NONBLOCK);
	struct spawn spawn = {.argv = argv,
	    .cgroup_fd = -1,
	    .fds = {-1, to, to, exec->process_file},
	    .nfds = 4};
	exec->runtime = spawn_exec(&spawn, err);
	if (exec->runtime < 0)
		return -1;
	exec->pidfd = (int)syscall(SYS_pidfd_open, exec->runtime, 0);
	return 0;
}

/* Returns whether the pipe may have more. */
static bool take_output(struct exec *exec)
{
	char chunk[4096];
	ssize_t len = read(exec->output, chunk, sizeof(chunk));

	if (len <= 0)
		return len < 0 && (errno == EAGAIN || errno == EINTR);
	size_t room = EXEC_OUTPUT_MAX - exec->len;
	size_t n = (size_t)len < room ? (size_t)len : room;
	exec->was_cut |= n < (size_t)len;
	if (n > 0 && write(exec->memfd, chunk, n) == (ssize_t)n)
		exec->len += n;
	return true;
}

/* The runtime passes no SIGKILL on: what it started has to be named. */
static void kill_command(const struct exec *exec)
{
	scoped_file FILE *file = fopen(exec->pid_path, "re");
	int pid = 0;

	if (file && fscanf(file, "%d", &pid) == 1 && pid > 1)
		kill(pid, SIGKILL);
	else
		kill(exec->runtime, SIGKILL);
}

static void wait_end(struct exec *exec)
{
	uint64_t until = clock_boot_ms() + exec->job->timeout_ms;
	bool is_open = true, has_ended = false;

	while (!has_ended || is_open) {
		struct pollfd fds[] = {{.fd = is_open ? exec->output : -1, .events = POLLIN},
		    {.fd = has_ended ? -1 : exec->pidfd, .events = POLLIN}};
		uint64_t now = clock_boot_ms();
		if (now >= until && has_ended)
			return;
		if (now >= until) {
			exec->was_late = true;
			kill_command(exec);
			until = now + 1000;
		}
		poll(fds, 2, (int)(until > now ? until - now : 1));
		if (fds[0].revents)
			is_open = take_output(exec);
		if (fds[1].revents && !has_ended) {
			has_ended = true;
			until = clock_boot_ms() + LINGER_MS;
		}
	}
}

static int run(struct exec *exec, int report_fd, struct error *err)
{
	struct job_report report = {.kind = EXEC_DONE};
	int status = 0;

	exec->process_file = memfd_create("process", MFD_CLOEXEC);
	snprintf(exec->pid_path, sizeof(exec->pid_path), "%s/exec-%s.pid", exec->job->host->run,
	    exec->job->agent);
	exec->memfd = memfd_create("output", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (exec->process_file < 0 || exec->memfd < 0)
		return error_set(err, ERR_UNAVAILABLE, "memfd: %s", strerror(errno));
	if (write_process(exec, err) != 0 || start(exec, err) != 0)
		return -1;
	wait_end(exec);
	kill(exec->runtime, SIGKILL);
	waitpid(exec->runtime, &status, 0);
	unlink(exec->pid_path);
	if (exec->was_late)
		return error_set(err, ERR_TIMEOUT, "it did not end within %u ms",
		    (unsigned)exec->job->timeout_ms);
	fcntl(exec->memfd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);
	report.pid = status;
	report.number = exec->was_cut;
	job_tell(report_fd, &report, &exec->memfd, 1);
	return 0;
}

int exec_job_run(void *arg, int report_fd)
{
	struct exec exec = {.job = arg, .output = -1, .pidfd = -1};
	struct job_report report = {.kind = EXEC_FAILED};
	struct error err = {0};

	if (run(&exec, report_fd, &err) == 0)
		return 0;
	snprintf(report.text, sizeof(report.text), "%.*s", JOB_TEXT_MAX, err.text);
	job_tell(report_fd, &report, NULL, 0);
	return 1;
}
