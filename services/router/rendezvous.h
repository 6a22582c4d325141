/* rendezvous - which host an agent that was never placed belongs to: highest random weight (Thaler and Ravishankar, 1998). Every router says the same,
 * and a host that comes or goes moves only its own agents. Pure. */
#ifndef ROUTER_RENDEZVOUS_H
#define ROUTER_RENDEZVOUS_H

#include "common/base58.h"

/* The host with the highest score has the asset. */
uint64_t rendezvous_score(const char *host, const uint8_t asset[PUBKEY_LEN]);

#endif
