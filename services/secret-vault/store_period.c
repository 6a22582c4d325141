#include <string.h>

#include "services/secret-vault/store_row.h"

#define COLUMNS "id, asset, wallet, slot, since, state, key_id, wrapped, created_ms, changed_ms "

static const char *const state_names[] = {
#define PERIOD_STATE_NAME(name, text) [PERIOD_##name] = (text),
    PERIOD_STATES(PERIOD_STATE_NAME)
#undef PERIOD_STATE_NAME
};

static int affect_one(struct db *db, const char *statement, const struct db_value *params,
    size_t nparams, struct error *err)
{
	uint64_t n = 0;

	if (db_run(db, statement, params, nparams, NULL, NULL, &n, err) < 0)
		return -1;
	if (n != 1)
		return error_set(err, ERR_NOT_FOUND, "there is no such period, or no more");
	return 0;
}

/* ---- reading ---- */

struct reading {
	store_period_row row;
	void *arg;
	struct store_period *only; /* instead of row */
	bool found;
};

static enum period_state read_state(struct store_row *row)
{
	char text[16];

	store_row_text(row, text, sizeof(text));
	for (size_t i = 0; i < ARRAY_LEN(state_names); i++)
		if (strcmp(text, state_names[i]) == 0)
			return (enum period_state)i;
	row->is_bad = true;
	return PERIOD_DESTROYED;
}

static bool read_period(void *arg, struct store_row *row)
{
	struct reading *reading = arg;
	struct store_period period = {.id = store_row_number(row)};

	store_row_text(row, period.period.asset, sizeof(period.period.asset));
	store_row_text(row, period.period.wallet, sizeof(period.period.wallet));
	period.period.slot = store_row_number(row);
	period.since = store_row_number(row);
	period.state = read_state(row);
	store_row_bytes(row, period.key_id, sizeof(period.key_id));
	const uint8_t *wrapped = store_row_blob(row, &period.wrapped_len);
	period.created_ms = store_row_number(row);
	period.changed_ms = store_row_number(row);
	if (period.wrapped_len > sizeof(period.wrapped) ||
	    (period.wrapped_len == 0) != (period.state == PERIOD_DESTROYED))
		row->is_bad = true;
	if (row->is_bad)
		return false;
	if (wrapped)
		memcpy(period.wrapped, wrapped, period.wrapped_len);
	reading->found = true;
	if (!reading->only)
		return reading->row(reading->arg, &period);
	*reading->only = period;
	return false;
}

int store_period_find(
    struct db *db, const struct period *period, struct store_period *period_r, struct error *err)
{
	const struct db_value params[] = {
	    db_text(period->asset), db_text(period->wallet), db_int(period->slot)};
	struct reading reading = {.only = period_r};
	const struct store_query query = {"SELECT " COLUMNS
					  "FROM periods WHERE asset = $1 AND wallet = $2 AND "
					  "slot = $3",
	    params, 3, read_period, &reading};

	if (store_row_query(db, &query, err) < 0)
		return -1;
	return reading.found;
}

int store_periods_of(
    struct db *db, const char *asset, store_period_row row, void *arg, struct error *err)
{
	const struct db_value params[] = {db_text(asset)};
	struct reading reading = {.row = row, .arg = arg};
	const struct store_query query = {"SELECT " COLUMNS
					  "FROM periods WHERE asset = $1 ORDER BY slot DESC, id "
					  "DESC",
	    params, 1, read_period, &reading};

	return store_row_query(db, &query, err);
}

int store_periods_after(
    struct db *db, uint64_t after, size_t max, store_period_row row, void *arg, struct error *err)
{
	const struct db_value params[] = {db_int(after), db_int(max)};
	struct reading reading = {.row = row, .arg = arg};
	const struct store_query query = {
	    "SELECT " COLUMNS
	    "FROM periods WHERE id > $1 AND state <> 'destroyed' ORDER BY id LIMIT $2",
	    params, 2, read_period, &reading};

	if (after > STORE_NUMBER_MAX)
		return 0;
	return store_row_query(db, &query, err);
}

/* Two ranges of the index instead of "not equal", or each page of a rotation would go through all that is done already. */
int store_periods_not_under(struct db *db, const uint8_t key_id[KEY_ID_LEN], size_t max,
    store_period_row row, void *arg, struct error *err)
{
	const struct db_value params[] = {db_blob(key_id, KEY_ID_LEN), db_int(max)};
	struct reading reading = {.row = row, .arg = arg};
	const struct store_query query = {
	    "SELECT * FROM (SELECT " COLUMNS
	    "FROM periods WHERE key_id < $1 LIMIT $2) AS below UNION ALL "
	    "SELECT * FROM (SELECT " COLUMNS
	    "FROM periods WHERE key_id > $1 LIMIT $2) AS above LIMIT $2",
	    params, 2, read_period, &reading};

	return store_row_query(db, &query, err);
}

static bool read_count(void *arg, struct store_row *row)
{
	*(uint64_t *)arg = store_row_number(row);
	return false;
}

int store_count_under(
    struct db *db, const uint8_t key_id[KEY_ID_LEN], uint64_t *periods_r, struct error *err)
{
	const struct db_value params[] = {db_blob(key_id, KEY_ID_LEN)};
	const struct store_query query = {
	    "SELECT count(*) FROM periods WHERE key_id = $1", params, 1, read_count, periods_r};

	*periods_r = 0;
	return store_row_query(db, &query, err);
}

static bool read_state_count(void *arg, struct store_row *row)
{
	struct store_counts *counts = arg;
	enum period_state state = read_state(row);
	uint64_t n = store_row_number(row);

	if (state == PERIOD_DESTROYED) {
		counts->destroyed = n;
		return true;
	}
	counts->periods += n;
	if (state == PERIOD_LOCKED)
		counts->locked = n;
	return true;
}

int store_count_periods(struct db *db, struct store_counts *counts_r, struct error *err)
{
	const struct store_query query = {"SELECT state, count(*) FROM periods GROUP BY state",
	    NULL, 0, read_state_count, counts_r};

	*counts_r = (struct store_counts){0};
	return store_row_query(db, &query, err);
}

/* ---- writing ---- */

static int next_id(struct db *db, uint64_t *id_r, struct error *err)
{
	const struct store_query query = {
	    "SELECT id FROM periods ORDER BY id DESC LIMIT 1", NULL, 0, read_count, id_r};

	*id_r = 0;
	if (store_row_query(db, &query, err) < 0)
		return -1;
	*id_r += 1;
	return store_row_fits(*id_r, "a period's id", err);
}

static int check(const struct store_period *period, struct error *err)
{
	bug_if(period->wrapped_len == 0 || period->wrapped_len > WRAPPED_MAX ||
	       period->state == PERIOD_DESTROYED);
	if (store_row_fits(period->period.slot, "a slot", err) < 0)
		return -1;
	return store_row_fits(period->since, "a slot", err);
}

int store_period_add(struct db *db, struct store_period *period, struct error *err)
{
	uint64_t id, n = 0;

	if (check(period, err) < 0 || next_id(db, &id, err) < 0)
		return -1;
	const struct db_value params[] = {db_int(id), db_text(period->period.asset),
	    db_text(period->period.wallet), db_int(period->period.slot), db_int(period->since),
	    db_text(state_names[period->state]), db_blob(period->key_id, KEY_ID_LEN),
	    db_blob(period->wrapped, period->wrapped_len), db_int(period->created_ms),
	    db_int(period->changed_ms)};
	if (db_run(db,
		"INSERT INTO periods (id, asset, wallet, slot, since, state, key_id, wrapped, "
		"created_ms, changed_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) "
		"ON CONFLICT (asset, wallet, slot) DO NOTHING",
		params, ARRAY_LEN(params), NULL, NULL, &n, err) < 0)
		return -1;
	if (n != 1)
		return error_set(err, ERR_CONFLICT, "the period is there already");
	period->id = id;
	return 0;
}

int store_period_lock(struct db *db, uint64_t id, enum period_state live_or_locked, uint64_t now_ms,
    struct error *err)
{
	bug_if(live_or_locked == PERIOD_DESTROYED);
	const struct db_value params[] = {
	    db_text(state_names[live_or_locked]), db_int(now_ms), db_int(id)};

	return affect_one(db,
	    "UPDATE periods SET state = $1, changed_ms = $2 WHERE id = $3 AND state <> 'destroyed'",
	    params, 3, err);
}

int store_period_rewrap(struct db *db, const struct store_period *period, struct error *err)
{
	if (check(period, err) < 0)
		return -1;
	const struct db_value params[] = {db_int(period->since),
	    db_blob(period->key_id, KEY_ID_LEN), db_blob(period->wrapped, period->wrapped_len),
	    db_int(period->id)};

	return affect_one(db,
	    "UPDATE periods SET since = $1, key_id = $2, wrapped = $3 WHERE id = $4 AND state <> "
	    "'destroyed'",
	    params, 4, err);
}

int store_period_destroy(struct db *db, uint64_t id, uint64_t now_ms, struct error *err)
{
	const struct db_value period[] = {db_int(now_ms), db_int(id)};
	const struct db_value of_it[] = {db_int(id)};

	if (affect_one(db,
		"UPDATE periods SET state = 'destroyed', key_id = NULL, wrapped = NULL, "
		"changed_ms = $1 WHERE id = $2",
		period, 2, err) < 0)
		return -1;
	if (db_run(db, "DELETE FROM records WHERE period_id = $1", of_it, 1, NULL, NULL, NULL,
		err) < 0)
		return -1;
	return db_run(
	    db, "DELETE FROM snapshots WHERE period_id = $1", of_it, 1, NULL, NULL, NULL, err);
}
