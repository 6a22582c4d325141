#include "tests/unit/secret-vault/store_world.h"

#include <sodium.h>

#include "common/log.h"

/* ---- tables and named values ---- */

static void makes_its_tables_once(void **state)
{
	struct store_world *world = *state;

	store_begin(world, true);
	uint64_t id = store_add_period(world, 1);
	store_commit(world);
	GOOD(world, store_create(world->db, &world->err));
	store_world_reopen(world);
	GOOD(world, store_create(world->db, &world->err));
	store_begin(world, false);
	struct store_period found, asked = store_some_period(1);
	assert_int_equal(store_period_find(world->db, &asked.period, &found, &world->err), 1);
	assert_int_equal(found.id, id);
	store_commit(world);
}

static void refuses_a_schema_of_another_version(void **state)
{
	struct store_world *world = *state;
	static const uint8_t future[1] = {99};

	store_begin(world, true);
	GOOD(world, store_set(world->db, "schema", future, 1, &world->err));
	store_commit(world);
	assert_int_equal(store_create(world->db, &world->err), -1);
	assert_int_equal(world->err.code, ERR_CONFLICT);
	assert_non_null(strstr(world->err.text, "99"));
}

/* As a vault from before schema 2 left it. */
static void make_older(struct store_world *world)
{
	static const uint8_t older[1] = {1};

	store_begin(world, true);
	GOOD(world,
	    db_run(world->db, "DROP TABLE snapshots", NULL, 0, NULL, NULL, NULL, &world->err));
	GOOD(world,
	    db_run(world->db, "DROP TABLE handovers", NULL, 0, NULL, NULL, NULL, &world->err));
	GOOD(world, store_set(world->db, "schema", older, 1, &world->err));
	store_commit(world);
	store_world_reopen(world);
}

static void opens_a_store_from_before_snapshots(void **state)
{
	struct store_world *world = *state;
	struct store_snapshot snapshot = {.number = 1, .sealed = "sealed", .sealed_len = 6};
	struct store_period found, asked = store_some_period(1);

	store_begin(world, true);
	snapshot.period_id = store_add_period(world, 1);
	store_commit(world);
	make_older(world);
	GOOD(world, store_create(world->db, &world->err));
	GOOD(world, store_create(world->db, &world->err));
	store_begin(world, true);
	assert_int_equal(store_period_find(world->db, &asked.period, &found, &world->err), 1);
	GOOD(world, store_snapshot_put(world->db, &snapshot, &world->err));
	store_commit(world);
}

static void a_store_is_older_until_all_of_its_new_tables_are_there(void **state)
{
	struct store_world *world = *state;
	uint8_t schema = 0;
	size_t len;

	make_older(world);
	store_begin(world, true);
	GOOD(world, db_run(world->db, "CREATE TABLE handovers (asset BIGINT)", NULL, 0, NULL, NULL,
			NULL, &world->err));
	store_commit(world);
	assert_int_equal(store_create(world->db, &world->err), -1);
	store_begin(world, false);
	GOOD(world, store_get(world->db, "schema", &schema, 1, &len, &world->err));
	assert_int_equal(schema, 1);
	db_rollback(world->db);
}

static void keeps_the_newest_snapshot_of_a_period_until_that_is_destroyed(void **state)
{
	struct store_world *world = *state;
	struct store_snapshot snapshot = {.number = 1,
				  .updated_ms = 7,
				  .sealed = "sealed\0bytes",
				  .sealed_len = 12},
			      found;

	store_begin(world, true);
	uint64_t one = store_add_period(world, 1), other = store_add_period(world, 2);
	assert_int_equal(store_snapshot_find(world->db, one, &found, &world->err), 0);
	for (snapshot.number = 1; snapshot.number < 4; snapshot.number++) {
		snapshot.period_id = one;
		GOOD(world, store_snapshot_put(world->db, &snapshot, &world->err));
	}
	snapshot.period_id = other;
	GOOD(world, store_snapshot_put(world->db, &snapshot, &world->err));
	assert_int_equal(store_snapshot_find(world->db, one, &found, &world->err), 1);
	assert_true(found.number == 3 && found.updated_ms == 7 && found.sealed_len == 12);
	assert_memory_equal(found.sealed, snapshot.sealed, 12);
	GOOD(world, store_period_destroy(world->db, one, 9, &world->err));
	assert_int_equal(store_snapshot_find(world->db, one, &found, &world->err), 0);
	assert_int_equal(store_snapshot_find(world->db, other, &found, &world->err), 1);
	snapshot.number = UINT64_MAX;
	assert_int_equal(store_snapshot_put(world->db, &snapshot, &world->err), -1);
	assert_int_equal(world->err.code, ERR_INVALID);
	store_commit(world);
}

static bool count_handover(void *arg, const struct store_handover *row)
{
	size_t *count = arg;

	assert_int_equal(row->sealed_len, 5);
	++*count;
	return true;
}

static void keeps_one_hand_over_of_an_asset(void **state)
{
	static const uint8_t none[KEY_ID_LEN] = {9}, mine[KEY_ID_LEN] = {5};
	struct store_world *world = *state;
	struct store_handover row = {.from = {"asset", "giver", 10},
				  .version = 1,
				  .updated_ms = 3,
				  .key_id = {5},
				  .sealed = "12345",
				  .sealed_len = 5},
			      found;
	size_t count = 0;

	store_begin(world, true);
	assert_int_equal(store_handover_find(world->db, "asset", &found, &world->err), 0);
	GOOD(world, store_handover_put(world->db, &row, &world->err));
	row.version = 2;
	row.to = (struct period){"asset", "receiver", 20};
	GOOD(world, store_handover_put(world->db, &row, &world->err));
	assert_int_equal(store_handover_find(world->db, "asset", &found, &world->err), 1);
	assert_memory_equal(&found.key_id, &row.key_id, KEY_ID_LEN);
	assert_true(found.version == 2 && found.from.slot == 10 && found.to.slot == 20);
	assert_string_equal(found.from.wallet, "giver");
	assert_string_equal(found.to.wallet, "receiver");
	assert_string_equal(found.to.asset, "asset");
	assert_memory_equal(found.sealed, "12345", 5);
	GOOD(world,
	    store_handovers_not_under(world->db, mine, 10, count_handover, &count, &world->err));
	assert_int_equal(count, 0);
	GOOD(world,
	    store_handovers_not_under(world->db, none, 10, count_handover, &count, &world->err));
	assert_int_equal(count, 1);
	store_commit(world);
}

static void keeps_named_values(void **state)
{
	struct store_world *world = *state;
	static const uint8_t value[] = "\0bytes\xff\xfe";
	uint8_t buf[32] = {0};
	size_t len = 77;

	store_begin(world, true);
	GOOD(world, store_get(world->db, "salt", buf, sizeof(buf), &len, &world->err));
	assert_int_equal(len, 0);
	GOOD(world, store_set(world->db, "salt", value, sizeof(value), &world->err));
	GOOD(world, store_set(world->db, "other", "x", 1, &world->err));
	store_commit(world);
	store_begin(world, true);
	GOOD(world, store_get(world->db, "salt", buf, sizeof(buf), &len, &world->err));
	assert_int_equal(len, sizeof(value));
	assert_memory_equal(buf, value, len);
	assert_int_equal(store_get(world->db, "salt", buf, 3, &len, &world->err), -1);
	assert_int_equal(world->err.code, ERR_INVALID);
	GOOD(world, store_set(world->db, "salt", "new", 3, &world->err));
	GOOD(world, store_get(world->db, "salt", buf, sizeof(buf), &len, &world->err));
	assert_int_equal(len, 3);
	GOOD(world, store_unset(world->db, "salt", &world->err));
	GOOD(world, store_unset(world->db, "never", &world->err));
	GOOD(world, store_get(world->db, "salt", buf, sizeof(buf), &len, &world->err));
	assert_int_equal(len, 0);
	store_commit(world);
}

/* ---- periods ---- */

static void assert_same_period(const struct store_period *a, const struct store_period *b)
{
	assert_int_equal(a->id, b->id);
	assert_string_equal(a->period.asset, b->period.asset);
	assert_string_equal(a->period.wallet, b->period.wallet);
	assert_int_equal(a->period.slot, b->period.slot);
	assert_int_equal(a->since, b->since);
	assert_int_equal(a->state, b->state);
	assert_memory_equal(a->key_id, b->key_id, KEY_ID_LEN);
	assert_int_equal(a->wrapped_len, b->wrapped_len);
	assert_memory_equal(a->wrapped, b->wrapped, a->wrapped_len);
	assert_int_equal(a->created_ms, b->created_ms);
	assert_int_equal(a->changed_ms, b->changed_ms);
}

static void keeps_a_period_once(void **state)
{
	struct store_world *world = *state;
	struct store_period period = store_some_period(7), again = period, found;

	store_begin(world, true);
	GOOD(world, store_period_add(world->db, &period, &world->err));
	assert_true(period.id > 0);
	assert_int_equal(store_period_add(world->db, &again, &world->err), -1);
	assert_int_equal(world->err.code, ERR_CONFLICT);
	/* a refusal is no failed statement: the transaction goes on */
	store_commit(world);
	store_begin(world, false);
	assert_int_equal(store_period_find(world->db, &period.period, &found, &world->err), 1);
	assert_same_period(&found, &period);
	again.period.slot++;
	assert_int_equal(store_period_find(world->db, &again.period, &found, &world->err), 0);
	store_commit(world);
}

struct seen {
	size_t n, stop_after;
	uint64_t ids[512], slots[512];
	struct store_period last;
};

static bool see_period(void *arg, const struct store_period *period)
{
	struct seen *seen = arg;

	assert_true(seen->n < ARRAY_LEN(seen->ids));
	seen->ids[seen->n] = period->id;
	seen->slots[seen->n++] = period->period.slot;
	seen->last = *period;
	return seen->n != seen->stop_after;
}

static void shows_the_periods_of_an_asset_newest_first(void **state)
{
	struct store_world *world = *state;
	static const uint64_t slots[] = {5, 900, 17, INT64_MAX, 0};
	struct seen seen = {0};

	store_begin(world, true);
	for (size_t i = 0; i < ARRAY_LEN(slots); i++) {
		struct store_period period = store_some_period(1);
		period.period.slot = period.since = slots[i];
		GOOD(world, store_period_add(world->db, &period, &world->err));
	}
	store_add_period(world, 2);
	GOOD(world, store_periods_of(world->db, "asset1", see_period, &seen, &world->err));
	assert_int_equal(seen.n, 5);
	for (size_t i = 1; i < seen.n; i++)
		assert_true(seen.slots[i - 1] > seen.slots[i]);
	assert_int_equal(seen.slots[0], INT64_MAX);
	seen = (struct seen){.stop_after = 2};
	GOOD(world, store_periods_of(world->db, "asset1", see_period, &seen, &world->err));
	assert_int_equal(seen.n, 2);
	seen = (struct seen){0};
	GOOD(world, store_periods_of(world->db, "nobody's", see_period, &seen, &world->err));
	assert_int_equal(seen.n, 0);
	store_commit(world);
}

static void goes_through_the_periods_in_pages(void **state)
{
	struct store_world *world = *state;
	uint64_t after = 0;
	size_t pages = 0, all = 0;

	store_begin(world, true);
	for (unsigned i = 0; i < 25; i++)
		store_add_period(world, i);
	GOOD(world, store_period_destroy(world->db, 3, 9, &world->err));
	GOOD(world, store_period_lock(world->db, 4, PERIOD_LOCKED, 9, &world->err));
	for (;; pages++) {
		struct seen seen = {0};
		GOOD(world,
		    store_periods_after(world->db, after, 10, see_period, &seen, &world->err));
		assert_true(seen.n <= 10);
		if (seen.n == 0)
			break;
		for (size_t i = 0; i < seen.n; i++) {
			assert_true(seen.ids[i] > after && seen.ids[i] != 3);
			after = seen.ids[i];
		}
		all += seen.n;
	}
	assert_int_equal(pages, 3);
	assert_int_equal(all, 24);
	struct seen seen = {0};
	GOOD(world, store_periods_after(world->db, UINT64_MAX, 10, see_period, &seen, &world->err));
	assert_int_equal(seen.n, 0);
	store_commit(world);
}

static void finds_what_another_master_key_wraps_until_none_is_left(void **state)
{
	struct store_world *world = *state;
	static const uint8_t below[KEY_ID_LEN] = {0}, above[KEY_ID_LEN] = {255},
			     next[KEY_ID_LEN] = {5, 5, 5};
	uint64_t n;

	store_begin(world, true);
	for (unsigned i = 0; i < 30; i++) {
		struct store_period period = store_some_period(i);
		memcpy(period.key_id, i % 2 ? below : above, KEY_ID_LEN);
		GOOD(world, store_period_add(world->db, &period, &world->err));
	}
	GOOD(world, store_period_destroy(world->db, 30, 9, &world->err));
	GOOD(world, store_count_under(world->db, above, &n, &world->err));
	assert_int_equal(n, 15);
	for (unsigned round = 0;; round++) {
		struct seen seen = {0};
		GOOD(world,
		    store_periods_not_under(world->db, next, 4, see_period, &seen, &world->err));
		if (seen.n == 0) {
			assert_int_equal(round, 29);
			break;
		}
		assert_true(seen.n <= 4);
		memcpy(seen.last.key_id, next, KEY_ID_LEN);
		memset(seen.last.wrapped, 0xee, WRAPPED_MAX);
		seen.last.wrapped_len = WRAPPED_MAX;
		seen.last.since += 5;
		GOOD(world, store_period_rewrap(world->db, &seen.last, &world->err));
		struct store_period found;
		assert_int_equal(
		    store_period_find(world->db, &seen.last.period, &found, &world->err), 1);
		assert_same_period(&found, &seen.last);
	}
	GOOD(world, store_count_under(world->db, next, &n, &world->err));
	assert_int_equal(n, 29);
	GOOD(world, store_count_under(world->db, above, &n, &world->err));
	assert_int_equal(n, 0);
	store_commit(world);
}

static void locks_unlocks_and_counts_periods(void **state)
{
	struct store_world *world = *state;
	struct store_period found, asked = store_some_period(2);
	struct store_counts counts;

	store_begin(world, true);
	GOOD(world, store_count_periods(world->db, &counts, &world->err));
	assert_int_equal(counts.periods + counts.locked + counts.destroyed, 0);
	for (unsigned i = 1; i <= 5; i++)
		store_add_period(world, i);
	GOOD(world, store_period_lock(world->db, 2, PERIOD_LOCKED, 42, &world->err));
	GOOD(world, store_period_lock(world->db, 3, PERIOD_LOCKED, 42, &world->err));
	GOOD(world, store_period_lock(world->db, 3, PERIOD_LIVE, 43, &world->err));
	GOOD(world, store_period_destroy(world->db, 5, 44, &world->err));
	assert_int_equal(store_period_find(world->db, &asked.period, &found, &world->err), 1);
	assert_int_equal(found.state, PERIOD_LOCKED);
	assert_int_equal(found.changed_ms, 42);
	assert_int_equal(found.wrapped_len, 72);
	GOOD(world, store_count_periods(world->db, &counts, &world->err));
	assert_int_equal(counts.periods, 4);
	assert_int_equal(counts.locked, 1);
	assert_int_equal(counts.destroyed, 1);
	assert_int_equal(store_period_lock(world->db, 99, PERIOD_LOCKED, 1, &world->err), -1);
	assert_int_equal(world->err.code, ERR_NOT_FOUND);
	store_commit(world);
}

static bool see_no_record(void *arg, const struct store_record *record)
{
	(void)record;
	*(bool *)arg = true;
	return true;
}

static void what_is_destroyed_stays_destroyed(void **state)
{
	struct store_world *world = *state;
	struct store_period asked = store_some_period(1), found;
	bool is_there = false;

	store_begin(world, true);
	uint64_t id = store_add_period(world, 1), other = store_add_period(world, 2);
	struct store_record record = store_some_record(id, "llm", "a");
	GOOD(world, store_record_put(world->db, &record, &world->err));
	record.period_id = other;
	GOOD(world, store_record_put(world->db, &record, &world->err));
	GOOD(world, store_period_destroy(world->db, id, 77, &world->err));
	assert_int_equal(store_period_find(world->db, &asked.period, &found, &world->err), 1);
	assert_int_equal(found.state, PERIOD_DESTROYED);
	assert_int_equal(found.wrapped_len, 0);
	assert_int_equal(found.changed_ms, 77);
	assert_true(sodium_is_zero(found.key_id, KEY_ID_LEN));
	GOOD(world,
	    store_record_find(world->db, id, "llm", "a", see_no_record, &is_there, &world->err));
	assert_false(is_there);
	GOOD(world,
	    store_record_find(world->db, other, "llm", "a", see_no_record, &is_there, &world->err));
	assert_true(is_there);
	assert_int_equal(store_period_lock(world->db, id, PERIOD_LIVE, 1, &world->err), -1);
	assert_int_equal(world->err.code, ERR_NOT_FOUND);
	asked.id = id;
	assert_int_equal(store_period_rewrap(world->db, &asked, &world->err), -1);
	assert_int_equal(world->err.code, ERR_NOT_FOUND);
	assert_int_equal(store_period_add(world->db, &asked, &world->err), -1);
	assert_int_equal(world->err.code, ERR_CONFLICT);
	store_commit(world);
}

/* ---- records ---- */

struct copies {
	size_t n;
	struct store_record record[64];
	uint8_t value[65536 + 40], preview[128];
};

static bool copy_record(void *arg, const struct store_record *record)
{
	struct copies *copies = arg;

	assert_true(copies->n < ARRAY_LEN(copies->record));
	assert_true(record->value_len <= sizeof(copies->value));
	copies->record[copies->n++] = *record;
	if (record->value_len)
		memcpy(copies->value, record->value, record->value_len);
	if (record->preview_len)
		memcpy(copies->preview, record->preview, record->preview_len);
	return true;
}

static void keeps_records_of_any_bytes(void **state)
{
	struct store_world *world = *state;
	static const size_t sizes[] = {1, 40, 41, 3999, 4096, 65536 + 40};
	static uint8_t bytes[65536 + 40];
	static struct copies copies;

	store_begin(world, true);
	uint64_t id = store_add_period(world, 1);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct store_record record = store_some_record(id, "custom", "x");
		randombytes_buf(bytes, sizes[i]);
		bytes[0] = 0;
		record.value = bytes;
		record.value_len = sizes[i];
		record.version = i + 1;
		record.updated_ms = 5000 + i;
		GOOD(world, store_record_put(world->db, &record, &world->err));
		copies.n = 0;
		GOOD(world, store_record_find(
				world->db, id, "custom", "x", copy_record, &copies, &world->err));
		assert_int_equal(copies.n, 1);
		assert_int_equal(copies.record[0].version, i + 1);
		assert_int_equal(copies.record[0].updated_ms, 5000 + i);
		assert_int_equal(copies.record[0].period_id, id);
		assert_string_equal(copies.record[0].kind, "custom");
		assert_string_equal(copies.record[0].name, "x");
		assert_false(copies.record[0].deleted);
		assert_int_equal(copies.record[0].value_len, sizes[i]);
		assert_memory_equal(copies.value, bytes, sizes[i]);
		assert_int_equal(copies.record[0].preview_len, record.preview_len);
		assert_memory_equal(copies.preview, record.preview, record.preview_len);
	}
	copies.n = 0;
	GOOD(world,
	    store_record_find(world->db, id, "custom", "y", copy_record, &copies, &world->err));
	GOOD(
	    world, store_record_find(world->db, id, "llm", "x", copy_record, &copies, &world->err));
	GOOD(world,
	    store_record_find(world->db, id + 1, "custom", "x", copy_record, &copies, &world->err));
	assert_int_equal(copies.n, 0);
	store_commit(world);
}

static void lists_records_by_their_bytes_in_pages(void **state)
{
	struct store_world *world = *state;
	/* the order of bytes, not of a language */
	static const char *const names[] = {"-a", "0", "9", "_a", "a", "a-b", "a0", "a_b", "ab"};
	static struct copies copies, page;
	char kind[9] = "", name[65] = "";

	store_begin(world, true);
	uint64_t id = store_add_period(world, 1), other = store_add_period(world, 2);
	for (size_t i = ARRAY_LEN(names); i-- > 0;) {
		struct store_record record = store_some_record(id, i % 2 ? "llm" : "bot", names[i]);
		record.deleted = i == 3;
		GOOD(world, store_record_put(world->db, &record, &world->err));
		record.period_id = other;
		GOOD(world, store_record_put(world->db, &record, &world->err));
	}
	copies.n = 0;
	GOOD(world,
	    store_records_of(world->db, id, "", "", 100, false, copy_record, &copies, &world->err));
	assert_int_equal(copies.n, ARRAY_LEN(names));
	size_t at = 0;
	for (;;) {
		page.n = 0;
		GOOD(world, store_records_of(world->db, id, kind, name, 2, true, copy_record, &page,
				&world->err));
		if (page.n == 0)
			break;
		for (size_t i = 0; i < page.n; i++, at++) {
			const struct store_record *record = &page.record[i];
			int order = strcmp(record->kind, kind);
			assert_true(order > 0 || (order == 0 && strcmp(record->name, name) > 0));
			assert_string_equal(record->name, copies.record[at].name);
			assert_int_equal(record->value_len, 14);
			assert_int_equal(copies.record[at].value_len, 0);
			assert_int_equal(copies.record[at].preview_len, record->preview_len);
			snprintf(kind, sizeof(kind), "%s", record->kind);
			snprintf(name, sizeof(name), "%s", record->name);
		}
	}
	assert_int_equal(at, ARRAY_LEN(names));
	uint64_t live;
	GOOD(world, store_count_records(world->db, id, &live, &world->err));
	assert_int_equal(live, ARRAY_LEN(names) - 1);
	GOOD(world, store_count_records(world->db, 77, &live, &world->err));
	assert_int_equal(live, 0);
	store_commit(world);
}

/* ---- audit ---- */

struct trail {
	struct audit_check *check;
	bool is_of_one; /* chain: a copy that knows nothing of the others */
	size_t n;
	struct audit_entry last;
};

static bool follow_trail(void *arg, const struct audit_entry *entry)
{
	struct trail *trail = arg;
	struct error err = {0};

	trail->last = *entry;
	if (trail->is_of_one)
		trail->last.all_seq = 0;
	if (audit_check_next(trail->check, &trail->last, &err) < 0)
		fail_msg("%s", err.text);
	trail->n++;
	return true;
}

static void chains_audit_entries(void **state)
{
	struct store_world *world = *state;
	static const char *const chains[] = {"a/w/1", AUDIT_GLOBAL, "a/w/1", "b/w/2", "a/w/1"};
	struct trail trail = {.check = audit_check_new()},
		     one = {.check = audit_check_new(), .is_of_one = true};
	uint8_t head[AUDIT_HASH_LEN], before[AUDIT_HASH_LEN];
	uint64_t seq;

	store_begin(world, true);
	GOOD(world, store_audit_head(world->db, NULL, &seq, head, &world->err));
	assert_true(seq == 0 && sodium_is_zero(head, sizeof(head)));
	for (size_t i = 0; i < ARRAY_LEN(chains); i++) {
		struct audit_entry entry = store_some_entry(chains[i]);
		GOOD(world, store_append(world, &entry));
		assert_int_equal(entry.all_seq, i + 1);
		if (i == 3)
			memcpy(before, entry.all_hash, sizeof(before));
	}
	store_commit(world);

	store_begin(world, false);
	GOOD(world, store_audit_all(world->db, 0, 100, follow_trail, &trail, &world->err));
	assert_int_equal(trail.n, 5);
	struct audit_entry some = store_some_entry("a/w/1");
	assert_string_equal(trail.last.act, some.act);
	assert_string_equal(trail.last.by, some.by);
	assert_string_equal(trail.last.kind, some.kind);
	assert_string_equal(trail.last.name, some.name);
	assert_string_equal(trail.last.detail, some.detail);
	assert_int_equal(trail.last.version, some.version);
	assert_int_equal(trail.last.at_ms, some.at_ms);
	GOOD(world, store_audit_head(world->db, NULL, &seq, head, &world->err));
	assert_int_equal(seq, 5);
	GOOD(world, audit_check_head(trail.check, seq, head, &world->err));
	GOOD(world, audit_check_head(trail.check, 4, before, &world->err));

	GOOD(world, store_audit_of(world->db, "a/w/1", 0, 2, follow_trail, &one, &world->err));
	assert_int_equal(one.n, 2);
	GOOD(world, store_audit_of(world->db, "a/w/1", 2, 2, follow_trail, &one, &world->err));
	assert_int_equal(one.n, 3);
	GOOD(world, store_audit_of(world->db, "a/w/1", 3, 2, follow_trail, &one, &world->err));
	GOOD(world, store_audit_of(world->db, "a/w", 0, 2, follow_trail, &one, &world->err));
	GOOD(world, store_audit_all(world->db, UINT64_MAX, 2, follow_trail, &one, &world->err));
	assert_int_equal(one.n, 3);
	GOOD(world, store_audit_head(world->db, "a/w/1", &seq, head, &world->err));
	assert_int_equal(seq, 3);
	assert_memory_equal(head, one.last.hash, AUDIT_HASH_LEN);
	GOOD(world, store_audit_head(world->db, "none", &seq, head, &world->err));
	assert_true(seq == 0 && sodium_is_zero(head, sizeof(head)));
	store_commit(world);
	audit_check_destroy(&trail.check);
	audit_check_destroy(&one.check);
}

/* ---- what is not taken ---- */

static void refuses_numbers_that_cannot_be_kept(void **state)
{
	struct store_world *world = *state;
	struct store_period period = store_some_period(1);
	struct store_record record = store_some_record(1, "llm", "a");
	struct audit_entry entry = store_some_entry(AUDIT_GLOBAL);
	uint64_t seq;
	uint8_t head[AUDIT_HASH_LEN];

	store_begin(world, true);
	period.period.slot = (uint64_t)INT64_MAX + 1;
	assert_int_equal(store_period_add(world->db, &period, &world->err), -1);
	assert_int_equal(world->err.code, ERR_INVALID);
	period = store_some_period(1);
	period.since = UINT64_MAX;
	assert_int_equal(store_period_add(world->db, &period, &world->err), -1);
	assert_int_equal(store_period_rewrap(world->db, &period, &world->err), -1);
	record.version = UINT64_MAX;
	assert_int_equal(store_record_put(world->db, &record, &world->err), -1);
	assert_int_equal(world->err.code, ERR_INVALID);
	entry.version = UINT64_MAX;
	assert_int_equal(store_append(world, &entry), -1);
	assert_int_equal(world->err.code, ERR_INVALID);
	GOOD(world, store_audit_head(world->db, NULL, &seq, head, &world->err));
	assert_int_equal(seq, 0);
	store_commit(world);
}

static void refuses_rows_that_no_vault_wrote(void **state)
{
	struct store_world *world = *state;
	static const char *const damages[] = {
	    "UPDATE periods SET slot = -1",
	    "UPDATE periods SET state = 'open'",
	    "UPDATE periods SET wrapped = NULL",
	    "UPDATE periods SET state = 'destroyed'",
	    "UPDATE periods SET wallet = 'a wallet that is longer than any wallet can ever be'",
	};
	struct seen seen;

	for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
		store_begin(world, true);
		store_add_period(world, 1);
		GOOD(world, db_run(world->db, damages[i], NULL, 0, NULL, NULL, NULL, &world->err));
		seen.n = 0;
		world->err = (struct error){0};
		assert_int_equal(
		    store_periods_of(world->db, "asset1", see_period, &seen, &world->err), -1);
		assert_int_equal(world->err.code, ERR_INTERNAL);
		assert_string_equal(world->err.reason, "storage_damaged");
		assert_int_equal(seen.n, 0);
		db_rollback(world->db);
	}
	store_begin(world, true);
	struct store_record record = store_some_record(1, "llm", "a");
	GOOD(world, store_record_put(world->db, &record, &world->err));
	GOOD(world, db_run(world->db, "UPDATE records SET version = -5", NULL, 0, NULL, NULL, NULL,
			&world->err));
	bool is_there = false;
	assert_int_equal(
	    store_record_find(world->db, 1, "llm", "a", see_no_record, &is_there, &world->err), -1);
	assert_false(is_there);
	struct audit_entry entry = store_some_entry("c");
	GOOD(world, store_append(world, &entry));
	GOOD(
	    world, db_run(world->db, "UPDATE audit SET hash = prev, all_hash = $1",
		       (struct db_value[]){db_blob("short", 5)}, 1, NULL, NULL, NULL, &world->err));
	assert_int_equal(store_append(world, &entry), -1);
	assert_string_equal(world->err.reason, "storage_damaged");
	db_rollback(world->db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(makes_its_tables_once),
	    BOTH(refuses_a_schema_of_another_version),
	    BOTH(opens_a_store_from_before_snapshots),
	    BOTH(a_store_is_older_until_all_of_its_new_tables_are_there),
	    BOTH(keeps_the_newest_snapshot_of_a_period_until_that_is_destroyed),
	    BOTH(keeps_one_hand_over_of_an_asset),
	    BOTH(keeps_named_values),
	    BOTH(keeps_a_period_once),
	    BOTH(shows_the_periods_of_an_asset_newest_first),
	    BOTH(goes_through_the_periods_in_pages),
	    BOTH(finds_what_another_master_key_wraps_until_none_is_left),
	    BOTH(locks_unlocks_and_counts_periods),
	    BOTH(what_is_destroyed_stays_destroyed),
	    BOTH(keeps_records_of_any_bytes),
	    BOTH(lists_records_by_their_bytes_in_pages),
	    BOTH(chains_audit_entries),
	    BOTH(refuses_numbers_that_cannot_be_kept),
	    BOTH(refuses_rows_that_no_vault_wrote),
	};

	log_open("test", "test-1", getenv("V") ? LOG_DEBUG : LOG_ERROR);
	assert_true(sodium_init() >= 0);
	return cmocka_run_group_tests_name("store", tests, store_server_up, store_server_down);
}
