#include "services/sandbox/journal.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/error.h"

#define PART 65536
#define BREATH_MS 10 /* between parts, so that who floods its log does not keep the loop busy */

struct journal {
	struct event_base *base;
	struct journal_config config;
	struct ring *ring;
	int fd;
	struct event *readable, *breath;
	uint64_t filled_ms; /* of the bucket */
	size_t bucket;
};

/* How many of len bytes are kept. */
static size_t take(struct journal *journal, size_t len)
{
	uint64_t now = clock_boot_ms(), more = 0;
	size_t size = journal->config.bytes_per_s;
	if (now > journal->filled_ms)
		more = (now - journal->filled_ms) * size / 1000;
	if (more > 0)
		journal->filled_ms = now;
	journal->bucket = more > size - journal->bucket ? size : journal->bucket + (size_t)more;
	size_t kept = len < journal->bucket ? len : journal->bucket;
	journal->bucket -= kept;
	return kept;
}

static void stop_reading(struct journal *journal)
{
	if (journal->readable)
		event_free(journal->readable);
	journal->readable = NULL;
	evtimer_del(journal->breath);
	if (journal->fd >= 0)
		close(journal->fd);
	journal->fd = -1;
}

/* Returns how many bytes were read. */
static size_t read_part(struct journal *journal)
{
	uint8_t part[PART];
	ssize_t n = read(journal->fd, part, sizeof(part));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		stop_reading(journal);
		return 0;
	}
	size_t kept = take(journal, (size_t)n);
	ring_add(journal->ring, part, kept);
	if (kept < (size_t)n) {
		ring_skip(journal->ring);
		metric_add(journal->config.lost, (size_t)n - kept);
	}
	sodium_memzero(part, (size_t)n);
	journal->config.grown(journal->config.arg);
	return (size_t)n;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct journal *journal = arg;
	const struct timeval breath = {.tv_usec = BREATH_MS * 1000};
	(void)fd, (void)what;
	if (read_part(journal) > 0 && journal->readable) {
		event_del(journal->readable);
		evtimer_add(journal->breath, &breath);
	}
}

static void on_breath(evutil_socket_t fd, short what, void *arg)
{
	struct journal *journal = arg;
	(void)fd, (void)what;
	if (journal->readable)
		event_add(journal->readable, NULL);
}

void journal_follow(struct journal *journal, int fd)
{
	/* what is left in the old one; a pipe holds no more than that */
	for (int i = 0; i < 16 && journal->fd >= 0 && read_part(journal) > 0; i++)
		;
	stop_reading(journal);
	journal->fd = fd;
	if (fd < 0)
		return;
	evutil_make_socket_nonblocking(fd);
	journal->readable =
	    event_new(journal->base, fd, EV_READ | EV_PERSIST, on_readable, journal);
	bug_if(!journal->readable);
	event_add(journal->readable, NULL);
}

const struct ring *journal_ring(const struct journal *journal)
{
	return journal->ring;
}

struct journal *journal_new(struct event_base *base, const struct journal_config *config)
{
	struct journal *journal = calloc(1, sizeof(*journal));
	bug_if(!journal);
	journal->base = base;
	journal->config = *config;
	journal->fd = -1;
	journal->bucket = config->bytes_per_s;
	journal->filled_ms = clock_boot_ms();
	journal->ring = ring_new(config->bytes, clock_unix_ms() * 1000);
	journal->breath = evtimer_new(base, on_breath, journal);
	bug_if(!journal->breath);
	return journal;
}

void journal_destroy(struct journal **journal)
{
	struct journal *j = *journal;
	if (!j)
		return;
	*journal = NULL;
	stop_reading(j);
	event_free(j->breath);
	ring_destroy(&j->ring);
	free(j);
}
