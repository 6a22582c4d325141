/* transfer - one request while it is carried out by a thread of its own: its pipe, how far it is, whether it is to end. The loop reads what is atomic, and the
 * rest once the thread has ended. */
#ifndef SNAPSHOT_STORE_TRANSFER_H
#define SNAPSHOT_STORE_TRANSFER_H

#include <sodium.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/store.h"

struct transfer {
	uint64_t ticket;
	enum store_what what;
	char key[STORE_KEY_MAX + 1];
	uint64_t bytes_max;
	int pipe;      /* -1: none */
	int cancel_fd; /* eventfd, readable once it is to end */
	atomic_bool is_cancelled;
	atomic_uint_fast64_t bytes; /* moved so far; SWEEP: objects removed */
	atomic_uint retries;

	/* of its thread */
	crypto_generichash_state hash;
	uint8_t digest[32]; /* BLAKE2b-256 of what was moved */
	enum store_failure failure;
	char text[160];
};

/* Takes pipe (-1: none), which no longer blocks. Caller owns the result. */
struct transfer *transfer_new(const struct store_packet *request, int pipe);
void transfer_destroy(struct transfer **transfer);
/* From any thread. */
void transfer_cancel(struct transfer *transfer);
/* What moved is all: makes digest. */
void transfer_finish(struct transfer *transfer);

/* Of its thread. Each fails by transfer_fail. */

/* Says why it failed; the last word counts. Returns -1. */
int transfer_fail(struct transfer *transfer, enum store_failure failure, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Fails with STORE_CANCELLED if it is to end. */
int transfer_check(struct transfer *transfer);
/* Fills bytes from the pipe; less than len: that was the end. -1: also when there are more than bytes_max. */
ssize_t transfer_read(struct transfer *transfer, void *bytes, size_t len);
int transfer_write(struct transfer *transfer, const void *bytes, size_t len);
/* Waits. */
int transfer_pause(struct transfer *transfer, unsigned ms);

#endif
