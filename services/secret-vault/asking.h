/* asking - a call made for an owner, from its token to its answer: session says who it is (never router), the ledger says who holds the asset at that
 * moment, the worker does the work in one transaction with its audit entry, and before anything leaves it is looked at once more that there is a lease
 * and that no event of the asset came since (I2): else the whole is asked again, three times at most.
 */
#ifndef SECRET_VAULT_ASKING_H
#define SECRET_VAULT_ASKING_H

#include "services/secret-vault/vault.h"

struct asking {
	struct vault *vault;
	struct bus_request *request;
	const void *req; /* of the call; valid until the answer */
	void *
	    rsp; /* zeroed, of the call's size; wiped and freed by asking. Work that succeeds leaves nothing behind its counts' data (answers.h). */
	struct holding holding; /* once known */
	char by[96 + 1];        /* for audit entries: "owner <wallet>", "sandbox <key>" */
	bool has_made; /* work made a period: it will be held in the ledger before the answer */
	/* work changed which LLM key a name stands for: an event says so before the answer, so that gateways forget what they have */
	bool has_changed;
	void *extra; /* the handler's own; freed with free() after wipe of extra_size bytes */
	size_t extra_size;
};
struct asking_plan {
	const struct proto_call *call;
	enum worker_kind kind;
	/* the answer lets something out: event and lease are looked at before it goes. Work of kind WORKER_WRITE that only stores needs it not. */
	bool releases;
	/* With a session of the agent's own origin, too: it may start the agent. */
	bool takes_agents;
	/* The token bucket of the asset under this name (puts_per_minute), taken from once, when it is known who holds the asset. NULL: none. */
	const char *limit_kind;
	/* On the loop, once the holding is known and before the work: ends in asking_go_on, at once or later. Called again when the whole is asked again
	 * (what it may do once only, it notes in extra). NULL: nothing to do. */
	void (*before)(struct asking *asking);
	int (*work)(struct asking *asking, struct desk *desk,
	    struct error *err); /* in the worker's thread; fills rsp */
	/* On the loop, when all has been judged good and the answer is about to go. -1: the call fails. NULL: nothing to do. */
	int (*finish)(struct asking *asking, struct error *err);
};
/* What before ends in. err NULL: on to the work; else the call fails with it (borrowed). */
void asking_go_on(struct asking *asking, const struct error *err);
/* token: of the owner; NULL: holding is filled in by the caller already (asset, wallet, slot), as for a grant. extra is taken over. */
void asking_begin(struct vault *vault, const struct asking_plan *plan, const char *token,
    const struct holding *holding, const void *req, struct bus_request *request, void *extra,
    size_t extra_size);

#endif
