#include "services/secret-vault/highwater.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/scoped.h"
#include "services/secret-vault/store_row.h"

/* A transaction is open from the first use after a commit until the next one; in it a savepoint from the first change a job makes until that is kept. */
struct highwater {
	struct db *db;
	bool has_begun, has_point;
};

/* ---- opening ---- */

static int make_tables(struct db *db, struct error *err)
{
	static const char *const statements[] = {
	    "CREATE TABLE IF NOT EXISTS marks (asset TEXT NOT NULL, wallet TEXT NOT NULL, "
	    "slot BIGINT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, "
	    "version BIGINT NOT NULL, PRIMARY KEY (asset, wallet, slot, kind, name))",
	    /* the periods of an asset, without going through their records */
	    "CREATE INDEX IF NOT EXISTS marks_periods ON marks (asset, wallet, slot, version) "
	    "WHERE kind = ''",
	    "CREATE TABLE IF NOT EXISTS belongs (one BIGINT PRIMARY KEY, store BYTEA NOT NULL)",
	};

	for (size_t i = 0; i < ARRAY_LEN(statements); i++)
		if (db_run(db, statements[i], NULL, 0, NULL, NULL, NULL, err) < 0)
			return -1;
	return 0;
}

static int start(struct highwater *highwater, const char *path, struct error *err)
{
	scoped_free char *where = NULL;

	bug_if(asprintf(&where, "sqlite:%s", path) < 0);
	highwater->db = db_open(where, err);
	if (!highwater->db || db_begin(highwater->db, true, err) < 0)
		return -1;
	if (make_tables(highwater->db, err) < 0) {
		db_rollback(highwater->db);
		return -1;
	}
	return db_commit(highwater->db, err);
}

struct highwater *highwater_open(const char *path, struct error *err)
{
	struct highwater *highwater = calloc(1, sizeof(*highwater));

	bug_if(!highwater);
	if (start(highwater, path, err) < 0)
		highwater_close(&highwater);
	return highwater;
}

void highwater_close(struct highwater **highwater)
{
	if (!*highwater)
		return;
	if ((*highwater)->db)
		highwater_forget(*highwater);
	db_close(&(*highwater)->db);
	free(*highwater);
	*highwater = NULL;
}

/* ---- between two commits ---- */

static int begin(struct highwater *highwater, struct error *err)
{
	if (highwater->has_begun)
		return 0;
	if (db_begin(highwater->db, true, err) < 0)
		return -1;
	highwater->has_begun = true;
	return 0;
}

static int change(struct highwater *highwater, const char *statement, const struct db_value *params,
    size_t nparams, struct error *err)
{
	if (begin(highwater, err) < 0)
		return -1;
	if (!highwater->has_point) {
		if (db_savepoint(highwater->db, err) < 0)
			return -1;
		highwater->has_point = true;
	}
	return db_run(highwater->db, statement, params, nparams, NULL, NULL, NULL, err);
}

static int look(struct highwater *highwater, const struct store_query *query, struct error *err)
{
	if (begin(highwater, err) < 0)
		return -1;
	return store_row_query(highwater->db, query, err);
}

int highwater_keep(struct highwater *highwater, struct error *err)
{
	if (highwater->has_begun && db_check(highwater->db, err) < 0)
		return -1;
	if (!highwater->has_point)
		return 0;
	if (db_release(highwater->db, err) < 0)
		return -1;
	highwater->has_point = false;
	return 0;
}

void highwater_undo(struct highwater *highwater)
{
	if (highwater->has_point)
		db_rollback_to_savepoint(highwater->db);
	highwater->has_point = false;
}

int highwater_commit(struct highwater *highwater, struct error *err)
{
	if (!highwater->has_begun)
		return 0;
	if (highwater_keep(highwater, err) < 0) {
		highwater_forget(highwater);
		return -1;
	}
	highwater->has_begun = false;
	return db_commit(highwater->db, err);
}

void highwater_forget(struct highwater *highwater)
{
	if (highwater->has_begun)
		db_rollback(highwater->db);
	highwater->has_begun = highwater->has_point = false;
}

/* ---- which store ---- */

struct store_id {
	uint8_t *id;
	bool is_known;
};

static bool read_store(void *arg, struct store_row *row)
{
	struct store_id *store = arg;

	store_row_bytes(row, store->id, 16);
	store->is_known = !row->is_bad;
	return false;
}

int highwater_store(struct highwater *highwater, uint8_t id_r[16], bool *known_r, struct error *err)
{
	struct store_id store = {id_r, false};
	const struct store_query query = {
	    "SELECT store FROM belongs WHERE one = 1", NULL, 0, read_store, &store};

	if (look(highwater, &query, err) < 0)
		return -1;
	*known_r = store.is_known;
	return 0;
}

int highwater_adopt(struct highwater *highwater, const uint8_t id[16], struct error *err)
{
	const struct db_value params[] = {db_blob(id, 16)};
	const struct db_value gone[] = {db_int(HIGHWATER_GONE)};

	if (change(highwater, "DELETE FROM marks WHERE kind <> '' OR version < $1", gone, 1, err) <
	    0)
		return -1;
	return change(highwater,
	    "INSERT INTO belongs (one, store) VALUES (1, $1) "
	    "ON CONFLICT (one) DO UPDATE SET store = excluded.store",
	    params, 1, err);
}

/* ---- marks ---- */

static bool read_version(void *arg, struct store_row *row)
{
	*(uint64_t *)arg = store_row_number(row);
	return false;
}

int highwater_get(struct highwater *highwater, const struct period *period, const char *kind,
    const char *name, uint64_t *version_r, struct error *err)
{
	const struct db_value params[] = {db_text(period->asset), db_text(period->wallet),
	    db_int(period->slot), db_text(kind), db_text(name)};
	uint64_t version = 0;
	const struct store_query query = {
	    "SELECT version FROM marks WHERE asset = $1 AND wallet = $2 AND slot = $3 AND "
	    "kind = $4 AND name = $5",
	    params, 5, read_version, &version};

	if (look(highwater, &query, err) < 0)
		return -1;
	*version_r = version;
	return 0;
}

struct periods {
	const char *asset;
	highwater_period_row row;
	void *arg;
};

static bool read_period(void *arg, struct store_row *row)
{
	struct periods *periods = arg;
	struct period period = {0};

	snprintf(period.asset, sizeof(period.asset), "%s", periods->asset);
	store_row_text(row, period.wallet, sizeof(period.wallet));
	period.slot = store_row_number(row);
	return !row->is_bad && periods->row(periods->arg, &period);
}

int highwater_periods_of(struct highwater *highwater, const char *asset, highwater_period_row row,
    void *arg, struct error *err)
{
	const struct db_value params[] = {db_text(asset), db_int(HIGHWATER_GONE)};
	struct periods periods = {asset, row, arg};
	const struct store_query query = {"SELECT wallet, slot FROM marks WHERE asset = $1 AND "
					  "kind = '' AND version < $2 ORDER BY wallet, slot",
	    params, 2, read_period, &periods};

	return look(highwater, &query, err);
}

struct records {
	highwater_row row;
	void *arg;
};

static bool read_record(void *arg, struct store_row *row)
{
	struct records *records = arg;
	char kind[8 + 1], name[64 + 1];

	store_row_text(row, kind, sizeof(kind));
	store_row_text(row, name, sizeof(name));
	uint64_t version = store_row_number(row);
	return !row->is_bad && records->row(records->arg, kind, name, version);
}

int highwater_records_of(struct highwater *highwater, const struct period *period,
    highwater_row row, void *arg, struct error *err)
{
	const struct db_value params[] = {db_text(period->asset), db_text(period->wallet),
	    db_int(period->slot), db_text(HIGHWATER_SNAPSHOT)};
	struct records records = {row, arg};
	const struct store_query query = {
	    "SELECT kind, name, version FROM marks WHERE asset = $1 AND wallet = $2 AND "
	    "slot = $3 AND kind <> '' AND kind <> $4 ORDER BY kind, name",
	    params, 4, read_record, &records};

	return look(highwater, &query, err);
}

int highwater_raise(struct highwater *highwater, const struct period *period, const char *kind,
    const char *name, uint64_t version, struct error *err)
{
	const struct db_value params[] = {db_text(period->asset), db_text(period->wallet),
	    db_int(period->slot), db_text(kind), db_text(name), db_int(version)};

	if (store_row_fits(period->slot, "a slot", err) < 0 ||
	    store_row_fits(version, "a version", err) < 0)
		return -1;
	return change(highwater,
	    "INSERT INTO marks (asset, wallet, slot, kind, name, version) "
	    "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (asset, wallet, slot, kind, name) "
	    "DO UPDATE SET version = excluded.version WHERE version < excluded.version",
	    params, 6, err);
}

int highwater_gone(struct highwater *highwater, const struct period *period, struct error *err)
{
	const struct db_value params[] = {
	    db_text(period->asset), db_text(period->wallet), db_int(period->slot)};

	if (change(highwater,
		"DELETE FROM marks WHERE asset = $1 AND wallet = $2 AND slot = $3 AND kind <> ''",
		params, 3, err) < 0)
		return -1;
	return highwater_raise(highwater, period, "", "", HIGHWATER_GONE, err);
}
