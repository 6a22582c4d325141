/* upstream - may requests be sent to this address? Only inside the agents' range and on the agents' port, whatever a sandbox says: a host that was taken
 * over must not point nginx at somebody else. Pure. */
#ifndef ROUTER_UPSTREAM_H
#define ROUTER_UPSTREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

#define UPSTREAM_MAX 21     /* 255.255.255.255:65535 */
#define AGENT_TOKEN_MAX 128 /* of sandbox.reach */

struct upstream_range {
	uint32_t network, mask;
	uint16_t port;
};

/* network: "10.213.0.0/16". ERR_INVALID. */
int upstream_range_init(
    struct upstream_range *range, const char *network, uint64_t port, struct error *err);
/* "address:port" as this process would write it, and within. */
bool upstream_is_within(const struct upstream_range *range, const char *upstream);
/* Characters that an Authorization header takes (RFC 6750, section 2.1) and that mean nothing to nginx; "" is none. */
bool upstream_is_token(const char *token);

#endif
