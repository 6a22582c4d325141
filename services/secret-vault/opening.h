/* opening - from a started process to a vault that catches up: tables, the store's id, its master keys, its high-water marks. Tried again each second until
 * the storage is there, and on `multiclaw vault unseal`; one try at a time.
 */
#ifndef SECRET_VAULT_OPENING_H
#define SECRET_VAULT_OPENING_H

#include "services/secret-vault/keyset.h"
#include "services/secret-vault/vault.h"

/* Fills in key_file and next_key_file (where the master key comes from files), for the first try. Still with the privileges of who started us. */
int opening_read_keys(struct vault *vault, struct error *err);

/* The next master key, from its file. ERR_NOT_FOUND next_key_missing. Caller owns the result. */
struct master *opening_read_next(const struct vault *vault, struct error *err);

struct opening *opening_new(struct vault *vault); /* tries at once */
void opening_destroy(struct opening **opening);

/* One try. The keys that it may use are owned by it. */
#define OPENING_KEYS 2
struct opening_try {
	struct master *keys[OPENING_KEYS];
	struct secret *passphrase;   /* NULL: none was given */
	bool is_passphrase_expected; /* where the master key comes from one */
	bool adopts;
	char by[96 + 1]; /* who unseals, for the audit entry; "": nobody, it is the start */

	/* what came of it: SEALED, FOREIGN, UNMARKED, or CATCHING_UP, for which the desk has its keys */
	enum vault_state state;
	char why[160];
	char key_id[2 * KEY_ID_LEN + 1], next_key_id[2 * KEY_ID_LEN + 1];
	struct secret *grant_key, *next_grant_key;
};
/* In the worker's thread, alone. -1: ERR_UNAUTHENTICATED passphrase_wrong, ERR_INVALID if it is not fit to be one, or the storage failed; then nothing
 * has changed. */
int opening_work(struct opening_try *attempt, struct desk *desk, struct error *err);
void opening_try_wipe(struct opening_try *attempt);

/* Tries again now, also in a vault that serves: its keys may have been changed by another. passphrase is taken over. done (may be NULL) is called once;
 * err NULL: the try was made, vault->state tells. ERR_BUSY while one is under way. */
typedef void (*opening_done)(void *arg, const struct error *err);
void opening_again(struct opening *opening, struct secret *passphrase, bool adopts, const char *by,
    opening_done done, void *arg);

#endif
