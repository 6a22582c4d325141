/* keyset - which master keys the store is sealed with: a check of the one in use and, while it is being changed, a check of the next. The store has the say:
 * whatever is wrapped anew looks here first, in the same transaction, so that no vault goes on with a key that another has put out of use.
 * Used by the worker's thread alone.
 */
#ifndef SECRET_VAULT_KEYSET_H
#define SECRET_VAULT_KEYSET_H

#include "services/secret-vault/worker.h"

/* Names in the store (store_get). */
#define KEYSET_STORE_ID "store_id"
#define KEYSET_CHECK "key_check"
#define KEYSET_NEXT_CHECK "key_check_next"
#define KEYSET_KDF "kdf"
#define KEYSET_NEXT_KDF "kdf_next"
#define STORE_ID_LEN 16

struct keyset_key {
	bool is_set;
	uint8_t check[SEAL_CHECK_LEN];
	bool has_kdf; /* it comes from a passphrase */
	struct master_kdf kdf;
};
struct keyset {
	bool has_store_id;
	uint8_t store_id[STORE_ID_LEN];
	struct keyset_key now, next;
};
/* Inside a transaction. */
int keyset_read(struct db *db, struct keyset *keyset_r, struct error *err);
const uint8_t *keyset_key_id(const struct keyset_key *key); /* KEY_ID_LEN bytes */

/* The desk's key of this id; NULL. Borrowed. */
const struct master *keyset_find(const struct desk *desk, const uint8_t id[KEY_ID_LEN]);
/* The desk's key under which data keys are wrapped now: the next one while the master key is being changed. Borrowed; NULL: ERR_UNAVAILABLE
 * vault_foreign_key, because the store is sealed with another one since (this vault will look for it by itself). Inside a writing transaction. */
const struct master *keyset_wrapper(const struct desk *desk, struct error *err);

#endif
