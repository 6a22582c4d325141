/* relay - bytes on their way from one thread to another, in blocks: at most RELAY_BLOCKS of them wait, then who makes them does. Both layers of an archive that cost much, zstd's and
 * the seal's, so run beside the thread that has the tree.
 */
#ifndef PACKER_RELAY_H
#define PACKER_RELAY_H

#include <stddef.h>
#include <stdint.h>

#define RELAY_BLOCK (128 * 1024)
#define RELAY_BLOCKS 4

/* For two threads, one on each side. Caller owns the result; never NULL. Both have to be done with it before it is destroyed. */
struct relay;
struct relay *relay_new(void);
void relay_destroy(struct relay **relay);

/* The maker's: RELAY_BLOCK bytes to be filled, the same until relay_put(); waits for room. NULL: relay_stop() was called. */
uint8_t *relay_room(struct relay *relay);
/* The first len of them, at least one. */
void relay_put(struct relay *relay, size_t len);
/* Nothing more comes. */
void relay_end(struct relay *relay);

/* The taker's: the next block, borrowed until the next call; waits for one. 0: that was all, or relay_stop() was called. */
size_t relay_take(struct relay *relay, const uint8_t **bytes_r);

/* From either side: what is in it is lost, and nobody waits any more. */
void relay_stop(struct relay *relay);

#endif
