/* manifest - what is stored beside the archives and says which of them are an agent's snapshots: of this number and of those before it that are kept. Encrypted and authenticated
 * by a key of the ownership period; the vault knows number and digest of the newest (vault.keep), so that no other one is taken for it.
 *
 * Bytes: 24 of nonce, then XChaCha20-Poly1305 (IETF) of msgpack; its key is derived from the period's snapshot key, its additional data are agent, wallet, period and
 * number. The msgpack: [1, number, roots, [[number, created_ms, bytes, files, stored_bytes, digest, manifest, damaged, trigger, boot, object], ...]].
 */
#ifndef SANDBOX_MANIFEST_H
#define SANDBOX_MANIFEST_H

#include "common/error.h"
#include "proto/warden.h"
#include "services/sandbox/version.h"

#define MANIFEST_BYTES_MAX 32768
#define MANIFEST_HANDED_NUMBER 1 /* of what is handed over; its period is 0 */

struct manifest_of {        /* borrowed */
	const uint8_t *key; /* VAULT_SNAPSHOT_KEY_LEN */
	const char *agent, *wallet;
	uint64_t period, number;
};
struct manifest {
	char roots[WARDEN_ROOTS_BYTES]; /* of the newest, as in warden.h */
	struct versions versions;       /* the first one is of its number */
};

/* Returns how many bytes it is. */
size_t manifest_encode(const struct manifest_of *of, const struct manifest *manifest,
    uint8_t bytes_r[MANIFEST_BYTES_MAX]);
/* ERR_INVALID: it is not of this agent, owner, period and number, or altered, or of a later version of the format. */
int manifest_decode(const struct manifest_of *of, const uint8_t *bytes, size_t len,
    struct manifest *manifest_r, struct error *err);
void manifest_digest(const uint8_t *bytes, size_t len, uint8_t digest_r[VAULT_DIGEST_LEN]);

#endif
