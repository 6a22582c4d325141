/* handover - what the owner of an asset leaves to the next one: the key that opens it and the digest of its manifest, sealed with the master key, because it has to
 * outlive the giver's data key. One of each asset. The first ownership period that begins after it, whosever it is, is its receiver for good: that is fixed when
 * that period is made, and sealed. No other gets it, and that one not before the giver's period is destroyed, which takes evidence at finalized: whoever destroys
 * a giver's period on another ground drops what it gave in the same transaction (handover_forget, handover_drop). What was taken back, or was not wanted, stays
 * as a sealed nothing with a version, and a mark, so that putting back an old store brings nothing back.
 * One that does not open, or is older than its mark, is told in the log and counts as none: the next owner has to be able to start. In the worker's thread, inside
 * a writing transaction.
 */
#ifndef SECRET_VAULT_HANDOVER_H
#define SECRET_VAULT_HANDOVER_H

#include "services/secret-vault/records.h"

#define HANDOVER_KEY_LEN 32
#define HANDOVER_DIGEST_LEN 32

/* Replaces what was there. ERR_DENIED grant_refused: a later period has begun already. */
int handover_put(struct desk *desk, const struct open_period *giver,
    const uint8_t key[HANDOVER_KEY_LEN], const uint8_t digest[HANDOVER_DIGEST_LEN],
    struct error *err);
enum handover_part { HANDOVER_NONE, HANDOVER_GIVER, HANDOVER_RECEIVER };
/* By its giver or its receiver: there is none any more. part_r: which the period was. */
int handover_drop(
    struct desk *desk, const struct period *period, enum handover_part *part_r, struct error *err);

/* The caller wipes it. */
struct handed {
	uint8_t key[HANDOVER_KEY_LEN], digest[HANDOVER_DIGEST_LEN];
	struct period from;
};
/* What the period is the receiver of. 1; 0: nothing, or not yet: the giver's period is not destroyed; -1. */
int handover_read(
    struct desk *desk, const struct period *receiver, struct handed *handed_r, struct error *err);

/* The period was made just now. */
int handover_begin(struct desk *desk, const struct period *period, struct error *err);
/* The period is destroyed: nobody can receive any more what was for it. What it gave stays. */
int handover_end(struct desk *desk, const struct period *period, struct error *err);
/* The giver's period is the present one again (reinstated): whatever began meanwhile is no receiver. */
int handover_reopen(struct desk *desk, const struct period *giver, struct error *err);
/* What a wallet gave or was to receive. */
int handover_forget(struct desk *desk, const char *asset, const char *wallet, struct error *err);

/* At most max of them are sealed anew under another master key; what opens under none at hand is none from then on. *left_r: there were some. */
#define HANDOVER_BATCH 200
int handover_rewrap(struct desk *desk, const struct master *next, bool *left_r, struct error *err);

#endif
