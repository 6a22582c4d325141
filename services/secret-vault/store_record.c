#include <string.h>

#include "services/secret-vault/store_row.h"

struct reading {
	uint64_t period_id;
	store_record_row row;
	void *arg;
};

static bool read_record(void *arg, struct store_row *row)
{
	struct reading *reading = arg;
	struct store_record record = {.period_id = reading->period_id};

	store_row_text(row, record.kind, sizeof(record.kind));
	store_row_text(row, record.name, sizeof(record.name));
	record.version = store_row_number(row);
	record.deleted = store_row_number(row) != 0;
	record.updated_ms = store_row_number(row);
	record.preview = store_row_blob(row, &record.preview_len);
	record.value = store_row_blob(row, &record.value_len);
	return !row->is_bad && reading->row(reading->arg, &record);
}

int store_record_put(struct db *db, const struct store_record *record, struct error *err)
{
	const struct db_value params[] = {db_int(record->period_id), db_text(record->kind),
	    db_text(record->name), db_int(record->version), db_int(record->deleted),
	    db_int(record->updated_ms), db_blob(record->value, record->value_len),
	    db_blob(record->preview, record->preview_len)};

	if (store_row_fits(record->version, "a version", err) < 0)
		return -1;
	return db_run(db,
	    "INSERT INTO records (period_id, kind, name, version, deleted, updated_ms, value, "
	    "preview) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) "
	    "ON CONFLICT (period_id, kind, name) DO UPDATE SET version = excluded.version, "
	    "deleted = excluded.deleted, updated_ms = excluded.updated_ms, "
	    "value = excluded.value, preview = excluded.preview",
	    params, ARRAY_LEN(params), NULL, NULL, NULL, err);
}

int store_record_find(struct db *db, uint64_t period_id, const char *kind, const char *name,
    store_record_row row, void *arg, struct error *err)
{
	const struct db_value params[] = {db_int(period_id), db_text(kind), db_text(name)};
	struct reading reading = {period_id, row, arg};
	const struct store_query query = {
	    "SELECT kind, name, version, deleted, updated_ms, preview, value FROM records "
	    "WHERE period_id = $1 AND kind = $2 AND name = $3",
	    params, 3, read_record, &reading};

	return store_row_query(db, &query, err);
}

int store_records_of(struct db *db, uint64_t period_id, const char *after_kind,
    const char *after_name, size_t max, bool with_values, store_record_row row, void *arg,
    struct error *err)
{
	const struct db_value params[] = {
	    db_int(period_id), db_text(after_kind), db_text(after_name), db_int(max)};
	struct reading reading = {period_id, row, arg};
	struct store_query query = {
	    .params = params, .nparams = ARRAY_LEN(params), .read = read_record, .arg = &reading};

#define RECORDS_OF(value) \
	"SELECT kind, name, version, deleted, updated_ms, preview, " value " FROM records " \
	"WHERE period_id = $1 AND (kind, name) > ($2, $3) ORDER BY kind, name LIMIT $4"
	query.statement = with_values ? RECORDS_OF("value") : RECORDS_OF("CAST(NULL AS BYTEA)");
#undef RECORDS_OF
	return store_row_query(db, &query, err);
}

static bool read_count(void *arg, struct store_row *row)
{
	*(uint64_t *)arg = store_row_number(row);
	return false;
}

int store_count_records(struct db *db, uint64_t period_id, uint64_t *live_r, struct error *err)
{
	const struct db_value params[] = {db_int(period_id)};
	const struct store_query query = {
	    "SELECT count(*) FROM records WHERE period_id = $1 AND deleted = 0", params, 1,
	    read_count, live_r};

	*live_r = 0;
	return store_row_query(db, &query, err);
}
