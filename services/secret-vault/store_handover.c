#include <string.h>

#include "services/secret-vault/store_row.h"

#define COLUMNS \
	"asset, version, from_wallet, from_slot, to_wallet, to_slot, updated_ms, key_id, sealed "

int store_handover_put(struct db *db, const struct store_handover *handover, struct error *err)
{
	const struct db_value params[] = {db_text(handover->from.asset), db_int(handover->version),
	    db_text(handover->from.wallet), db_int(handover->from.slot),
	    db_text(handover->to.wallet), db_int(handover->to.slot), db_int(handover->updated_ms),
	    db_blob(handover->key_id, KEY_ID_LEN), db_blob(handover->sealed, handover->sealed_len)};

	if (store_row_fits(handover->version, "a version", err) < 0)
		return -1;
	return db_run(db,
	    "INSERT INTO handovers (asset, version, from_wallet, from_slot, to_wallet, to_slot, "
	    "updated_ms, key_id, sealed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) "
	    "ON CONFLICT (asset) DO UPDATE SET version = excluded.version, "
	    "from_wallet = excluded.from_wallet, from_slot = excluded.from_slot, "
	    "to_wallet = excluded.to_wallet, to_slot = excluded.to_slot, "
	    "updated_ms = excluded.updated_ms, key_id = excluded.key_id, sealed = excluded.sealed",
	    params, ARRAY_LEN(params), NULL, NULL, NULL, err);
}

struct reading {
	store_handover_row row;
	void *arg;
	struct store_handover *only; /* instead of row */
	bool found;
};

static bool read_handover(void *arg, struct store_row *row)
{
	struct reading *reading = arg;
	struct store_handover handover = {.version = 0};

	store_row_text(row, handover.from.asset, sizeof(handover.from.asset));
	memcpy(handover.to.asset, handover.from.asset, sizeof(handover.to.asset));
	handover.version = store_row_number(row);
	store_row_text(row, handover.from.wallet, sizeof(handover.from.wallet));
	handover.from.slot = store_row_number(row);
	store_row_text(row, handover.to.wallet, sizeof(handover.to.wallet));
	handover.to.slot = store_row_number(row);
	handover.updated_ms = store_row_number(row);
	store_row_bytes(row, handover.key_id, sizeof(handover.key_id));
	const uint8_t *sealed = store_row_blob(row, &handover.sealed_len);
	row->is_bad |= !sealed || handover.sealed_len > sizeof(handover.sealed);
	if (row->is_bad)
		return false;
	memcpy(handover.sealed, sealed, handover.sealed_len);
	reading->found = true;
	if (!reading->only)
		return reading->row(reading->arg, &handover);
	*reading->only = handover;
	return false;
}

int store_handover_find(
    struct db *db, const char *asset, struct store_handover *handover_r, struct error *err)
{
	const struct db_value params[] = {db_text(asset)};
	struct reading reading = {.only = handover_r};
	const struct store_query query = {"SELECT " COLUMNS "FROM handovers WHERE asset = $1",
	    params, 1, read_handover, &reading};

	if (store_row_query(db, &query, err) < 0)
		return -1;
	return reading.found;
}

int store_handovers_not_under(struct db *db, const uint8_t key_id[KEY_ID_LEN], size_t max,
    store_handover_row row, void *arg, struct error *err)
{
	const struct db_value params[] = {db_blob(key_id, KEY_ID_LEN), db_int(max)};
	struct reading reading = {.row = row, .arg = arg};
	const struct store_query query = {
	    "SELECT * FROM (SELECT " COLUMNS
	    "FROM handovers WHERE key_id < $1 LIMIT $2) AS below UNION ALL "
	    "SELECT * FROM (SELECT " COLUMNS
	    "FROM handovers WHERE key_id > $1 LIMIT $2) AS above LIMIT $2",
	    params, 2, read_handover, &reading};

	return store_row_query(db, &query, err);
}
