/* snapshot - which snapshot of an ownership period is the newest: its number and the digest of its manifest, sealed with the period's data key, and a mark, so that
 * putting back an old store brings no older one. In the worker's thread, inside a transaction. */
#ifndef SECRET_VAULT_SNAPSHOT_H
#define SECRET_VAULT_SNAPSHOT_H

#include "services/secret-vault/records.h"

#define SNAPSHOT_DIGEST_LEN 32

struct snapshot {
	uint64_t number; /* 0: there is none */
	uint8_t digest[SNAPSHOT_DIGEST_LEN];
};
/* -1: ERR_INTERNAL secret_rolled_back (older than its mark, or missing although it has one), secret_undecryptable. */
int snapshot_read(struct desk *desk, const struct open_period *period, struct snapshot *snapshot_r,
    struct error *err);
/* One made from number base is the newest now. 1: it is; 0: it was so already, with this digest; -1: ERR_CONFLICT snapshot_overtaken, or as above. */
int snapshot_keep(struct desk *desk, const struct open_period *period, uint64_t base,
    const uint8_t digest[SNAPSHOT_DIGEST_LEN], struct error *err);

#endif
