/* gateway_link - the one llm-gateway of this host: told which agents may use it (gateway.admit), and which not any more (gateway.leave). It keeps nothing, so
 * whenever it is connected anew all are told again. It is never waited for: an agent starts and ends without it, and its requests fail meanwhile.
 */
#ifndef SANDBOX_GATEWAY_LINK_H
#define SANDBOX_GATEWAY_LINK_H

#include "services/sandbox/agent.h"

struct gateway_link;
/* Caller owns the result; sandbox is kept. ERR_INVALID: the settings. */
struct gateway_link *gateway_link_new(struct sandbox *sandbox, struct error *err);
void gateway_link_destroy(struct gateway_link **link);
bool gateway_link_is_ready(const struct gateway_link *link, char *why, size_t size);
/* Z85 public key of the gateway, for the vault; "": there is none, or nobody says which. Borrowed until the list of peers is read again. */
const char *gateway_link_key(const struct sandbox *sandbox);

/* Tells what has changed of the agent, if anything: it may use keys from when it has an address until it is to end. */
void gateway_link_settle(struct agent *agent);
/* It is gone, or to be. */
void gateway_link_leave(struct agent *agent);

#endif
