#include "services/sandbox/ring.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"

struct ring {
	uint64_t first, next;              /* positions of what is kept */
	uint64_t skipped_from, skipped_to; /* between these something was dropped; 0: nowhere */
	size_t size;
	uint8_t bytes[];
};

struct ring *ring_new(size_t size, uint64_t first)
{
	struct ring *ring = calloc(1, sizeof(*ring) + size);
	bug_if(!ring || size == 0 || first == 0);
	ring->size = size;
	ring->first = ring->next = first;
	return ring;
}

void ring_destroy(struct ring **ring)
{
	if (*ring) {
		sodium_memzero(*ring, sizeof(**ring) + (*ring)->size);
		free(*ring);
	}
	*ring = NULL;
}

void ring_add(struct ring *ring, const void *bytes, size_t len)
{
	const uint8_t *from = bytes;
	if (len > ring->size) {
		ring->next += len - ring->size;
		from += len - ring->size;
		len = ring->size;
	}
	size_t at = (size_t)(ring->next % ring->size);
	size_t first = len < ring->size - at ? len : ring->size - at;
	memcpy(ring->bytes + at, from, first);
	memcpy(ring->bytes, from + first, len - first);
	ring->next += len;
	if (ring->next - ring->first > ring->size)
		ring->first = ring->next - ring->size;
	if (ring->skipped_to < ring->first)
		ring->skipped_from = ring->skipped_to = 0;
	else if (ring->skipped_from < ring->first)
		ring->skipped_from = ring->first;
}

void ring_skip(struct ring *ring)
{
	ring->skipped_to = ring->next;
	if (ring->skipped_from == 0)
		ring->skipped_from = ring->next;
}

uint64_t ring_next(const struct ring *ring)
{
	return ring->next;
}

struct ring_part ring_read(const struct ring *ring, uint64_t after, uint8_t *bytes_r, size_t size)
{
	bool is_foreign = after != 0 && (after < ring->first || after > ring->next);
	uint64_t from = after == 0 || is_foreign ? ring->first : after;
	if ((after == 0 || is_foreign) && ring->next - from > size)
		from = ring->next - size;
	size_t len = ring->next - from < size ? (size_t)(ring->next - from) : size;
	size_t at = (size_t)(from % ring->size);
	size_t first = len < ring->size - at ? len : ring->size - at;
	memcpy(bytes_r, ring->bytes + at, first);
	memcpy(bytes_r + first, ring->bytes, len - first);
	return (struct ring_part){.len = len,
	    .next = from + len,
	    .is_lost = is_foreign || (len > 0 && ring->skipped_to && ring->skipped_to >= from &&
					 ring->skipped_from <= from + len)};
}
