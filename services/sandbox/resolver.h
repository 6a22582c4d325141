/* resolver - answers the names that containers ask for, on the socket that warden hands over: forwards to the host's own resolver, drops answers that lead
 * into private or special networks, and for a narrowed agent answers only the names that its owner listed, and opens those addresses.
 */
#ifndef SANDBOX_RESOLVER_H
#define SANDBOX_RESOLVER_H

#include "services/sandbox/agent.h"

struct resolver *resolver_new(struct sandbox *sandbox);
void resolver_destroy(struct resolver **resolver);
/* fd: taken over; -1: none any more. */
void resolver_listen(struct resolver *resolver, int fd);

#endif
