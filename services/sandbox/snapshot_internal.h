/* snapshot_internal - what the steps of a snapshot share. Each ends in the next one, or in snapshot_fail or snapshot_end, after which it is gone. */
#ifndef SANDBOX_SNAPSHOT_INTERNAL_H
#define SANDBOX_SNAPSHOT_INTERNAL_H

#include "proto/store_key.h"
#include "services/sandbox/fetch.h"
#include "services/sandbox/manifest.h"
#include "services/sandbox/snapshot.h"
#include "services/sandbox/store_link.h"

struct snapshot {
	struct agent *agent; /* NULL: given up; whoever is still to call it frees it */
	struct sandbox *sandbox;
	enum snapshot_trigger trigger;
	uint64_t begun_us;
	uint64_t bytes, total_bytes; /* so far, by the driver */

	struct fetch *fetch;
	char grant_boot[VAULT_BOOT_ID_LEN + 1];
	struct files *files;
	struct secret *key; /* of archive and manifest */

	char roots[WARDEN_ROOTS_BYTES], excluded[WARDEN_ROOTS_BYTES];
	struct version version;
	uint8_t fingerprint[32];

	int out;         /* write end of the archive's pipe; -1 */
	uint64_t ticket; /* of what the store does */
	bool is_made, is_stored;
	uint64_t stored_bytes;
	uint8_t stored_digest[32];
	bool has_archive, has_manifest; /* in the store, for nothing if this comes to nothing */
	/* what the vault is told is the newest: this one or, is_of_before, the one that is pending */
	bool is_told; /* it may have heard of it: what is stored stays until that is known */
	uint64_t told_number;
	uint8_t told_digest[VAULT_DIGEST_LEN];

	size_t manifest_len;
	uint8_t manifest[MANIFEST_BYTES_MAX], manifest_digest[VAULT_DIGEST_LEN];
	char manifest_name[VERSION_MANIFEST_LEN + 1];
	bool is_awaited; /* by a record's write, or the vault: it cannot be freed */
	unsigned tries;
	bool is_of_before;
	struct event *timer; /* of the step that is under way */
	void (*on_timer)(struct snapshot *snapshot);
};

bool snapshot_is_given_up(
    struct snapshot *snapshot); /* each callback that cannot be cancelled begins with this */
bool snapshot_is_brief(const struct error *err); /* of an answer: not now, rather than no */
void snapshot_fail(struct snapshot *snapshot, const char *outcome, const struct error *err);
void snapshot_end(struct snapshot *snapshot, const char *outcome, const char *why);
void snapshot_wait(
    struct snapshot *snapshot, uint64_t ms, void (*on_timer)(struct snapshot *snapshot));
bool snapshot_key_of(
    const struct snapshot *snapshot, const char *name, char key[STORE_KEY_MAX + 1]);
struct manifest_of snapshot_of(const struct snapshot *snapshot);

void snapshot_keep_pending(struct snapshot *snapshot); /* snapshot_commit.c; then snapshot_go_on */
void snapshot_go_on(struct snapshot *snapshot);
/* snapshot_objects.c. False: the store was not asked. */
bool snapshot_delete_key(struct sandbox *sandbox, const char *key);
void snapshot_archive(struct snapshot *snapshot); /* snapshot_archive.c; then snapshot_commit */
void snapshot_commit(struct snapshot *snapshot);  /* snapshot_commit.c; then snapshot_end */
void snapshot_clear_handed(struct snapshot *snapshot); /* then snapshot_archive, or the end */

#endif
