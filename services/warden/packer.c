#include "services/warden/packer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/scoped.h"
#include "services/warden/secret_files.h"
#include "services/warden/spawn.h"

#define MEMORY_BYTES (UINT64_C(512) << 20) /* its own, and what it has read, which gives way */
#define END_MS 10000                       /* from its last report to its end */
#define TELL_MS 500

struct run {
	const struct packer *packer;
	pid_t pid;
	int order, reports;
	struct packer_report last;
	uint64_t progress_at_ms, told_at_ms;
	bool has_begun;
};

void packer_group(const char *agent, char name[PACKER_GROUP_LEN])
{
	snprintf(name, PACKER_GROUP_LEN, "packers/%s", agent);
}

/* Each one has a group of its own: some kernels (6.18) kill what is started in one that was ever killed. */
int packer_make_group(
    const struct host *host, const char *agent, char name_r[PACKER_GROUP_LEN], struct error *err)
{
	packer_group(agent, name_r);
	scoped_fd int above = cgroup_make(&host->cgroups, name_r, err);
	if (above < 0)
		return -1;
	size_t len = strlen(name_r);
	snprintf(name_r + len, PACKER_GROUP_LEN - len, "/%lx", (unsigned long)clock_boot_us());
	int group = cgroup_make(&host->cgroups, name_r, err);
	if (group >= 0)
		cgroup_limit_memory(&host->cgroups, name_r, MEMORY_BYTES);
	return group;
}

/* ---- started ---- */

static int write_order(struct run *run, struct error *err)
{
	struct packer_order *order = run->packer->order;

	order->version = PACKER_VERSION;
	run->order = memfd_create("order", MFD_CLOEXEC);
	bool is_written = run->order >= 0 &&
			  pwrite(run->order, order, sizeof(*order), 0) == (ssize_t)sizeof(*order);
	sodium_memzero(order->archive.key, sizeof(order->archive.key));
	return is_written ? 0 : error_set(err, ERR_UNAVAILABLE, "the order: %s", strerror(errno));
}

/* It has read it, or will not any more. */
static void wipe_input(const struct run *run)
{
	static const struct packer_order zero;

	if (run->order >= 0)
		(void)!pwrite(run->order, &zero, sizeof(zero), 0);
	if (run->packer->secrets >= 0)
		secret_files_wipe_memfd(run->packer->secrets);
}

static int spawn(struct run *run, int root, int report, struct error *err)
{
	const struct packer *packer = run->packer;
	const char *const argv[] = {packer->host->settings->packer, NULL};
	int secrets = packer->secrets >= 0 ? packer->secrets : SPAWN_CLOSED;
	struct spawn spawn = {.argv = argv,
	    .cgroup_fd = packer->group,
	    .fds = {-1, -1, -1, run->order, root, secrets, packer->archive, report},
	    .nfds = 8};
	run->pid = spawn_exec(&spawn, err);
	if (run->pid < 0)
		return -1;
	cgroup_put(&packer->host->cgroups, packer->group_name, run->pid);
	return 0;
}

static int start(struct run *run, struct error *err)
{
	const struct packer *packer = run->packer;
	int pair[2];

	if (write_order(run, err) != 0)
		return -1;
	scoped_fd int root = openat(packer->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return error_set(err, ERR_UNAVAILABLE, "the volume: %s", strerror(errno));
	run->reports = pair[0];
	int status = spawn(run, root, pair[1], err);
	close(pair[1]);
	return status;
}

/* ---- followed ---- */

/* It read what agents wrote: what it says may be theirs, and no text at all. */
static void make_printable(char *text, size_t size)
{
	text[size - 1] = '\0';
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
			*c = '?';
	memset(text + strlen(text), 0, size - strlen(text));
}

static bool is_progress(const struct packer_report *a, const struct packer_report *b)
{
	return a->bytes != b->bytes || a->files != b->files || a->stored_bytes != b->stored_bytes ||
	       a->total_bytes != b->total_bytes;
}

static void take_progress(struct run *run, const struct packer_report *report)
{
	uint64_t now = clock_boot_ms();

	if (!is_progress(report, &run->last))
		return;
	run->last = *report;
	run->progress_at_ms = now;
	if (now - run->told_at_ms < TELL_MS)
		return;
	run->told_at_ms = now;
	run->packer->on_progress(run->packer->arg, report);
}

/* 1: it is done, 0: there is more to come. */
static int take_report(struct run *run, struct packer_report *done_r, struct error *err)
{
	struct packer_report report;
	ssize_t len = recv(run->reports, &report, sizeof(report), MSG_DONTWAIT | MSG_TRUNC);

	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (len <= 0)
		return error_set(err, ERR_UNAVAILABLE,
		    "what reads and writes the files ended before it was done");
	if (len != (ssize_t)sizeof(report) || report.kind > PACKER_DONE ||
	    report.outcome > WARDEN_NOT_SAVED)
		return error_set(err, ERR_INTERNAL,
		    "what reads and writes the files said something that is not known");
	if (!run->has_begun)
		wipe_input(run);
	run->has_begun = true;
	if (report.kind == PACKER_PROGRESS) {
		take_progress(run, &report);
		return 0;
	}
	make_printable(report.path, sizeof(report.path));
	make_printable(report.kind_of_secret, sizeof(report.kind_of_secret));
	make_printable(report.text, sizeof(report.text));
	*done_r = report;
	return 1;
}

static int follow(struct run *run, struct packer_report *done_r, struct error *err)
{
	const struct packer *packer = run->packer;
	uint64_t stall_ms = packer->host->settings->packer_stall_s * 1000;

	run->progress_at_ms = clock_boot_ms();
	for (;;) {
		struct pollfd reports = {.fd = run->reports, .events = POLLIN};
		int n = poll(&reports, 1, PACKER_TURN_MS);
		if (packer->on_turn)
			packer->on_turn(packer->arg);
		int status = n > 0 ? take_report(run, done_r, err) : 0;
		if (status != 0)
			return status > 0 ? 0 : -1;
		if (clock_boot_ms() - run->progress_at_ms > stall_ms)
			return error_set(err, ERR_TIMEOUT, "it made no progress for %u s",
			    (unsigned)(stall_ms / 1000));
	}
}

/* ---- ended ---- */

static void kill_it(const struct run *run)
{
	kill(run->pid, SIGKILL);
	while (waitpid(run->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static int end(const struct run *run, const struct packer_report *done, struct error *err)
{
	struct error why = {0};
	int status = spawn_wait(run->pid, "multiclaw-packer", END_MS, &why);

	if (status == 0 || done->outcome == WARDEN_SECRET_FOUND ||
	    done->outcome == WARDEN_TOO_LARGE || done->outcome == WARDEN_NOT_SAVED)
		return 0;
	return error_set(err, why.code, "%s", why.text);
}

int packer_run(const struct packer *packer, struct packer_report *done_r, struct error *err)
{
	struct run run = {.packer = packer, .pid = -1, .order = -1, .reports = -1};
	int status = start(&run, err);

	/* whoever is at the other end of it sees its end with the packer's */
	close(packer->archive);
	if (status == 0)
		status = follow(&run, done_r, err);
	if (status == 0)
		status = end(&run, done_r, err);
	else if (run.pid > 0)
		kill_it(&run);
	wipe_input(&run);
	if (packer->secrets >= 0)
		close(packer->secrets);
	if (run.order >= 0)
		close(run.order);
	if (run.reports >= 0)
		close(run.reports);
	return status;
}
