/* locator - which host has an agent, by the ledger's word (mc:place:<asset>), in time or not at all. */
#ifndef ROUTER_LOCATOR_H
#define ROUTER_LOCATOR_H

#include "common/base58.h"
#include "common/error.h"

struct locator;
struct process;
/* Keeps process. Caller owns the result. */
struct locator *locator_new(struct process *process);
/* Pending questions end with ERR_UNAVAILABLE before this returns. */
void locator_destroy(struct locator **locator);

/* host: "" if nobody has it; NULL with err set if the ledger does not say. Borrowed for the call. */
typedef void (*locator_done)(void *arg, const char *host, const struct error *err);
/* done is called once, never from inside, at deadline (Unix ms) at the latest. */
void locator_ask(struct locator *locator, const uint8_t asset[PUBKEY_LEN], uint64_t deadline,
    locator_done done, void *arg);

#endif
