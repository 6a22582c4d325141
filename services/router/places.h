/* places - where the requests of an agent go, as its sandbox said lately, by asset. Bounded: sets of 4, the one that ends soonest gives way. Free of
 * I/O and of clocks. An agent's token lies in guarded memory (common/secret.h) and is wiped when its entry goes.
 *
 * A place says nothing about who may go there: it is looked up after an allow.
 */
#ifndef ROUTER_PLACES_H
#define ROUTER_PLACES_H

#include "common/base58.h"
#include "services/router/upstream.h"

#define PLACES_WAYS 4

/* Borrowed until the next call that changes the table. */
struct place {
	const char *upstream; /* address:port */
	const char *token;    /* "" if the agent takes none */
	bool allows_workers;  /* service workers, by its owner's word */
};

struct places;
/* entries is rounded up to a power of two, at least PLACES_WAYS. Caller owns the result. */
struct places *places_new(uint64_t entries);
void places_destroy(struct places **places);

/* now_ms, until_ms: CLOCK_BOOTTIME. */
bool places_find(
    struct places *places, const uint8_t asset[PUBKEY_LEN], uint64_t now_ms, struct place *place_r);
/* Replaces what there was. place: texts of at most UPSTREAM_MAX and AGENT_TOKEN_MAX bytes, copied. */
void places_put(struct places *places, const uint8_t asset[PUBKEY_LEN], const struct place *place,
    uint64_t until_ms);
/* NULL: every place. */
void places_drop(struct places *places, const uint8_t asset[PUBKEY_LEN]);

#endif
