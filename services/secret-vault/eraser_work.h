/* eraser_work - what the eraser does in the worker's thread, besides what eraser.h shows to others. */
#ifndef SECRET_VAULT_ERASER_WORK_H
#define SECRET_VAULT_ERASER_WORK_H

#include "services/secret-vault/eraser.h"

#define ERASER_DUE_LEN 16

/* Takes one erasure from the hour's, in a writing transaction. *allows_r false: the breaker is tripped, and stays so in the store. */
int eraser_allow(struct desk *desk, uint64_t limit, bool *allows_r, struct error *err);
/* In a writing transaction: what it deletes or overwrites has to leave the store's files. */
int eraser_note_scrub(struct db *db, struct error *err);
/* The same, and that these bytes (the wrapping of a data key, a sealed hand-over) are what has to be gone. */
int eraser_note_trace(struct desk *desk, const void *bytes, size_t len, struct error *err);
/* Alone: deleted bytes leave the store's files. */
int eraser_scrub_work(struct desk *desk, struct error *err);

#endif
