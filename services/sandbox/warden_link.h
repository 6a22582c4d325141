/* warden_link - the connection to warden (proto/warden.h): connects, and again every 100 ms while there is none; whole packets, each with at most one
 * descriptor in, two out. Who listens must be root, or this process's own user. What warden says is checked for form before anybody sees it; a packet that is wrong
 * closes the connection.
 */
#ifndef SANDBOX_WARDEN_LINK_H
#define SANDBOX_WARDEN_LINK_H

#include <event2/event.h>

#include "common/error.h"
#include "proto/warden.h"

struct warden_link;
struct warden_link_hooks {
	/* fd: or -1; the callee's */
	void (*packet)(void *arg, const struct warden_packet *packet, int fd);
	void (*up)(void *arg);
	void (*down)(void *arg);
	void *arg;
};
/* path: kept. Caller owns the result. */
struct warden_link *warden_link_new(
    struct event_base *base, const char *path, const struct warden_link_hooks *hooks);
void warden_link_destroy(struct warden_link **link);
/* fds: passed along up to the first -1, stay the caller's; NULL: none. Never blocks: what warden does not take at once closes the connection (its queue holds hundreds; then it
 * hangs). ERR_UNAVAILABLE. */
int warden_link_send(struct warden_link *link, struct warden_packet *packet,
    const int fds[WARDEN_FDS_MAX], struct error *err);

#endif
