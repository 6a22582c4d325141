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
#include "services/warden/enter.h"
#include "services/warden/image.h"
#include "services/warden/job.h"

#define ARGS_MAX 256
#define VARIABLES_MAX 300 /* the image's, and ours */
#define LINGER_MS \
	50 /* for what is in the pipe after the end: a child that stays behind may hold it open */

struct exec {
	const struct exec_job *job;
	pid_t command;
	int pidfd, output, memfd;
	size_t len;
	bool was_cut, was_late;
};

static size_t split(const struct exec_job *job, const char *argv[ARGS_MAX + 1])
{
	size_t n = 0;

	for (const char *at = job->text; at < job->text + job->len && n < ARGS_MAX;
	     at += strlen(at) + 1)
		argv[n++] = at;
	argv[n] = NULL;
	return n;
}

/* The container's own user and environment. */
static int run_with(struct exec *exec, const struct image *image, int output, struct error *err)
{
	const struct exec_job *job = exec->job;
	struct bundle bundle = {
	    .agent = job->agent, .kind = job->kind, .image = image, .port = WARDEN_AGENT_PORT};
	scoped_json json_t *list = bundle_environment(&bundle);
	const char *argv[ARGS_MAX + 1], *environment[VARIABLES_MAX + 1] = {NULL};

	split(job, argv);
	for (size_t i = 0; i < json_array_size(list) && i < VARIABLES_MAX; i++)
		environment[i] = json_string_value(json_array_get(list, i));
	struct enter enter = {
	    job->host, job->agent, job->pidfd, image->uid, image->gid, argv, environment, output};
	exec->command = enter_run(&enter, err);
	return exec->command > 0 ? 0 : -1;
}

static int start(struct exec *exec, struct error *err)
{
	const struct exec_job *job = exec->job;
	struct image image;
	int ends[2];

	if (image_read(job->host->settings->images, job->image, &image, err) != 0)
		return -1;
	if (pipe2(ends, O_CLOEXEC) != 0) {
		image_free(&image);
		return error_set(err, ERR_UNAVAILABLE, "pipe: %s", strerror(errno));
	}
	exec->output = ends[0];
	fcntl(exec->output, F_SETFL, O_NONBLOCK);
	int status = run_with(exec, &image, ends[1], err);
	close(ends[1]);
	image_free(&image);
	if (status == 0)
		exec->pidfd = (int)syscall(SYS_pidfd_open, exec->command, 0);
	return status;
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

/* The one that waits outside, and the command itself: its only child. */
static void kill_command(const struct exec *exec)
{
	char path[64];
	int child = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)exec->command,
	    (int)exec->command);
	scoped_file FILE *file = fopen(path, "re");
	if (file && fscanf(file, "%d", &child) == 1 && child > 1)
		kill(child, SIGKILL);
	kill(exec->command, SIGKILL);
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

	exec->memfd = memfd_create("output", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (exec->memfd < 0)
		return error_set(err, ERR_UNAVAILABLE, "memfd: %s", strerror(errno));
	if (start(exec, err) != 0)
		return -1;
	wait_end(exec);
	waitpid(exec->command, &status, 0);
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
