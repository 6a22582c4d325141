/* saved - what this host knows of the snapshots of an agent's present ownership period, as it stands in the record: pure. The vault knows which one is the newest; number says what
 * this host's volume was last saved as, or restored from, and so whether it is current.
 */
#ifndef SANDBOX_SAVED_H
#define SANDBOX_SAVED_H

#include <jansson.h>

#include "common/error.h"
#include "services/sandbox/version.h"

#define SAVED_WHY_MAX 160
#define SAVED_OUTCOME_MAX 16

struct saved_pending {     /* told to the vault, which may or may not have heard it */
	uint64_t until_ms; /* Unix: until then it may still be heard; 0: none is pending */
	uint8_t digest[32], fingerprint[32];
	bool must_fill; /* a restore: the volume is not what it says */
	struct version version;
};
struct saved {
	uint64_t number;    /* 0: none */
	uint8_t digest[32]; /* of its manifest */
	uint8_t fingerprint[32];
	bool is_unsaved; /* an agent ran since, and may have changed it */
	bool is_stale;   /* another host went on: this volume is not the newest state */
	bool must_fill;  /* the volume has to be filled from number before it is used */
	char filling[VAULT_BOOT_ID_LEN + 1]; /* the start that does so; "": none yet */
	struct versions versions;            /* newest first: of number, if there is one */
	struct saved_pending pending;
	char trying[VERSION_OBJECT_LEN + 1]; /* an object that may be there for nothing; "": none */
	char handed[VERSION_MANIFEST_LEN + 1]; /* manifest of what is handed over; "": nothing */
	char outcome[SAVED_OUTCOME_MAX + 1];   /* of the last try; "": none */
	char why[SAVED_WHY_MAX + 1];           /* it made none */
};

/* Where a start takes its files from. */
enum saved_source { SAVED_LOCAL_ANY, SAVED_LOCAL, SAVED_FROM_STORE };
/* What the vault says is the newest: settles what is pending. dropped: versions that are not kept any more. */
enum saved_source saved_settle(struct saved *saved, uint64_t newest, const uint8_t digest[32],
    uint64_t now_ms, size_t keep, version_dropped dropped, void *arg);
/* The vault has it: what was pending is the newest, and what the volume is. */
void saved_keep_pending(struct saved *saved, size_t keep, version_dropped dropped, void *arg);
/* The start that fills the volume has begun with it, and it runs. */
void saved_filled(struct saved *saved, const char *boot);
bool saved_has_objects(const struct saved *saved);

json_t *saved_json(const struct saved *saved);              /* caller owns the result */
bool saved_take(const json_t *from, struct saved *saved_r); /* false: it is damaged */

#endif
