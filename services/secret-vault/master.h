/* master - the master key: where it comes from, and the keys derived from it. It wraps data keys; nothing else is sealed with it.
 *
 * A key file holds 32 random bytes in base64 on one line, mode 0600 or 0400, no links. Refused, naming the file and never its contents: readable by others,
 * empty, short, not base64, text that somebody typed (too few different bytes), a known placeholder. From a passphrase: Argon2id 1.3 (libsodium, moderate
 * limits: 256 MiB, 3 passes) over a random salt that is kept in the store with the limits.
 */
#ifndef SECRET_VAULT_MASTER_H
#define SECRET_VAULT_MASTER_H

#include "common/secret.h"
#include "services/secret-vault/store.h"

#define MASTER_LEN 32
#define PASSPHRASE_MIN 12

struct master;
/* Caller owns the result of each. */
struct master *master_read_file(const char *path, struct error *err);
struct master_kdf { /* is kept in the store as it is, little-endian numbers */
	uint8_t salt[16];
	uint64_t opslimit, memlimit;
};
void master_kdf_new(struct master_kdf *kdf_r);
#define MASTER_KDF_LEN 32
void master_kdf_encode(const struct master_kdf *kdf, uint8_t bytes_r[MASTER_KDF_LEN]);
/* Refuses limits below 19 MiB and 2 passes, where guessing gets cheap, or above 1 GiB and 10 passes: the store is not trusted with them. */
int master_kdf_decode(const void *bytes, size_t len, struct master_kdf *kdf_r, struct error *err);
/* Takes about a second. Refuses one that is short or a placeholder. */
struct master *master_derive(
    const struct secret *passphrase, const struct master_kdf *kdf, struct error *err);
void master_destroy(struct master **master);
/* A copy that another thread may use and destroy. */
struct master *master_copy(const struct master *master);

/* Derived: BLAKE2b-256 keyed by the master key, over label NUL purpose NUL; the id is 8 bytes of that for "multiclaw master id v1" and "", a subkey all
 * of it for "multiclaw master subkey v1" and its purpose. The id is public. */
const uint8_t *master_id(const struct master *master); /* KEY_ID_LEN bytes */
char *master_id_text(const uint8_t id[KEY_ID_LEN], char text[2 * KEY_ID_LEN + 1]);
/* 32 bytes for one purpose ("wrap", "grant", "check"). Caller owns the result. */
struct secret *master_subkey(const struct master *master, const char *purpose);
const struct secret *master_wrap_key(
    const struct master *master); /* the one for "wrap"; borrowed */

#endif
