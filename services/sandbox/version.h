/* version - what is known of one snapshot of an agent, and of those that are kept: in the manifest (manifest.h), and, without a secret, in the record. */
#ifndef SANDBOX_VERSION_H
#define SANDBOX_VERSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/store.h"
#include "proto/vault.h"

#define VERSIONS_MAX 64
#define VERSION_OBJECT_LEN (20 + 1 + 16 + 8)   /* <number>-<16 hex>.archive */
#define VERSION_MANIFEST_LEN (20 + 1 + 16 + 9) /* <number>-<16 hex>.manifest */
#define VERSION_TRIGGER_MAX 16

struct version {
	uint64_t number, created_ms;
	uint64_t bytes, files; /* of what was saved */
	uint64_t stored_bytes; /* of the archive */
	uint8_t digest[32];    /* BLAKE2b-256 of the archive */
	uint8_t manifest[8];   /* first bytes of its manifest's digest; zeros in its own manifest */
	bool is_damaged;       /* its archive was found so */
	char trigger[VERSION_TRIGGER_MAX + 1];
	char boot[VAULT_BOOT_ID_LEN + 1]; /* that the archive was taken from */
	/* the archive; its number is that of the snapshot that it was made as, which is another one after a restore */
	char object[VERSION_OBJECT_LEN + 1];
};
struct versions {
	size_t n;
	struct version item[VERSIONS_MAX]; /* newest first */
};

bool version_object_is_good(const char *object);
uint64_t version_archive_number(const struct version *version);
/* What this one archive is sealed with, of the period's snapshot key: another one for every object, so that no try that came to nothing passes for the one after it, and
 * what packs knows nothing of any other. */
void version_archive_key(
    const uint8_t key[VAULT_SNAPSHOT_KEY_LEN], const char *object, uint8_t key_r[32]);
/* A new name; random. */
void version_object_make(uint64_t number, char object_r[VERSION_OBJECT_LEN + 1]);
void version_manifest_name(
    uint64_t number, const uint8_t digest[8], char name_r[VERSION_MANIFEST_LEN + 1]);

struct version *versions_find(struct versions *versions, uint64_t number); /* NULL: none */
bool versions_have_object(const struct versions *versions, const char *object);
/* As the newest; what is beyond keep is dropped from the list and told, oldest last. */
typedef void (*version_dropped)(void *arg, const struct version *version);
void versions_add(struct versions *versions, const struct version *version, size_t keep,
    version_dropped dropped, void *arg);
void versions_remove(struct versions *versions, uint64_t number);

#endif
