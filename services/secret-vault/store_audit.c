#include <string.h>

#include "services/secret-vault/store_row.h"

static bool read_heads(void *arg, struct store_row *row)
{
	struct store_heads *heads = arg;

	if (store_row_number(row) == 0) {
		heads->seq = store_row_number(row);
		store_row_bytes(row, heads->hash, AUDIT_HASH_LEN);
	} else {
		heads->all_seq = store_row_number(row);
		store_row_bytes(row, heads->all_hash, AUDIT_HASH_LEN);
	}
	return true;
}

int store_audit_heads(
    struct db *db, const char *chain, struct store_heads *heads_r, struct error *err)
{
	const struct db_value params[] = {db_text(chain)};
	const struct store_query query = {
	    "SELECT * FROM (SELECT CAST(0 AS BIGINT) AS part, seq, hash FROM audit WHERE "
	    "chain = $1 ORDER BY seq DESC LIMIT 1) AS newest UNION ALL "
	    "SELECT * FROM (SELECT CAST(1 AS BIGINT) AS part, all_seq, all_hash FROM audit "
	    "ORDER BY all_seq DESC LIMIT 1) AS newest_of_all",
	    params, 1, read_heads, heads_r};

	*heads_r = (struct store_heads){0};
	return store_row_query(db, &query, err);
}

static int insert(struct db *db, const struct audit_entry *entry, struct error *err)
{
	const struct db_value params[] = {db_int(entry->all_seq),
	    db_blob(entry->all_hash, AUDIT_HASH_LEN), db_text(entry->chain), db_int(entry->seq),
	    db_int(entry->at_ms), db_text(entry->act), db_text(entry->by), db_text(entry->kind),
	    db_text(entry->name), db_int(entry->version), db_text(entry->detail),
	    db_blob(entry->prev, AUDIT_HASH_LEN), db_blob(entry->hash, AUDIT_HASH_LEN)};

	return db_run(db,
	    "INSERT INTO audit (all_seq, all_hash, chain, seq, at_ms, act, done_by, kind, name, "
	    "version, detail, prev, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, "
	    "$12, $13)",
	    params, ARRAY_LEN(params), NULL, NULL, NULL, err);
}

int store_audit_append(
    struct db *db, struct store_heads *heads, struct audit_entry *entry, struct error *err)
{
	entry->seq = heads->seq + 1;
	entry->all_seq = heads->all_seq + 1;
	if (store_row_fits(entry->version, "a version", err) < 0 ||
	    store_row_fits(entry->at_ms, "a time", err) < 0 ||
	    store_row_fits(entry->seq, "a sequence", err) < 0 ||
	    store_row_fits(entry->all_seq, "a sequence", err) < 0)
		return -1;
	memcpy(entry->prev, heads->hash, AUDIT_HASH_LEN);
	audit_seal(entry);
	audit_seal_all(entry, heads->all_hash);
	if (insert(db, entry, err) < 0)
		return -1;
	*heads = (struct store_heads){.seq = entry->seq, .all_seq = entry->all_seq};
	memcpy(heads->hash, entry->hash, AUDIT_HASH_LEN);
	memcpy(heads->all_hash, entry->all_hash, AUDIT_HASH_LEN);
	return 0;
}

/* ---- reading ---- */

#define COLUMNS \
	"all_seq, all_hash, chain, seq, at_ms, act, done_by, kind, name, version, detail, prev, " \
	"hash "

struct reading {
	store_audit_row row;
	void *arg;
};

static bool read_entry(void *arg, struct store_row *row)
{
	struct reading *reading = arg;
	struct audit_entry entry = {.all_seq = store_row_number(row)};

	store_row_bytes(row, entry.all_hash, AUDIT_HASH_LEN);
	store_row_text(row, entry.chain, sizeof(entry.chain));
	entry.seq = store_row_number(row);
	entry.at_ms = store_row_number(row);
	store_row_text(row, entry.act, sizeof(entry.act));
	store_row_text(row, entry.by, sizeof(entry.by));
	store_row_text(row, entry.kind, sizeof(entry.kind));
	store_row_text(row, entry.name, sizeof(entry.name));
	entry.version = store_row_number(row);
	store_row_text(row, entry.detail, sizeof(entry.detail));
	store_row_bytes(row, entry.prev, AUDIT_HASH_LEN);
	store_row_bytes(row, entry.hash, AUDIT_HASH_LEN);
	return !row->is_bad && reading->row(reading->arg, &entry);
}

int store_audit_of(struct db *db, const char *chain, uint64_t after_seq, size_t max,
    store_audit_row row, void *arg, struct error *err)
{
	const struct db_value params[] = {db_text(chain), db_int(after_seq), db_int(max)};
	struct reading reading = {row, arg};
	const struct store_query query = {
	    "SELECT " COLUMNS "FROM audit WHERE chain = $1 AND seq > $2 ORDER BY seq LIMIT $3",
	    params, 3, read_entry, &reading};

	if (after_seq > STORE_NUMBER_MAX)
		return 0;
	return store_row_query(db, &query, err);
}

int store_audit_all(struct db *db, uint64_t after_all_seq, size_t max, store_audit_row row,
    void *arg, struct error *err)
{
	const struct db_value params[] = {db_int(after_all_seq), db_int(max)};
	struct reading reading = {row, arg};
	const struct store_query query = {"SELECT " COLUMNS
					  "FROM audit WHERE all_seq > $1 ORDER BY all_seq LIMIT $2",
	    params, 2, read_entry, &reading};

	if (after_all_seq > STORE_NUMBER_MAX)
		return 0;
	return store_row_query(db, &query, err);
}

int store_audit_head(struct db *db, const char *chain, uint64_t *seq_r,
    uint8_t head_r[AUDIT_HASH_LEN], struct error *err)
{
	struct store_heads heads;

	/* no chain has an empty name: then only the newest of all is there */
	if (store_audit_heads(db, chain ? chain : "", &heads, err) < 0)
		return -1;
	*seq_r = chain ? heads.seq : heads.all_seq;
	memcpy(head_r, chain ? heads.hash : heads.all_hash, AUDIT_HASH_LEN);
	return 0;
}
