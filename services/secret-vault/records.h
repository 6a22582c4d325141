/* records - reading and writing sealed records in the worker's thread: a store row, the data key, the high-water mark and the audit entry belong together
 * here, so that none is forgotten. All functions run inside a worker's job. */
#ifndef SECRET_VAULT_RECORDS_H
#define SECRET_VAULT_RECORDS_H

#include "services/secret-vault/worker.h"

/* A period that may be used: its row, with its data key open. */
struct open_period {
	struct store_period row;
	struct secret *data_key;
};
void open_period_close(struct open_period *period);
#define scoped_open_period __attribute__((cleanup(open_period_close)))

#define PLACE_LEN 16

/* Who holds the asset now, as the ledger says: what picks the period; and who has its agent. */
struct holding {
	char asset[PUBKEY_TEXT_MAX + 1], wallet[PUBKEY_TEXT_MAX + 1];
	uint64_t slot;       /* of the caller's own proof (session, grant): above other_slot */
	uint64_t other_slot; /* of the record: a period since before or at it is over */
	uint8_t place
	    [PLACE_LEN]; /* BLAKE2b-128 of the name of the host that has the agent; of "": none has it */
};
/* The live period of that holding: of that wallet, since above other_slot; of several the newest. 1: open; 0: there is none; -1: ERR_INTERNAL
 * secret_undecryptable or secret_rolled_back (a period of that wallet that the marks know is missing, or one that they know is gone is back);
 * ERR_UNAVAILABLE vault_period_locked (locked, and by this holding it should not be: the holder will look), vault_foreign_key, vault_sealed. */
int records_open_period(struct desk *desk, const struct holding *holding,
    struct open_period *period_r, struct error *err);
/* The same; made now if there is none (audit: "period"), with slot as its first proof (or the next one, if one of that slot was destroyed).
 * *made_r: it has to be held in the ledger (ledger_hold), as period_r->row says. ERR_CONFLICT vault_period_destroyed: it takes a later proof. */
int records_make_period(struct desk *desk, const struct holding *holding,
    struct open_period *period_r, bool *made_r, struct error *err);
/* The operators' own. make: as above. 1, 0, -1. */
int records_open_global(
    struct desk *desk, bool make, struct open_period *period_r, struct error *err);

enum record_found {
	RECORD_NONE,    /* never was */
	RECORD_DELETED, /* was, and its tombstone is good */
	RECORD_SET,
};
struct record {
	enum record_found found;
	uint64_t version, updated_ms;
	struct secret *value; /* RECORD_SET; owned: secret_destroy */
};
/* -1: secret_undecryptable, or secret_rolled_back if it is older than its mark or missing although it has one. */
int records_read(struct desk *desk, const struct open_period *period, const char *kind,
    const char *name, struct record *record_r, struct error *err);
/* Begins the preview of a value that goes into containers as a file: sealed with it, so that nobody who writes to the store can make one go there. No UTF-8 has it. */
#define RECORD_AS_FILE "\xff"
/* Next version; seals value and preview, raises the mark. preview: text to be shown, "" for none; may begin with RECORD_AS_FILE. kind and name are checked already (value.h).
 * ERR_CONFLICT secrets_exhausted at 1,000 of a period, or 4,000 names with the deleted ones. */
int records_write(struct desk *desk, const struct open_period *period, const char *kind,
    const char *name, const void *value, size_t len, const char *preview, uint64_t *version_r,
    struct error *err);
/* A tombstone, also over what does not open or is too old. 1: there was something, 0: nothing. */
int records_delete(struct desk *desk, const struct open_period *period, const char *kind,
    const char *name, struct error *err);
/* What may be shown of each. Each preview and each tombstone is opened, each version judged by its mark, and every mark has to have its record: a list fails as a
 * whole if one of them fails. Values are not looked at. */
struct record_shown {
	char kind[8 + 1], name[64 + 1], preview[32 + 1 + 16];
	uint64_t version, updated_ms;
	bool deleted;
	bool is_as_file; /* RECORD_AS_FILE; preview is without it */
};
/* Tombstones are left out. */
typedef void (*record_shown_row)(void *arg, const struct record_shown *shown);
int records_list(struct desk *desk, const struct open_period *period, record_shown_row row,
    void *arg, struct error *err);
/* The whole of it, tombstones too, by kind and name, byte by byte. Good for the transaction that it was made in. */
struct record_list {
	const struct open_period *period; /* borrowed */
	struct record_shown *item;
	size_t len, room;
};
int records_list_all(struct desk *desk, const struct open_period *period,
    struct record_list *list_r, struct error *err);
/* Only kind and name of each that store or marks know, nothing of it judged: who needs one reads it (records_read). What is not among them never was. */
int records_list_names(struct desk *desk, const struct open_period *period,
    struct record_list *list_r, struct error *err);
void record_list_close(struct record_list *list);
#define scoped_record_list __attribute__((cleanup(record_list_close)))
/* Borrowed from the list; NULL: never was. */
const struct record_shown *record_list_find(
    const struct record_list *list, const char *kind, const char *name);
/* The value of an item that is not deleted: of exactly the version that the list judged. Caller owns the result. NULL: secret_undecryptable, storage_damaged. */
struct secret *records_read_listed(struct desk *desk, const struct record_list *list,
    const struct record_shown *item, struct error *err);

/* user, global or none for one provider (rule: undecryptable is an error). */
struct resolved {
	const char *source;   /* "user", "global", "none" */
	const char *own;      /* "set", "deleted", "none" */
	const char *delivery; /* "gateway", "file"; "": there is none */
	char preview[32 + 1];
};
/* own: of records_list_all; global: of records_list_names, so that one that is damaged is trouble only for who would use it. NULL if there is no such period.
 * Of a global one it is seen that its value opens, nothing of it is given. opens_own: that of an own one
 * is opened too; without it the caller reads the value itself, and fails if that does not open. */
int records_resolve(struct desk *desk, const struct record_list *own,
    const struct record_list *global, const char *provider, bool opens_own,
    struct resolved *resolved_r, struct error *err);

/* Appends to the period's chain, or, with period NULL, to the global one. */
struct audit_note {
	const char *act, *by, *kind, *name, *detail;
	uint64_t version;
};
int records_audit(struct desk *desk, const struct period *period, const struct audit_note *note,
    struct error *err);
/* len of them, one after the other. */
int records_audit_all(struct desk *desk, const struct period *period, const struct audit_note *note,
    size_t len, struct error *err);

#endif
