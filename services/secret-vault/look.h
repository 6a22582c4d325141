/* look - one ownership period, judged by who owns the asset now: noted in the ledger as held, locked or unlocked in the store, handed to the eraser. */
#ifndef SECRET_VAULT_LOOK_H
#define SECRET_VAULT_LOOK_H

#include <sys/queue.h>

#include "services/secret-vault/vault.h"

/* What a record of the ledger says of a period. */
enum look_verdict {
	LOOK_VOUCHED, /* the same owner ever since */
	LOOK_OVER,    /* somebody else was seen since */
	LOOK_UNKNOWN, /* there is no record */
};
enum look_verdict look_judge(const struct ledger_owner *record, const struct store_period *row);
/* What a finalized reading has to reach to be evidence that it is over: what was seen, and past the period's own beginning. */
uint64_t look_min_slot(const struct ledger_owner *record, const struct store_period *row);

struct look {
	struct vault *vault;
	struct store_period row; /* without the wrapped key */
	uint64_t noticed_us;     /* clock_boot_us when the event was read; 0: not for an event */
	uint64_t ticket;         /* of the event: follower_hold */
	uint64_t page;           /* of which look at all it is a part; 0: of none */
	bool has_asked;          /* the oracle */
	bool has_changed;        /* the store, in the last job */
	bool
	    is_locked; /* and only the oracle's word is missing: nobody else has to wait for that */
	/* Called once: is_good false: something did not answer, look again. The look is the callee's. */
	void (*done)(struct look *look, bool is_good);
	TAILQ_ENTRY(look) link;
};
void look_start(struct look *look);

#endif
