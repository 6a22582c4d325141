/* sandbox_link - the socket on which sandbox finds snapshot-store, and its connection: the newest one. Who else connects is refused. */
#ifndef SNAPSHOT_STORE_SANDBOX_LINK_H
#define SNAPSHOT_STORE_SANDBOX_LINK_H

#include <event2/event.h>
#include <stdbool.h>
#include <sys/types.h>

#include "common/error.h"
#include "proto/store.h"

struct sandbox_link;
struct sandbox_link_hooks {
	void (*on_connect)(void *arg);
	void (*on_leave)(void *arg);
	/* A request of this version. fd (-1: none) becomes the hook's. */
	void (*on_request)(void *arg, const struct store_packet *packet, int fd);
	void *arg;
};

/* Who may connect, besides root and who runs this: uid (0: nobody). The socket goes to owner (with gid), if they are not 0. */
struct sandbox_link_who {
	uid_t uid, owner;
	gid_t gid;
};

/* Binds, but hears nobody before sandbox_link_listen. Caller owns the result, NULL with *err. */
struct sandbox_link *sandbox_link_new(struct event_base *base, const char *path,
    const struct sandbox_link_who *who, const struct sandbox_link_hooks *hooks, struct error *err);
void sandbox_link_listen(struct sandbox_link *link);
void sandbox_link_destroy(struct sandbox_link **link);

/* Says it, as soon as the other side reads. What is_worth_waiting is not is left out if the other side is slow. */
void sandbox_link_send(
    struct sandbox_link *link, const struct store_packet *packet, bool is_worth_waiting);
/* It does not keep to the protocol. */
void sandbox_link_cut(struct sandbox_link *link, const char *why);

#endif
