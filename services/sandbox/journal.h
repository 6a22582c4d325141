/* journal - what an agent writes: read from the driver's descriptor as it comes, the last of it kept in memory (ring.h), so much a second and no more. What
 * comes faster is dropped, and readers are told. It outlives the container, so that a crash can be read, and ends with the owner.
 */
#ifndef SANDBOX_JOURNAL_H
#define SANDBOX_JOURNAL_H

#include <event2/event.h>

#include "common/metrics.h"
#include "services/sandbox/ring.h"

struct journal;
struct journal_config {
	size_t bytes, bytes_per_s;
	struct metric *lost;
	void (*grown)(void *arg);
	void *arg;
};
struct journal *journal_new(struct event_base *base, const struct journal_config *config);
void journal_destroy(struct journal **journal);
/* Reads fd from now on, instead of the one before; taken over. -1: none. */
void journal_follow(struct journal *journal, int fd);
const struct ring *journal_ring(const struct journal *journal);

#endif
