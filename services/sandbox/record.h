/* record - what this host holds for one asset, as it stands on disk: a file of its agent's name, written before a secret is fetched or anything is made
 * (architecture, rule 14), so that whatever happens to this process, the next one knows what to look at. No secret stands in it but placement and
 * gateway grant, which are sealed by the vault and of no use without the keys of this host's sandbox and llm-gateway.
 */
#ifndef SANDBOX_RECORD_H
#define SANDBOX_RECORD_H

#include "common/error.h"
#include "common/ledger.h"
#include "common/pubkey.h"
#include "proto/vault.h"
#include "services/sandbox/egress.h"
#include "services/sandbox/machine.h"
#include "services/sandbox/saved.h"

#define RECORD_TEXT_MAX 131072
#define RECORD_FORMER_MAX 64
#define RECORD_IMAGE_MAX 160

struct record_former { /* volume of an ownership period that is over */
	char wallet[PUBKEY_TEXT_MAX + 1];
	uint64_t period, over_at_ms; /* Unix */
	uint64_t number;             /* snapshot that the volume is of; 0: none, or not known */
	bool has_objects;            /* in the object storage: to be removed, too */
	bool is_erased;              /* the volume; the objects are left */
	bool is_moved;               /* the period went on at another host... */
	bool is_kept;                /* ...so its objects are, while this wallet is the owner */
};

struct record {
	char asset[PUBKEY_TEXT_MAX + 1];
	char wallet[PUBKEY_TEXT_MAX + 1]; /* whose it is; "": only former periods are left */
	uint64_t slot;                    /* of proof */
	bool has_period;                  /* period is known: a volume may exist */
	uint64_t period;
	char boot[VAULT_BOOT_ID_LEN + 1]; /* of the last start; "": none */
	char image[RECORD_IMAGE_MAX + 1]; /* name@sha256:digest */
	char kind[16];                    /* of it */
	enum machine_wish wish;
	size_t placement_len;
	uint8_t placement[256];
	size_t gateway_grant_len; /* 0: this host had no llm-gateway at the last start */
	uint8_t gateway_grant[256];
	struct egress egress; /* of the last start */
	bool allows_workers;  /* service workers; as of the last start */
	/* of the ledger, at the last start with the owner's session; "": none yet */
	char epoch[LEDGER_EPOCH_MAX + 1];
	struct saved saved;
	size_t nformer;
	struct record_former former[RECORD_FORMER_MAX];
};

/* The file's bytes; the caller wipes and frees them. */
char *record_text(const struct record *record);
/* id: the agent's, whose file it is. ERR_INVALID. */
int record_parse(
    const char *text, size_t len, const char *id, struct record *record_r, struct error *err);

/* The period that its volume is of, as the vault says: another one than before is over. */
void record_set_period(struct record *record, uint64_t period, uint64_t now_ms);
/* Its present period is over: what may have a volume is kept among the former ones. */
void record_end_period(struct record *record, uint64_t now_ms);
/* NULL: none of that period. */
struct record_former *record_find_former(
    struct record *record, const char *wallet, uint64_t period);
void record_drop_former(struct record *record, struct record_former *former);
/* Another host has it from now on, with its snapshots: what is left here is a volume to be erased. The objects are once another one is the owner: the other host
 * knows of them only if it has started the agent. */
void record_move_away(struct record *record, uint64_t now_ms);
/* Who is the owner now ("": nobody), for the periods that were moved away; true if it changes something. A sale that was none, after all, keeps them again. */
bool record_look_at_moved(struct record *record, const char *owner, uint64_t now_ms);
/* The next start needs its owner; nothing of it may use the gateway. */
void record_drop_placement(struct record *record);

#endif
