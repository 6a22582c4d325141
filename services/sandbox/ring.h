/* ring - the last of what an agent wrote, by position: positions only rise, those of a later ring are above those of an earlier one, so that a reader who
 * comes back with an old position learns that it lost something.
 */
#ifndef SANDBOX_RING_H
#define SANDBOX_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring;
/* first: position of its first byte; not 0. Caller owns the result. */
struct ring *ring_new(size_t size, uint64_t first);
void ring_destroy(struct ring **ring); /* wipes it */
void ring_add(struct ring *ring, const void *bytes, size_t len);
/* Bytes that were not kept at all stood here. */
void ring_skip(struct ring *ring);
uint64_t ring_next(const struct ring *ring); /* position of the next byte */

struct ring_part {
	size_t len;
	uint64_t next; /* to ask for what follows */
	bool is_lost;  /* something between after and these is gone */
};
/* What follows after (0: the last of what there is), at most size bytes. */
struct ring_part ring_read(const struct ring *ring, uint64_t after, uint8_t *bytes_r, size_t size);

#endif
