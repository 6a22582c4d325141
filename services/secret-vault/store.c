#include <string.h>

#include "services/secret-vault/store_row.h"

#define SCHEMA 2

/* Texts are compared by their bytes, in both: the order of pages does not hang on a server's language, nor an index on its C library's version.
 * The key of a destroyed period is NULL, so that no comparison finds it. SQLite keeps rows by an INTEGER PRIMARY KEY and needs no index beside it: an entry
 * less to write for each secret released. */
#define TABLES(TEXT, AUDIT_KEY) \
	"CREATE TABLE settings (name " TEXT " PRIMARY KEY, value BYTEA NOT NULL)", \
	    "CREATE TABLE periods (id BIGINT PRIMARY KEY, asset " TEXT " NOT NULL, wallet " TEXT \
	    " NOT NULL, slot BIGINT NOT NULL, since BIGINT NOT NULL, state " TEXT \
	    " NOT NULL, key_id BYTEA, wrapped BYTEA, created_ms BIGINT NOT NULL," \
	    " changed_ms BIGINT NOT NULL, UNIQUE (asset, wallet, slot))", \
	    "CREATE INDEX periods_key ON periods (key_id)", \
	    "CREATE INDEX periods_state ON periods (state)", \
	    "CREATE TABLE records (period_id BIGINT NOT NULL, kind " TEXT " NOT NULL, name " TEXT \
	    " NOT NULL, version BIGINT NOT NULL, deleted BIGINT NOT NULL," \
	    " updated_ms BIGINT NOT NULL, value BYTEA NOT NULL, preview BYTEA NOT NULL," \
	    " PRIMARY KEY (period_id, kind, name))", \
	    "CREATE TABLE audit (all_seq " AUDIT_KEY ", all_hash BYTEA NOT NULL, chain " TEXT \
	    " NOT NULL, seq BIGINT NOT NULL, at_ms BIGINT NOT NULL, act " TEXT \
	    " NOT NULL, done_by " TEXT " NOT NULL, kind " TEXT " NOT NULL, name " TEXT \
	    " NOT NULL, version BIGINT NOT NULL, detail " TEXT \
	    " NOT NULL, prev BYTEA NOT NULL, hash BYTEA NOT NULL, UNIQUE (chain, seq))"

/* Since schema 2. The statements are an older store's whole way here. */
#define TABLES_2(TEXT) \
	"CREATE TABLE snapshots (period_id BIGINT PRIMARY KEY, number BIGINT NOT NULL," \
	" updated_ms BIGINT NOT NULL, sealed BYTEA NOT NULL)", \
	    "CREATE TABLE handovers (asset " TEXT " PRIMARY KEY, version BIGINT NOT NULL," \
	    " from_wallet " TEXT " NOT NULL, from_slot BIGINT NOT NULL, to_wallet " TEXT \
	    " NOT NULL, to_slot BIGINT NOT NULL, updated_ms BIGINT NOT NULL," \
	    " key_id BYTEA NOT NULL, sealed BYTEA NOT NULL)", \
	    "CREATE INDEX handovers_key ON handovers (key_id)"

static int run_all(struct db *db, const char *const *statements, size_t len, struct error *err)
{
	for (size_t i = 0; i < len; i++)
		if (db_run(db, statements[i], NULL, 0, NULL, NULL, NULL, err) < 0)
			return -1;
	return 0;
}

static bool is_sqlite(const struct db *db)
{
	return strcmp(db_kind(db), "sqlite") == 0;
}

static int add_tables_2(struct db *db, struct error *err)
{
	static const char *const sqlite[] = {TABLES_2("TEXT")};
	static const char *const postgres[] = {TABLES_2("TEXT COLLATE \"C\"")};
	static const uint8_t schema[1] = {SCHEMA};

	if (run_all(db, is_sqlite(db) ? sqlite : postgres, ARRAY_LEN(sqlite), err) < 0)
		return -1;
	return store_set(db, "schema", schema, sizeof(schema), err);
}

static int make_tables(struct db *db, struct error *err)
{
	static const char *const sqlite[] = {TABLES("TEXT", "INTEGER PRIMARY KEY")};
	static const char *const postgres[] = {TABLES("TEXT COLLATE \"C\"", "BIGINT PRIMARY KEY")};

	if (run_all(db, is_sqlite(db) ? sqlite : postgres, ARRAY_LEN(sqlite), err) < 0)
		return -1;
	return add_tables_2(db, err);
}

static int check_schema(struct db *db, struct error *err)
{
	uint8_t schema[1];
	size_t len = 0;

	/* the tables are asked for, not a catalogue: that needs no more rights than using them */
	if (db_savepoint(db, err) < 0)
		return -1;
	if (store_get(db, "schema", schema, sizeof(schema), &len, NULL) < 0) {
		db_rollback_to_savepoint(db);
		return make_tables(db, err);
	}
	if (db_release(db, err) < 0)
		return -1;
	if (len == 1 && schema[0] == 1)
		return add_tables_2(db, err);
	if (len != 1 || schema[0] != SCHEMA)
		return error_refuse(err, ERR_CONFLICT, "storage_schema",
		    "the store was made by another version of secret-vault (schema %u, this one is "
		    "%u)",
		    len == 1 ? schema[0] : 0U, SCHEMA);
	return 0;
}

int store_create(struct db *db, struct error *err)
{
	if (db_begin(db, true, err) < 0)
		return -1;
	if (check_schema(db, err) < 0) {
		db_rollback(db);
		return -1;
	}
	return db_commit(db, err);
}

/* ---- named values ---- */

struct got {
	uint8_t *buf;
	size_t size, len;
};

static bool read_value(void *arg, struct store_row *row)
{
	struct got *got = arg;
	const uint8_t *bytes = store_row_blob(row, &got->len);

	if (got->len > 0 && got->len <= got->size)
		memcpy(got->buf, bytes, got->len);
	return false;
}

int store_get(
    struct db *db, const char *name, void *buf, size_t size, size_t *len_r, struct error *err)
{
	const struct db_value params[] = {db_text(name)};
	struct got got = {buf, size, 0};
	const struct store_query query = {
	    "SELECT value FROM settings WHERE name = $1", params, 1, read_value, &got};

	if (store_row_query(db, &query, err) < 0)
		return -1;
	if (got.len > size)
		return error_set(err, ERR_INVALID,
		    "the store's %s has %zu bytes, expected are %zu at most", name, got.len, size);
	*len_r = got.len;
	return 0;
}

int store_set(struct db *db, const char *name, const void *bytes, size_t len, struct error *err)
{
	const struct db_value params[] = {db_text(name), db_blob(bytes, len)};

	return db_run(db,
	    "INSERT INTO settings (name, value) VALUES ($1, $2) "
	    "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
	    params, 2, NULL, NULL, NULL, err);
}

int store_unset(struct db *db, const char *name, struct error *err)
{
	const struct db_value params[] = {db_text(name)};

	return db_run(db, "DELETE FROM settings WHERE name = $1", params, 1, NULL, NULL, NULL, err);
}
