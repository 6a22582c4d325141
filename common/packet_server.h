/* packet_server - a Unix socket on which one program of this host finds another: packets of one size, each with a few descriptors, SOCK_SEQPACKET. There is one connection, the
 * newest; who else connects is refused. What is said waits for a slow reader, in a bounded queue.
 */
#ifndef COMMON_PACKET_SERVER_H
#define COMMON_PACKET_SERVER_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/error.h"

#define PACKET_SERVER_FDS_MAX 4

struct packet_server_config {
	const char *path;   /* of the socket; what is there is removed */
	const char *peer;   /* who connects, and */
	const char *own;    /* who listens: words for the log */
	size_t packet_size; /* bytes */
	size_t queue_max;   /* packets that wait to be read; who reads nothing is cut off */
	uid_t uid;          /* may connect, besides root and who runs this; 0: nobody else */
	uid_t
	    owner; /* the socket goes to them, if they are not 0; with a gid it is the group's, too */
	gid_t gid;
};
struct packet_server_hooks {
	void (*on_connect)(void *arg);
	/* The connection has ended; called from within whatever found out. */
	void (*on_leave)(void *arg);
	/* A packet of the right size, the hook's to judge (packet_server_cut), and its descriptors, the hook's to close. What packet holds is wiped afterwards. */
	void (*on_packet)(void *arg, void *packet, const int *fds, size_t nfds);
	void *arg;
};

struct packet_server;
/* Binds, but hears nobody before packet_server_listen. Copies config and hooks, borrows the texts peer and own. Caller owns the result, NULL with *err: ERR_INVALID, ERR_UNAVAILABLE. */
struct packet_server *packet_server_new(struct event_base *base,
    const struct packet_server_config *config, const struct packet_server_hooks *hooks,
    struct error *err);
void packet_server_listen(struct packet_server *server);
void packet_server_destroy(struct packet_server **server);
/* In a forked child: gives up the sockets without a word to the other side. */
void packet_server_close_fds(const struct packet_server *server);

bool packet_server_is_connected(const struct packet_server *server);
/* Something waits for the other side to read. */
bool packet_server_is_slow(const struct packet_server *server);
/* Says it, as soon as the other side reads; nothing if there is none. fd (-1: none) stays the caller's. */
void packet_server_send(struct packet_server *server, const void *packet, int fd);
/* It does not keep to the protocol. */
void packet_server_cut(struct packet_server *server, const char *why);

#endif
