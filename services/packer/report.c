#include "services/packer/report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define EVERY_MS 1000

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void report_open(struct report *report, int fd)
{
	*report = (struct report){.fd = fd, .due_ms = now_ms() + EVERY_MS};
}

/* Nobody is waited for: one that is lost is followed by the next. */
void report_bytes(struct report *report, uint64_t bytes)
{
	report->said.bytes += bytes;
	uint64_t now = now_ms();
	if (now < report->due_ms)
		return;
	report->due_ms = now + EVERY_MS;
	report->said.kind = PACKER_PROGRESS;
	(void)!send(report->fd, &report->said, sizeof(report->said), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* A path is the agent's: it is shown as far as it is plain. */
static void put_path(char *to, size_t size, const char *path)
{
	size_t i = 0;

	for (; i < size - 1 && path[i]; i++) {
		unsigned char c = (unsigned char)path[i];
		to[i] = c < 0x20 || c >= 0x7f ? '?' : path[i];
	}
	to[i] = '\0';
}

int report_end(
    struct report *report, enum warden_outcome outcome, const char *path, const char *text)
{
	report->said.outcome = outcome;
	if (path)
		put_path(report->said.path, sizeof(report->said.path), path);
	snprintf(report->said.text, sizeof(report->said.text), "%s", text);
	return -1;
}

int report_done(struct report *report, struct error *err)
{
	ssize_t sent;

	report->said.kind = PACKER_DONE;
	do
		sent = send(report->fd, &report->said, sizeof(report->said), MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent != (ssize_t)sizeof(report->said))
		return error_set(
		    err, ERR_UNAVAILABLE, "nobody hears the report: %s", strerror(errno));
	return 0;
}
