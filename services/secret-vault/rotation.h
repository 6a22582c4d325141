/* rotation - a change of the master key, online: the store gets a check of the next key, then every data key and every hand-over is sealed anew under it, in batches that are
 * each whole, then the next key takes the place of the one in use. Until then both are needed; after that the old one is not. Whatever ends this process at
 * whatever moment, the store says how to go on; several vaults on one store may do it together.
 */
#ifndef SECRET_VAULT_ROTATION_H
#define SECRET_VAULT_ROTATION_H

#include "services/secret-vault/vault.h"

#define ROTATION_BATCH 200

struct rotation *rotation_new(struct vault *vault);
void rotation_destroy(struct rotation **rotation);
/* Goes on, if the store says that the master key is being changed and the desk has both keys. Twice is once. */
void rotation_go_on(struct rotation *rotation);

/* In the worker's thread, in a writing transaction: begins (KEYSET_NEXT_CHECK), or finds it begun with the same key. kdf NULL: from a file.
 * ERR_CONFLICT key_unchanged, rotation_under_way (with another key). */
int rotation_begin(struct desk *desk, const struct master *next, const struct master_kdf *kdf,
    const char *by, struct error *err);
/* In the worker's thread, in a writing transaction: wraps ROTATION_BATCH data keys anew, then hand-overs; when none is left, ends the change. *left_r false: it has ended. */
int rotation_step(struct desk *desk, const char *by, bool *left_r, struct error *err);

#endif
