/* resolver_upstreams - the resolvers that are asked, and which of them first: the one that answered last. */
#ifndef SANDBOX_RESOLVER_UPSTREAMS_H
#define SANDBOX_RESOLVER_UPSTREAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/error.h"

#define RESOLVER_UPSTREAMS_MAX 8
#define RESOLVER_UPSTREAMS_FILE "/etc/resolv.conf"

struct resolver_upstream {
	struct sockaddr_storage address;
	socklen_t len;
};

struct resolver_upstreams {
	char *file; /* NULL: they do not change */
	uint64_t looked_at_ms;
	size_t n, first;
	struct resolver_upstream at[RESOLVER_UPSTREAMS_MAX];
};

/* setting: comma list of addresses ("9.9.9.9", "9.9.9.9:5353", "[2620:fe::fe]:53"), or the path of a file like resolv.conf; "": RESOLVER_UPSTREAMS_FILE. A file is read
 * again from time to time. ERR_INVALID: no address, or none in it. The caller clears. */
int resolver_upstreams_init(
    struct resolver_upstreams *upstreams, const char *setting, struct error *err);
void resolver_upstreams_clear(struct resolver_upstreams *upstreams);

/* Its file may have changed: looks again, if it did not lately. What cannot be read changes nothing. */
void resolver_upstreams_look(struct resolver_upstreams *upstreams);

#endif
