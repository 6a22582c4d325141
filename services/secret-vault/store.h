/* store - what the vault keeps, as typed statements on a db: periods with their wrapped data keys, records, audit entries, the newest snapshots, hand-overs,
 * a few values of its own. It knows bytes, not what they mean: sealing is seal.h's, judging is holder.h's. Used by the worker's thread alone, inside a transaction of db.h.
 */
#ifndef SECRET_VAULT_STORE_H
#define SECRET_VAULT_STORE_H

#include "common/audit.h"
#include "services/secret-vault/db.h"
#include "services/secret-vault/period.h"

#define KEY_ID_LEN 8
#define WRAPPED_MAX 128

/* Makes the tables if there are none, adds those that an older store lacks; refuses a schema from the future. Its own transaction. */
int store_create(struct db *db, struct error *err);

/* ---- a few named values: store id, key checks, derivation parameters ---- */
/* *len_r: 0 if there is none. ERR_INVALID if it does not fit. */
int store_get(
    struct db *db, const char *name, void *buf, size_t size, size_t *len_r, struct error *err);
int store_set(struct db *db, const char *name, const void *bytes, size_t len, struct error *err);
int store_unset(struct db *db, const char *name, struct error *err);

/* ---- periods ---- */
/* live: usable. locked: somebody else was seen to own the asset; nothing is released; the key is still there. destroyed: the key is gone, the row stays. */
/* clang-format off */
#define PERIOD_STATES(X) X(LIVE, "live") X(LOCKED, "locked") X(DESTROYED, "destroyed")
/* clang-format on */
enum period_state {
#define PERIOD_STATE_ENUM(name, text) PERIOD_##name,
	PERIOD_STATES(PERIOD_STATE_ENUM)
#undef PERIOD_STATE_ENUM
};
struct store_period {
	uint64_t id;
	struct period period;
	uint64_t
	    since; /* slot from which it is proven: period.slot, or later if it was reinstated; part of what is sealed */
	enum period_state state;
	uint8_t key_id[KEY_ID_LEN]; /* of the master key that wraps its data key */
	uint8_t wrapped[WRAPPED_MAX];
	size_t wrapped_len; /* 0: destroyed */
	uint64_t created_ms, changed_ms;
};
typedef bool (*store_period_row)(void *arg, const struct store_period *period);

/* Sets id. ERR_CONFLICT if the period is there already. */
int store_period_add(struct db *db, struct store_period *period, struct error *err);
/* 1: found, 0: none, -1 */
int store_period_find(
    struct db *db, const struct period *period, struct store_period *period_r, struct error *err);
/* All of an asset, newest slot first; row must not call the store. */
int store_periods_of(
    struct db *db, const char *asset, store_period_row row, void *arg, struct error *err);
/* At most max of the periods that are not destroyed and whose id is above after, in order of id. Reconciling goes through them in pages. */
int store_periods_after(
    struct db *db, uint64_t after, size_t max, store_period_row row, void *arg, struct error *err);
/* At most max whose data key is wrapped by another master key than this one. */
int store_periods_not_under(struct db *db, const uint8_t key_id[KEY_ID_LEN], size_t max,
    store_period_row row, void *arg, struct error *err);
int store_period_lock(struct db *db, uint64_t id, enum period_state live_or_locked, uint64_t now_ms,
    struct error *err);
/* New wrapping, and since. */
int store_period_rewrap(struct db *db, const struct store_period *period, struct error *err);
/* Wipes the wrapped key, deletes the records and which snapshot was the newest. db_scrub("periods") and ("records") are the caller's, after the commit. */
int store_period_destroy(struct db *db, uint64_t id, uint64_t now_ms, struct error *err);
struct store_counts {
	uint64_t periods, locked, destroyed; /* periods: not destroyed */
};
int store_count_periods(struct db *db, struct store_counts *counts_r, struct error *err);
int store_count_under(
    struct db *db, const uint8_t key_id[KEY_ID_LEN], uint64_t *periods_r, struct error *err);

/* ---- records ---- */
struct store_record {
	uint64_t period_id;
	char kind[8 + 1], name[64 + 1];
	uint64_t version;
	bool deleted; /* a tombstone: value is sealed emptiness */
	uint64_t updated_ms;
	const uint8_t *value, *preview; /* sealed; of a result: borrowed for the call of row */
	size_t value_len, preview_len;
};
typedef bool (*store_record_row)(void *arg, const struct store_record *record);
/* Inserts or replaces. */
int store_record_put(struct db *db, const struct store_record *record, struct error *err);
/* row is called once, or not at all. */
int store_record_find(struct db *db, uint64_t period_id, const char *kind, const char *name,
    store_record_row row, void *arg, struct error *err);
/* By kind and name, above (after_kind, after_name) ("" and "": from the beginning), tombstones included. with_values: else value_len is 0. */
int store_records_of(struct db *db, uint64_t period_id, const char *after_kind,
    const char *after_name, size_t max, bool with_values, store_record_row row, void *arg,
    struct error *err);
int store_count_records(struct db *db, uint64_t period_id, uint64_t *live_r, struct error *err);

/* ---- snapshots: the newest of each period ---- */
#define SEALED_MAX 128
struct store_snapshot {
	uint64_t period_id, number, updated_ms;
	uint8_t sealed[SEALED_MAX]; /* digest of its manifest */
	size_t sealed_len;
};
/* Inserts or replaces. */
int store_snapshot_put(struct db *db, const struct store_snapshot *snapshot, struct error *err);
/* 1: found, 0: none, -1 */
int store_snapshot_find(
    struct db *db, uint64_t period_id, struct store_snapshot *snapshot_r, struct error *err);

/* ---- hand-overs: one of each asset, or what is left of it ---- */
struct store_handover {
	struct period from, to; /* of the same asset; to.wallet "": nobody yet */
	uint64_t version, updated_ms;
	uint8_t key_id[KEY_ID_LEN]; /* of the master key that it is sealed under */
	uint8_t sealed[SEALED_MAX];
	size_t sealed_len;
};
typedef bool (*store_handover_row)(void *arg, const struct store_handover *handover);
/* Inserts or replaces. */
int store_handover_put(struct db *db, const struct store_handover *handover, struct error *err);
/* 1: found, 0: none, -1 */
int store_handover_find(
    struct db *db, const char *asset, struct store_handover *handover_r, struct error *err);
/* At most max that are sealed under another master key than this one. */
int store_handovers_not_under(struct db *db, const uint8_t key_id[KEY_ID_LEN], size_t max,
    store_handover_row row, void *arg, struct error *err);

/* ---- audit ---- */
/* The newest entry of a chain, and of all; zeros where there is none. In a transaction that writes they hold until its end for who appends with them alone:
 * nobody else does meanwhile. */
struct store_heads {
	uint64_t seq, all_seq;
	uint8_t hash[AUDIT_HASH_LEN], all_hash[AUDIT_HASH_LEN];
};
int store_audit_heads(
    struct db *db, const char *chain, struct store_heads *heads_r, struct error *err);
/* Fills in seq, prev, hash, all_seq, all_hash, and appends. heads: of the entry's chain; the entry is the newest then. */
int store_audit_append(
    struct db *db, struct store_heads *heads, struct audit_entry *entry, struct error *err);
typedef bool (*store_audit_row)(void *arg, const struct audit_entry *entry);
int store_audit_of(struct db *db, const char *chain, uint64_t after_seq, size_t max,
    store_audit_row row, void *arg, struct error *err);
int store_audit_all(struct db *db, uint64_t after_all_seq, size_t max, store_audit_row row,
    void *arg, struct error *err);
/* chain NULL: of all. seq 0 and zeros if there is nothing. */
int store_audit_head(struct db *db, const char *chain, uint64_t *seq_r,
    uint8_t head_r[AUDIT_HASH_LEN], struct error *err);

#endif
