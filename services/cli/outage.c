#include "services/cli/outage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/scoped.h"

#define GUARD_MS 500u
#define LEASE_US 2000000u /* ARCHITECTURE.md, rule 11 */

/* What a name's process runs; its replicas are <role>-<n>, but for those that there is one of. */
static const struct part {
	const char *role, *program;
	bool decides; /* who is let in */
	bool is_alone;
} parts[] = {
    {"router", "multiclaw-router", true, false},
    {"auth", "multiclaw-auth", true, false},
    {"session", "multiclaw-session", true, false},
    {"chain-oracle", "multiclaw-chain-oracle", true, false},
    {"redis", "redis-server", true, true},
    {"nginx", "nginx", false, true},
    {"secret-vault", "multiclaw-secret-vault", false, false},
    {"agent-wallet", "multiclaw-agent-wallet", false, false},
    {"llm-gateway", "multiclaw-llm-gateway", false, false},
    {"snapshot-store", "multiclaw-snapshot-store", false, false},
    {"sandbox", "multiclaw-sandbox", false, false},
    {"warden", "multiclaw-warden", false, false},
};

static const struct part *part_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		size_t len = strlen(parts[i].role);
		const char *rest = name + len;
		if (strncmp(name, parts[i].role, len) != 0)
			continue;
		if (parts[i].is_alone ? *rest == '\0'
				      : *rest == '-' && rest[1] &&
					    strspn(rest + 1, "0123456789") == strlen(rest + 1))
			return &parts[i];
	}
	return NULL;
}

/* ---- who is who ---- */

static size_t read_text(const char *path, char *text, size_t size)
{
	scoped_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t len = fd < 0 ? 0 : read(fd, text, size - 1);

	text[len > 0 ? len : 0] = '\0';
	return len > 0 ? (size_t)len : 0;
}

static pid_t pid_of(const char *name)
{
	char path[OUTAGE_NAME_MAX + 16], text[32], *end;

	snprintf(path, sizeof(path), "run/%s.pid", name);
	if (!read_text(path, text, sizeof(text)))
		return 0;
	long pid = strtol(text, &end, 10);
	return end > text && *end == '\n' && pid > 1 && pid < INT_MAX ? (pid_t)pid : 0;
}

static pid_t parent_of(pid_t pid)
{
	char path[48], text[512];
	int parent = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	read_text(path, text, sizeof(text));
	const char *after = strrchr(text, ')');
	return after && sscanf(after, ") %*c %d", &parent) == 1 ? parent : 0;
}

static bool runs(pid_t pid, const char *program)
{
	char path[48], text[1024];

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	read_text(path, text, sizeof(text));
	/* Redis and nginx write their state behind it */
	text[strcspn(text, ": ")] = '\0';
	const char *slash = strrchr(text, '/');
	return strcmp(slash ? slash + 1 : text, program) == 0;
}

static bool stands_here(pid_t pid)
{
	char path[48];
	struct stat theirs, ours;

	snprintf(path, sizeof(path), "/proc/%d/cwd", (int)pid);
	return stat(path, &theirs) == 0 && stat(".", &ours) == 0 && theirs.st_dev == ours.st_dev &&
	       theirs.st_ino == ours.st_ino;
}

/* Its descriptor, or -1. */
static int open_process(const char *name, struct error *err)
{
	const struct part *part = part_of(name);
	pid_t pid = pid_of(name), supervisor = pid_of("supervisor");

	if (!part || !pid || !supervisor)
		return error_set(err, ERR_NOT_FOUND, "there is no process '%s' here", name);
	scoped_fd int fd = pidfd_open(pid, 0);
	if (fd < 0)
		return error_set(err, ERR_NOT_FOUND, "%s does not run", name);
	if (parent_of(pid) != supervisor || !stands_here(supervisor) || !runs(pid, part->program))
		return error_set(err, ERR_DENIED,
		    "process %d is not %s of this state folder, or it cannot be seen (sudo?): it "
		    "is not signalled",
		    (int)pid, name);
	if (pidfd_send_signal(fd, 0, NULL, 0) < 0)
		return error_set(
		    err, ERR_DENIED, "%s may not be signalled: %s", name, strerror(errno));
	int kept = fd;
	fd = -1;
	return kept;
}

/* ---- what is to be done ---- */

static bool is_named(const struct outages *outages, const char *name)
{
	for (size_t i = 0; i < outages->len; i++)
		if (strcmp(outages->item[i].name, name) == 0)
			return true;
	return false;
}

static int add(struct outages *outages, const char *name, unsigned pause_ms, struct error *err)
{
	if (outages->len == OUTAGES_MAX)
		return error_set(err, ERR_INVALID, "more than %d at once", OUTAGES_MAX);
	/* its workers would serve on */
	if (pause_ms && strcmp(name, "nginx") == 0)
		return error_set(err, ERR_INVALID, "nginx can be killed, not paused");
	if (is_named(outages, name))
		return error_set(err, ERR_INVALID, "%s is named twice", name);
	scoped_fd int fd = open_process(name, err);
	if (fd < 0)
		return -1;
	struct outage *outage = &outages->item[outages->len++];
	*outage = (struct outage){.pause_ms = pause_ms, .fd = -1, .guard = -1};
	snprintf(outage->name, sizeof(outage->name), "%s", name);
	return 0;
}

size_t outages_running(const char *role, char (*names_r)[OUTAGE_NAME_MAX], size_t max)
{
	DIR *folder = opendir("run");
	size_t n = 0;

	for (struct dirent *entry; folder && n < max && (entry = readdir(folder));) {
		char name[sizeof(entry->d_name)];
		snprintf(name, sizeof(name), "%s", entry->d_name);
		char *dot = strrchr(name, '.');
		if (!dot || strcmp(dot, ".pid") != 0 || dot - name >= OUTAGE_NAME_MAX)
			continue;
		*dot = '\0';
		const struct part *part = part_of(name);
		if (!part || (role[0] ? strcmp(part->role, role) != 0 : !part->decides))
			continue;
		snprintf(names_r[n++], OUTAGE_NAME_MAX, "%.*s", OUTAGE_NAME_MAX - 1, name);
	}
	if (folder)
		closedir(folder);
	return n;
}

int outages_add(struct outages *outages, const char *word, unsigned pause_ms, struct error *err)
{
	char names[OUTAGES_MAX][OUTAGE_NAME_MAX];

	if (part_of(word))
		return add(outages, word, pause_ms, err);
	size_t n = outages_running(word[0] ? word : "-", names, OUTAGES_MAX);
	if (n == 0)
		return error_set(err, ERR_NOT_FOUND, "there is no process '%s' here", word);
	for (size_t i = 0; i < n; i++)
		if (add(outages, names[i], pause_ms, err) < 0)
			return -1;
	return 0;
}

int outages_add_any(struct outages *outages, struct error *err)
{
	char names[OUTAGES_MAX][OUTAGE_NAME_MAX];
	size_t n = outages_running("", names, OUTAGES_MAX), wanted = 1 + randombytes_uniform(2);

	for (size_t i = 0; i < wanted && i < n; i++) {
		size_t at = i + randombytes_uniform((uint32_t)(n - i));
		char chosen[OUTAGE_NAME_MAX];
		memcpy(chosen, names[at], sizeof(chosen));
		memcpy(names[at], names[i], sizeof(chosen));
		if (is_named(outages, chosen))
			continue;
		unsigned pause_ms = randombytes_uniform(2) ? 200 + randombytes_uniform(2800) : 0;
		if (add(outages, chosen, pause_ms, err) < 0)
			return -1;
	}
	return 0;
}

size_t outages_of(const struct outages *outages, const char *role)
{
	size_t n = 0;

	for (size_t i = 0; i < outages->len; i++) {
		const struct part *part = part_of(outages->item[i].name);
		n += part && strcmp(part->role, role) == 0;
	}
	return n;
}

/* ---- doing it ---- */

/* Somebody who lets it go on if we are killed meanwhile; its descriptor, or -1. */
static int guard(int fd, unsigned ms)
{
	const struct timespec nap = {ms / 1000, (long)(ms % 1000) * 1000000};
	pid_t child = fork();

	if (child != 0)
		return child > 0 ? pidfd_open(child, 0) : -1;
	setsid();
	/* whoever reads what the drill says does not wait for this one */
	close_range(0, 2, 0);
	nanosleep(&nap, NULL);
	pidfd_send_signal(fd, SIGCONT, NULL, 0);
	_exit(0);
}

static void begin(struct outage *outage, uint64_t now_us)
{
	struct error ignored;

	outage->begun = true;
	outage->fd = open_process(outage->name, &ignored);
	if (outage->fd >= 0 && outage->pause_ms)
		outage->guard = guard(outage->fd, outage->pause_ms + GUARD_MS);
	/* on its way up again since the last one: nothing is done, and nothing is told */
	if (outage->fd < 0 || outage->pause_ms == 0 || outage->guard < 0) {
		outage->was_signalled = outage->fd >= 0 && outage->pause_ms == 0 &&
					pidfd_send_signal(outage->fd, SIGKILL, NULL, 0) == 0;
		/* leases of the time before hide for that long that Redis is gone */
		if (strcmp(outage->name, "redis") == 0)
			outage->end_us = now_us + LEASE_US;
		return;
	}
	outage->was_signalled = pidfd_send_signal(outage->fd, SIGSTOP, NULL, 0) == 0;
	outage->end_us = now_us + outage->pause_ms * 1000ull;
}

static void end(struct outage *outage)
{
	if (outage->fd >= 0 && outage->pause_ms)
		pidfd_send_signal(outage->fd, SIGCONT, NULL, 0);
	if (outage->fd >= 0)
		close(outage->fd);
	/* or it would end the next pause too early */
	if (outage->guard >= 0) {
		pidfd_send_signal(outage->guard, SIGKILL, NULL, 0);
		close(outage->guard);
	}
	outage->fd = outage->guard = -1;
	outage->ended = true;
}

void outages_turn(struct outages *outages, uint64_t now_us)
{
	for (size_t i = 0; i < outages->len; i++) {
		struct outage *outage = &outages->item[i];
		if (!outage->begun && now_us >= outage->at_us)
			begin(outage, now_us);
		if (outage->begun && !outage->ended && now_us >= outage->end_us)
			end(outage);
	}
}

bool outages_are_over(const struct outages *outages)
{
	for (size_t i = 0; i < outages->len; i++)
		if (!outages->item[i].ended)
			return false;
	return true;
}

void outages_end(struct outages *outages)
{
	for (size_t i = 0; i < outages->len; i++)
		end(&outages->item[i]);
}
