/* peer - the socket on which sandbox finds warden, and its connection: the newest one. Who else connects is refused. */
#ifndef WARDEN_PEER_H
#define WARDEN_PEER_H

#include <event2/event.h>
#include <stdbool.h>
#include <sys/types.h>

#include "common/error.h"
#include "proto/warden.h"

struct peer;
struct peer_hooks {
	void (*on_connect)(void *arg); /* says FOUND and READY */
	/* A checked request. The descriptors are the hook's to close. What packet holds is wiped afterwards. */
	void (*on_request)(void *arg, struct warden_packet *packet, const int *fds, size_t nfds);
	/* The connection has ended, and none has taken its place yet. Never called from within another call. */
	void (*on_gone)(void *arg);
	void *arg;
};

/* uid, besides root, may connect; gid gets the socket. Caller owns the result, NULL with *err. */
struct peer *peer_new(struct event_base *base, const char *path, uid_t uid, gid_t gid,
    const struct peer_hooks *hooks, struct error *err);
void peer_destroy(struct peer **peer);
/* In a job: gives up both sockets without a word to the other side. */
void peer_close_fds(const struct peer *peer);

/* Says it, as soon as the other side reads; nothing if there is none (or no peer yet: NULL). fd (-1: none) stays the caller's. */
void peer_send(struct peer *peer, struct warden_packet *packet, int fd);

#endif
