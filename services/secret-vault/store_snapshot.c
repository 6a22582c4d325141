#include <string.h>

#include "services/secret-vault/store_row.h"

int store_snapshot_put(struct db *db, const struct store_snapshot *snapshot, struct error *err)
{
	const struct db_value params[] = {db_int(snapshot->period_id), db_int(snapshot->number),
	    db_int(snapshot->updated_ms), db_blob(snapshot->sealed, snapshot->sealed_len)};

	if (store_row_fits(snapshot->number, "a snapshot's number", err) < 0)
		return -1;
	return db_run(db,
	    "INSERT INTO snapshots (period_id, number, updated_ms, sealed) VALUES ($1, $2, $3, $4) "
	    "ON CONFLICT (period_id) DO UPDATE SET number = excluded.number, "
	    "updated_ms = excluded.updated_ms, sealed = excluded.sealed",
	    params, ARRAY_LEN(params), NULL, NULL, NULL, err);
}

struct reading {
	struct store_snapshot *snapshot;
	bool found;
};

static bool read_snapshot(void *arg, struct store_row *row)
{
	struct reading *reading = arg;
	struct store_snapshot *snapshot = reading->snapshot;

	snapshot->number = store_row_number(row);
	snapshot->updated_ms = store_row_number(row);
	const uint8_t *sealed = store_row_blob(row, &snapshot->sealed_len);
	row->is_bad |= !sealed || snapshot->sealed_len > sizeof(snapshot->sealed);
	if (row->is_bad)
		return false;
	memcpy(snapshot->sealed, sealed, snapshot->sealed_len);
	reading->found = true;
	return false;
}

int store_snapshot_find(
    struct db *db, uint64_t period_id, struct store_snapshot *snapshot_r, struct error *err)
{
	const struct db_value params[] = {db_int(period_id)};
	struct reading reading = {.snapshot = snapshot_r};
	const struct store_query query = {
	    "SELECT number, updated_ms, sealed FROM snapshots WHERE period_id = $1", params, 1,
	    read_snapshot, &reading};

	*snapshot_r = (struct store_snapshot){.period_id = period_id};
	if (store_row_query(db, &query, err) < 0)
		return -1;
	return reading.found;
}
