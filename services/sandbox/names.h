/* names - sandbox's side of the resolver (resolver.h): whose a container's address is, what its owner listed, and the driver told what it may reach. */
#ifndef SANDBOX_NAMES_H
#define SANDBOX_NAMES_H

#include "services/sandbox/agent.h"

struct names;
/* ERR_INVALID: the settings are no list of upstreams, of networks. Caller owns the result. */
struct names *names_new(struct sandbox *sandbox, struct error *err);
void names_destroy(struct names **names);
/* The driver has let through what it was asked for. */
void names_allowed(struct names *names, uint64_t ticket);
/* fd: the socket on which containers ask, taken over; -1: there is none any more. */
void names_listen(struct names *names, int fd);

#endif
