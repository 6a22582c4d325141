/* sandboxes - calls about an agent, to the host that has it and to no other: each carries the owner's token, with which a host that was taken over could
 * have the vault give out what is the agent's. Which host that is the ledger says (mc:place:<asset>, locator.h), remembered until an event of the
 * asset (a move is one); a host that has it not makes the ledger be asked again, whatever it names. An agent that nobody has begins at the host that rendezvous.h chooses, and
 * moves on to the next if that one is full.
 *
 * What a host says by itself passes as it is. One that says nothing or is not configured: ERR_UNAVAILABLE agent_host_unavailable. Without the ledger's
 * word: service_unavailable.
 */
#ifndef ROUTER_SANDBOXES_H
#define ROUTER_SANDBOXES_H

#include "common/base58.h"
#include "common/bus.h"
#include "proto/sandbox.h"

struct router;
struct sandboxes;
/* NULL: none is configured. Caller owns the result. */
struct sandboxes *sandboxes_new(struct router *router);
/* Pending calls end before this returns. */
void sandboxes_destroy(struct sandboxes **sandboxes);
/* How many hosts answer, of how many. */
size_t sandboxes_ready(const struct sandboxes *sandboxes, size_t *all_r);

/* An event of asset, or of all (NULL): where it is, is asked again. */
void sandboxes_mark(struct sandboxes *sandboxes, const uint8_t *asset);

struct sandboxes_question {
	const struct proto_call *call; /* whose reply begins with host */
	const void *req;               /* copied; wiped when the answer is there */
	const uint8_t *asset;          /* copied */
	uint64_t deadline;             /* Unix ms */
	const char *trace;
};
/* Like bus_send: done is called once, never from inside. */
void sandboxes_ask(struct sandboxes *sandboxes, const struct sandboxes_question *question,
    bus_done done, void *arg);

#endif
