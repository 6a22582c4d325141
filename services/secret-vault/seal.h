/* seal - the envelope: master key -> data key of a period -> record. XChaCha20-Poly1305 (libsodium, IETF), a random 24-byte nonce in front of the ciphertext.
 *
 * Associated data, texts (the first of each, and ids, too) as a 4-byte little-endian length and bytes, numbers as 8 bytes little-endian:
 *	data key: "multiclaw data key v1" master id, asset, wallet, slot, since
 *	record:   "multiclaw record v1" asset, wallet, slot, kind, name, version, purpose
 *	check:    "multiclaw master check v1" master id, store id
 *	hand-over: "multiclaw hand-over v1" master id, asset, giver's wallet and slot, receiver's wallet and slot, version
 *	volume:   "multiclaw volume v1" asset, wallet, slot
 *	snapshots: "multiclaw snapshots v1" asset, wallet, slot
 * The last two are no associated data: the keys of the period's volume and of its snapshots are BLAKE2b-256 keyed with the data key over these bytes, the same
 * at each start. The digest of the newest snapshot is sealed as a record: kind snapshot, no name, its number as version.
 * A data key is sealed under the master's key for "wrap", the check under that for "check", a hand-over under that for
 * "hand-over", a record under the data key of its period,
 * so that no ciphertext opens in another's place: not for another period, name, kind, version or purpose, nor under another master key.
 * A failure to open is ERR_INTERNAL with reason secret_undecryptable: never a fall-through to something else.
 */
#ifndef SECRET_VAULT_SEAL_H
#define SECRET_VAULT_SEAL_H

#include "services/secret-vault/master.h"
#include "services/secret-vault/period.h"

#define SEAL_OVERHEAD 40 /* nonce 24, tag 16 */
#define DATA_KEY_LEN 32

/* clang-format off */
#define SEAL_PURPOSES(X) X(VALUE, "value") X(PREVIEW, "preview") X(TOMBSTONE, "tombstone") X(DIGEST, "digest")
/* clang-format on */
enum seal_purpose {
#define SEAL_PURPOSE_ENUM(name, text) SEAL_##name,
	SEAL_PURPOSES(SEAL_PURPOSE_ENUM)
#undef SEAL_PURPOSE_ENUM
};

struct secret *data_key_new(void); /* random; caller owns the result */
/* Fills in key_id, wrapped, wrapped_len from period and since. */
void data_key_wrap(
    const struct master *master, const struct secret *data_key, struct store_period *period);
/* ERR_INTERNAL secret_undecryptable; ERR_UNAVAILABLE vault_foreign_key if it is wrapped by a key of another id. Caller owns the result. */
struct secret *data_key_unwrap(
    const struct master *master, const struct store_period *period, struct error *err);

/* key_r: the caller's, who wipes it. */
void data_key_volume(
    const struct secret *data_key, const struct period *period, uint8_t key_r[DATA_KEY_LEN]);
void data_key_snapshots(
    const struct secret *data_key, const struct period *period, uint8_t key_r[DATA_KEY_LEN]);
/* What placements of that period are signed with: it changes with the period, never with the master key. Caller owns the result. */
struct secret *data_key_placements(const struct secret *data_key, const struct period *period);

/* Fills in key_id, sealed, sealed_len from all the rest. len: HANDOVER_LEN (key, digest of the manifest), or 0: nothing is handed over. */
#define HANDOVER_LEN 64
void seal_handover(
    const struct master *master, const uint8_t *bytes, size_t len, struct store_handover *handover);
/* bytes_r: the caller's, who wipes it. 0 or -1; ERR_INTERNAL secret_undecryptable. */
int seal_open_handover(const struct master *master, const struct store_handover *handover,
    uint8_t bytes_r[HANDOVER_LEN], size_t *len_r, struct error *err);

struct seal_name {
	const struct period *period;
	const char *kind, *name;
	uint64_t version;
	enum seal_purpose purpose;
};
/* sealed_r holds len + SEAL_OVERHEAD bytes. */
void seal_record(const struct secret *data_key, const struct seal_name *name, const void *bytes,
    size_t len, uint8_t *sealed_r);
/* Caller owns the result; it may be empty only for purposes other than VALUE. */
struct secret *seal_open(const struct secret *data_key, const struct seal_name *name,
    const void *sealed, size_t len, struct error *err);

/* The same into a buffer of the caller's, who wipes it: guarded pages cost more than opening does, and what is only looked at needs none. 0 or -1; ERR_INTERNAL
 * secret_undecryptable too if it does not fit. */
int seal_open_into(const struct secret *data_key, const struct seal_name *name, const void *sealed,
    size_t len, uint8_t *bytes_r, size_t size, size_t *len_r, struct error *err);

/* Does the store belong to this master key? The check is a sealed constant that the store keeps with the key's id. */
#define SEAL_CHECK_LEN (KEY_ID_LEN + SEAL_OVERHEAD + 16)
void seal_check_make(
    const struct master *master, const uint8_t store_id[16], uint8_t check_r[SEAL_CHECK_LEN]);
/* ERR_CONFLICT vault_foreign_key, with both ids in the text. */
int seal_check(const struct master *master, const uint8_t store_id[16], const void *check,
    size_t len, struct error *err);

#endif
