/* frames - WebSocket framing for a client, by wslay, over any transport. Text messages up to a limit; everything else that a server may do (fragments, pings,
 * closes) is handled, everything that it may not ends the connection. */
#ifndef CHAIN_ORACLE_FRAMES_H
#define CHAIN_ORACLE_FRAMES_H

#include <sys/types.h>

#include "common/error.h"

#define FRAMES_MESSAGE_MAX ((size_t)1024 * 1024)
#define FRAMES_QUEUE_MAX ((size_t)1024 * 1024) /* unsent bytes */

struct frames_hooks {
	/* Bytes moved; 0: would block; -1: the connection is over. */
	ssize_t (*receive)(void *arg, uint8_t *buf, size_t len);
	ssize_t (*send)(void *arg, const uint8_t *bytes, size_t len);
	void (*text)(
	    void *arg, const char *text, size_t len); /* one message; borrowed, not terminated */
	void *arg;
};

struct frames;
struct frames *frames_new(const struct frames_hooks *hooks);
void frames_destroy(struct frames **frames);
/* Reads until the transport would block. -1: over; nothing else may be called then. */
int frames_read(struct frames *frames, struct error *err);
/* Writes what is queued until the transport would block. -1: over. */
int frames_write(struct frames *frames, struct error *err);
bool frames_want_write(const struct frames *frames);
/* Queues (copies); frames_write sends. -1: too much is waiting already. */
int frames_queue_text(struct frames *frames, const char *text, size_t len);
int frames_queue_ping(struct frames *frames);

#endif
