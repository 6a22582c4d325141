/* Records in a real store, with a second pair of hands in its tables: whatever is put back, swapped, dropped or flagged there is refused, never believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/scoped.h"
#include "services/secret-vault/records.h"
#include "tests/unit/common/capture.h"
#include "tests/unit/common/scratch.h"

#define ASSET "4uQeVj5tqViQh7yWWGStvkEG1Zmhx6uasJtWCJziofM"
#define ASSET2 "8opHzTAnfzRpPEx21XtnrVTX28YQuCpAjcn1PczScKh"
#define SELLER "CiDwVBFgWV9E5MvXWoLgnEgn2hK7rJikbvfWavzAQz3"
#define BUYER "GcdayuLaLyrdmUu324nahyv33G5poQdLUEZ1nEytDeP"
#define KEY "rQ0o1yq1uVtW0bq1Yz3mW2o0m8V4t1m5yQ2x7l9zGkA="
#define NEXT_KEY "0c5n3pYw9tJ3c0k7oZb2f1xk6a8sPqLr4uDvWgHhXyE="
#define VALUE "sk-ant-0123456789abcdefghijklmnopqrstuvwxyz"
#define PREVIEW "sk-ant-0"

struct world {
	char folder[32];
	struct desk desk;
	struct error err;
};

static struct master *make_master(const char *folder, const char *base64)
{
	char path[64];
	struct error err;
	snprintf(path, sizeof(path), "%s/%.4s", folder, base64);
	scoped_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_int_equal(write(fd, base64, strlen(base64)), strlen(base64));
	struct master *master = master_read_file(path, &err);
	assert_non_null(master);
	return master;
}

/* Each test is one job in one transaction, as the worker does it. */
static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	char at[64];
	snprintf(world->folder, sizeof(world->folder), "/tmp/records.XXXXXX");
	assert_non_null(mkdtemp(world->folder));
	snprintf(at, sizeof(at), "sqlite:%s/store", world->folder);
	world->desk = (struct desk){.db = db_open(at, &world->err), .now_ms = 1767323045123};
	assert_non_null(world->desk.db);
	assert_int_equal(store_create(world->desk.db, &world->err), 0);
	snprintf(at, sizeof(at), "%s/marks", world->folder);
	world->desk.highwater = highwater_open(at, &world->err);
	assert_non_null(world->desk.highwater);
	world->desk.master = make_master(world->folder, KEY);
	assert_int_equal(db_begin(world->desk.db, true, &world->err), 0);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;
	db_rollback(world->desk.db);
	highwater_close(&world->desk.highwater);
	db_close(&world->desk.db);
	master_destroy(&world->desk.master);
	master_destroy(&world->desk.next);
	int rc = scratch_remove(world->folder);
	free(world);
	return rc;
}

static void sql(struct world *world, const char *statement)
{
	if (db_run(world->desk.db, statement, NULL, 0, NULL, NULL, NULL, &world->err) != 0)
		fail_msg("%s: %s", statement, world->err.text);
}

static struct holding holding(const char *asset, const char *wallet, uint64_t slot, uint64_t other)
{
	struct holding made = {.slot = slot, .other_slot = other};
	snprintf(made.asset, sizeof(made.asset), "%s", asset);
	snprintf(made.wallet, sizeof(made.wallet), "%s", wallet);
	return made;
}

static int open_as(struct world *world, const struct holding *as, struct open_period *period_r)
{
	world->err = (struct error){0};
	return records_open_period(&world->desk, as, period_r, &world->err);
}

/* Opens and closes: 1, 0, or -1 with that reason. */
static void check_open(struct world *world, const struct holding *as, int rc, const char *reason)
{
	struct open_period period;
	int got = open_as(world, as, &period);
	if (got != rc || strcmp(world->err.reason, reason) != 0)
		fail_msg("%d %s: %s", got, world->err.reason, world->err.text);
	open_period_close(&period);
	assert_null(period.data_key);
}

static struct open_period make(struct world *world, const struct holding *as, bool is_new)
{
	struct open_period period;
	bool made;
	if (records_make_period(&world->desk, as, &period, &made, &world->err) != 1)
		fail_msg("%s", world->err.text);
	assert_int_equal(made, is_new);
	return period;
}

static uint64_t put(
    struct world *world, const struct open_period *period, const char *name, const char *value)
{
	uint64_t version = 0;
	if (records_write(&world->desk, period, "llm", name, value, strlen(value), PREVIEW,
		&version, &world->err) != 0)
		fail_msg("%s", world->err.text);
	return version;
}

static void check_value(struct world *world, const struct open_period *period, const char *name,
    const char *value, uint64_t version)
{
	struct record record;
	if (records_read(&world->desk, period, "llm", name, &record, &world->err) != 0)
		fail_msg("%s", world->err.text);
	assert_int_equal(record.found, RECORD_SET);
	assert_int_equal(record.version, version);
	assert_true(secret_equal(record.value, value, strlen(value)));
	secret_destroy(&record.value);
}

static void check_refused(
    struct world *world, const struct open_period *period, const char *name, const char *reason)
{
	struct record record;
	world->err = (struct error){0};
	assert_int_equal(records_read(&world->desk, period, "llm", name, &record, &world->err), -1);
	assert_string_equal(world->err.reason, reason);
	assert_null(record.value);
	assert_null(strstr(world->err.text, "sk-ant"));
}

static enum record_found look_for(
    struct world *world, const struct open_period *period, const char *name)
{
	struct record record;
	if (records_read(&world->desk, period, "llm", name, &record, &world->err) != 0)
		fail_msg("%s", world->err.text);
	secret_destroy(&record.value);
	return record.found;
}

struct seen {
	size_t len;
	struct record_shown last, first;
};
static void see(void *arg, const struct record_shown *shown)
{
	struct seen *seen = arg;
	if (seen->len++ == 0)
		seen->first = *shown;
	seen->last = *shown;
}

static struct seen list(struct world *world, const struct open_period *period)
{
	struct seen seen = {0};
	if (records_list(&world->desk, period, see, &seen, &world->err) != 0)
		fail_msg("%s", world->err.text);
	return seen;
}

static void check_no_list(struct world *world, const struct open_period *period, const char *reason)
{
	struct seen seen = {0};
	world->err = (struct error){0};
	assert_int_equal(records_list(&world->desk, period, see, &seen, &world->err), -1);
	assert_string_equal(world->err.reason, reason);
}

/* ---- periods ---- */

static void makes_a_period_once_and_writes_it_down(void **state)
{
	struct world *world = *state;
	struct holding as = holding(ASSET, SELLER, 7, 0);
	check_open(world, &as, 0, "");
	scoped_open_period struct open_period period = make(world, &as, true);
	assert_int_equal(period.row.since, 7);
	assert_int_equal(period.row.period.slot, 7);
	as.slot = 99;
	scoped_open_period struct open_period again = make(world, &as, false);
	assert_int_equal(again.row.id, period.row.id);
	assert_int_equal(again.row.period.slot, 7);
	assert_true(secret_equal(again.data_key, secret_bytes(period.data_key), DATA_KEY_LEN));
	uint64_t seq, mark;
	uint8_t head[AUDIT_HASH_LEN];
	char chain[PERIOD_TEXT_MAX + 1];
	assert_string_equal(period_text(&period.row.period, chain), ASSET "/" SELLER "/7");
	assert_int_equal(store_audit_head(world->desk.db, chain, &seq, head, &world->err), 0);
	assert_int_equal(seq, 1);
	highwater_get(world->desk.highwater, &period.row.period, "", "", &mark, &world->err);
	assert_int_equal(mark, 1);
}

static const struct {
	const char *what, *asset, *wallet;
	uint64_t other_slot;
	int rc;
} holdings[] = {
    {"the same", ASSET, SELLER, 0, 1},
    {"somebody else before", ASSET, SELLER, 6, 1},
    {"somebody else at the same slot", ASSET, SELLER, 7, 0},
    {"somebody else since", ASSET, SELLER, 8, 0},
    {"another wallet", ASSET, BUYER, 0, 0},
    {"another asset", ASSET2, SELLER, 0, 0},
    {"turned round", SELLER, ASSET, 0, 0},
};

static void is_open_to_nobody_but_its_owner_and_only_while_it_lasts(void **state)
{
	struct world *world = *state;
	struct holding as = holding(ASSET, SELLER, 7, 0);
	scoped_open_period struct open_period period = make(world, &as, true);
	for (size_t i = 0; i < ARRAY_LEN(holdings); i++) {
		as = holding(holdings[i].asset, holdings[i].wallet, 100, holdings[i].other_slot);
		print_message("%s\n", holdings[i].what);
		check_open(world, &as, holdings[i].rc, "");
	}
}

static void finds_nothing_after_a_sale_and_a_buy_back(void **state)
{
	struct world *world = *state;
	struct holding as = holding(ASSET, SELLER, 7, 0);
	scoped_open_period struct open_period before = make(world, &as, true);
	put(world, &before, "openai", VALUE);
	as = holding(ASSET, BUYER, 20, 0);
	scoped_open_period struct open_period buyer = make(world, &as, true);
	assert_int_equal(look_for(world, &buyer, "openai"), RECORD_NONE);
	as = holding(ASSET, SELLER, 30, 20);
	scoped_open_period struct open_period after = make(world, &as, true);
	assert_int_equal(after.row.period.slot, 30);
	assert_int_equal(look_for(world, &after, "openai"), RECORD_NONE);
	assert_int_equal(list(world, &after).len, 0);
	/* of several, the newest */
	as.other_slot = 6;
	struct open_period open;
	assert_int_equal(open_as(world, &as, &open), 1);
	assert_int_equal(open.row.period.slot, 30);
	open_period_close(&open);
}

static void a_proof_before_another_owner_makes_nothing(void **state)
{
	struct world *world = *state;
	struct open_period period;
	bool made;
	for (uint64_t other = 7; other <= 8; other++) {
		struct holding as = holding(ASSET, SELLER, 7, other);
		assert_int_equal(
		    records_make_period(&world->desk, &as, &period, &made, &world->err), -1);
		assert_int_equal(world->err.code, ERR_DENIED);
		assert_false(made);
	}
}

static void a_writer_to_the_store_cannot_prolong_a_period(void **state)
{
	struct world *world = *state;
	struct holding as = holding(ASSET, SELLER, 7, 0);
	scoped_open_period struct open_period period = make(world, &as, true);
	as.other_slot = 20;
	check_open(world, &as, 0, "");
	sql(world, "UPDATE periods SET since = 21");
	check_open(world, &as, -1, "secret_undecryptable");
	sql(world, "UPDATE periods SET since = 21, slot = 21");
	check_open(world, &as, -1, "secret_rolled_back");
	sql(world, "UPDATE periods SET since = 7, slot = 7, wallet = '" BUYER "'");
	as = holding(ASSET, BUYER, 30, 0);
	check_open(world, &as, -1, "secret_undecryptable");
}

static void a_locked_period_is_closed_whoever_asks(void **state)
{
	struct world *world = *state;
	struct holding as = holding(ASSET, SELLER, 7, 0);
	struct open_period again;
	bool made;
	scoped_open_period struct open_period period = make(world, &as, true);
	assert_int_equal(
	    store_period_lock(world->desk.db, period.row.id, PERIOD_LOCKED, 1, &world->err), 0);
	/* the record vouches for it: the holder has to look first, and no second one comes between */
	check_open(world, &as, -1, "vault_period_locked");
	assert_int_equal(records_make_period(&world->desk, &as, &again, &made, &world->err), -1);
	assert_int_equal(world->err.code, ERR_UNAVAILABLE);
	assert_true(world->err.retry_after_s > 0);
	/* it is over */
	as.other_slot = 7;
	check_open(world, &as, 0, "");
	as.slot = 8;
	scoped_open_period struct open_period next = make(world, &as, true);
	assert_int_equal(next.row.period.slot, 8);
	assert_int_equal(
	    store_period_lock(world->desk.db, period.row.id, PERIOD_LIVE, 1, &world->err), 0);
	check_open(world, &as, 1, "");
}

static void destroy(struct world *world, const struct open_period *period, bool with_mark)
{
	assert_int_equal(store_period_destroy(world->desk.db, period->row.id, 1, &world->err), 0);
	if (with_mark)
		assert_int_equal(
		    highwater_gone(world->desk.highwater, &period->row.period, &world->err), 0);
}

static void a_destroyed_period_stays_destroyed(void **state)
{
	struct world *world = *state;
	struct holding as = holding(ASSET, SELLER, 7, 0);
	struct open_period third;
	bool made;
	scoped_open_period struct open_period first = make(world, &as, true);
	put(world, &first, "openai", VALUE);
	sql(world, "CREATE TABLE old_periods AS SELECT * FROM periods");
	sql(world, "CREATE TABLE old_records AS SELECT * FROM records");
	destroy(world, &first, true);
	check_open(world, &as, 0, "");
	/* a fresh start, with the same proof, in a period of its own */
	scoped_open_period struct open_period second = make(world, &as, true);
	assert_int_equal(second.row.period.slot, 8);
	assert_int_equal(look_for(world, &second, "openai"), RECORD_NONE);
	check_open(world, &as, 1, "");
	destroy(world, &second, true);
	/* but not for ever: a slot that was not proven is none */
	assert_int_equal(records_make_period(&world->desk, &as, &third, &made, &world->err), -1);
	assert_string_equal(world->err.reason, "vault_period_destroyed");
	/* a backup from before is put back */
	sql(world, "DELETE FROM periods");
	sql(world, "INSERT INTO periods SELECT * FROM old_periods");
	sql(world, "INSERT INTO records SELECT * FROM old_records");
	check_open(world, &as, -1, "secret_rolled_back");
	assert_int_equal(records_make_period(&world->desk, &as, &third, &made, &world->err), -1);
	assert_string_equal(world->err.reason, "secret_rolled_back");
	/* one from before there was anything: the destroyed one's slot is still taken */
	sql(world, "DELETE FROM periods");
	check_open(world, &as, 0, "");
	assert_int_equal(records_make_period(&world->desk, &as, &third, &made, &world->err), -1);
	assert_string_equal(world->err.reason, "vault_period_destroyed");
}

static void learns_what_another_vault_destroyed(void **state)
{
	struct world *world = *state;
	struct holding as = holding(ASSET, SELLER, 7, 0);
	uint64_t mark;
	scoped_open_period struct open_period period = make(world, &as, true);
	destroy(world, &period, false);
	/* whoever writes to the store can say so: it is told, once */
	for (int told = 1; told >= 0; told--) {
		char said[1024];
		struct capture capture = capture_begin();
		check_open(world, &as, 0, "");
		capture_end(&capture, said, sizeof(said));
		assert_int_equal(strstr(said, "destroyed, says the store") != NULL, told);
		assert_int_equal(strstr(said, ASSET "/" SELLER "/7") != NULL, told);
	}
	highwater_get(world->desk.highwater, &period.row.period, "", "", &mark, &world->err);
	assert_int_equal(mark, HIGHWATER_GONE);
}

static void notices_a_period_that_is_missing(void **state)
{
	struct world *world = *state;
	struct holding as = holding(ASSET, SELLER, 7, 0), other = holding(ASSET, BUYER, 9, 8);
	struct open_period again;
	bool made;
	scoped_open_period struct open_period period = make(world, &as, true);
	sql(world, "DELETE FROM periods");
	check_open(world, &as, -1, "secret_rolled_back");
	assert_int_equal(records_make_period(&world->desk, &as, &again, &made, &world->err), -1);
	/* also one that is over by its slot: it may have been reinstated */
	as.other_slot = 8;
	check_open(world, &as, -1, "secret_rolled_back");
	/* nobody else suffers */
	check_open(world, &other, 0, "");
}

static void a_period_above_its_mark_raises_it(void **state)
{
	struct world *world = *state;
	struct holding as = holding(ASSET, SELLER, 7, 0);
	uint64_t mark;
	scoped_open_period struct open_period period = make(world, &as, true);
	/* as after a crash between the two commits */
	highwater_forget(world->desk.highwater);
	check_open(world, &as, 1, "");
	highwater_get(world->desk.highwater, &period.row.period, "", "", &mark, &world->err);
	assert_int_equal(mark, 1);
}

static void needs_the_master_key_of_the_row(void **state)
{
	struct world *world = *state;
	struct holding as = holding(ASSET, SELLER, 7, 0), as2 = holding(ASSET2, SELLER, 7, 0);
	struct master *first = world->desk.master, *second = make_master(world->folder, NEXT_KEY);
	scoped_open_period struct open_period old = make(world, &as, true);
	/* while it changes, new ones are under the next */
	world->desk.next = second;
	scoped_open_period struct open_period new = make(world, &as2, true);
	assert_memory_equal(new.row.key_id, master_id(second), KEY_ID_LEN);
	check_open(world, &as, 1, "");
	check_open(world, &as2, 1, "");
	world->desk.next = NULL;
	check_open(world, &as2, -1, "vault_foreign_key");
	world->desk.master = second;
	check_open(world, &as, -1, "vault_foreign_key");
	assert_int_equal(world->err.code, ERR_UNAVAILABLE);
	check_open(world, &as2, 1, "");
	world->desk.master = NULL;
	check_open(world, &as, -1, "vault_sealed");
	struct open_period global;
	assert_int_equal(records_open_global(&world->desk, true, &global, &world->err), -1);
	assert_string_equal(world->err.reason, "vault_sealed");
	world->desk.master = first;
	world->desk.next = second;
}

static void keeps_the_operators_period_apart(void **state)
{
	struct world *world = *state;
	struct open_period global;
	assert_int_equal(records_open_global(&world->desk, false, &global, &world->err), 0);
	assert_int_equal(records_open_global(&world->desk, true, &global, &world->err), 1);
	put(world, &global, "openai", VALUE);
	open_period_close(&global);
	assert_int_equal(records_open_global(&world->desk, true, &global, &world->err), 1);
	check_value(world, &global, "openai", VALUE, 1);
	open_period_close(&global);
	sql(world, "UPDATE periods SET state = 'locked'");
	assert_int_equal(records_open_global(&world->desk, true, &global, &world->err), -1);
	sql(world, "DELETE FROM periods");
	assert_int_equal(records_open_global(&world->desk, true, &global, &world->err), -1);
	assert_string_equal(world->err.reason, "secret_rolled_back");
}

static bool see_entry(void *arg, const struct audit_entry *entry)
{
	*(struct audit_entry *)arg = *entry;
	return true;
}

static void an_audit_entry_that_is_cut_can_still_be_told(void **state)
{
	struct world *world = *state;
	char detail[401];
	for (size_t i = 0; i < 400; i += 2) {
		detail[i] = '\xc3';
		detail[i + 1] = '\xa4';
	}
	detail[400] = '\0';
	for (size_t skip_bytes = 0; skip_bytes < 4; skip_bytes++) {
		const struct audit_note note = {
		    .act = "test", .by = "vault", .detail = detail + skip_bytes};
		struct audit_entry entry;
		assert_int_equal(records_audit(&world->desk, NULL, &note, &world->err), 0);
		assert_int_equal(store_audit_of(world->desk.db, AUDIT_GLOBAL, 0, 100, see_entry,
				     &entry, &world->err),
		    0);
		assert_int_equal(entry.seq, skip_bytes + 1);
		scoped_free char *text = audit_entry_text(&entry);
		assert_non_null(text);
		assert_int_equal(strlen(entry.detail), skip_bytes % 2 ? 0 : 160);
	}
}

/* ---- records ---- */

static struct open_period sample(struct world *world)
{
	struct holding as = holding(ASSET, SELLER, 7, 0);
	return make(world, &as, true);
}

static void versions_only_grow(void **state)
{
	struct world *world = *state;
	scoped_open_period struct open_period period = sample(world);
	assert_int_equal(look_for(world, &period, "openai"), RECORD_NONE);
	assert_int_equal(records_delete(&world->desk, &period, "llm", "openai", &world->err), 0);
	assert_int_equal(put(world, &period, "openai", "one"), 1);
	assert_int_equal(put(world, &period, "openai", "two"), 2);
	check_value(world, &period, "openai", "two", 2);
	assert_int_equal(records_delete(&world->desk, &period, "llm", "openai", &world->err), 1);
	assert_int_equal(look_for(world, &period, "openai"), RECORD_DELETED);
	assert_int_equal(records_delete(&world->desk, &period, "llm", "openai", &world->err), 0);
	assert_int_equal(put(world, &period, "openai", "four"), 4);
	check_value(world, &period, "openai", "four", 4);
	/* another name, another kind: another record */
	assert_int_equal(put(world, &period, "groq", "one"), 1);
	struct record record;
	assert_int_equal(
	    records_read(&world->desk, &period, "bot", "openai", &record, &world->err), 0);
	assert_int_equal(record.found, RECORD_NONE);
}

static void refuses_an_older_version_put_back(void **state)
{
	struct world *world = *state;
	scoped_open_period struct open_period period = sample(world);
	put(world, &period, "openai", "old");
	sql(world, "CREATE TABLE old AS SELECT * FROM records");
	put(world, &period, "openai", "new");
	sql(world, "DELETE FROM records");
	sql(world, "INSERT INTO records SELECT * FROM old");
	check_refused(world, &period, "openai", "secret_rolled_back");
	check_no_list(world, &period, "secret_rolled_back");
	/* old bytes that call themselves new */
	sql(world, "UPDATE records SET version = 2");
	check_refused(world, &period, "openai", "secret_undecryptable");
	check_no_list(world, &period, "secret_undecryptable");
	sql(world, "UPDATE records SET version = 3");
	check_refused(world, &period, "openai", "secret_undecryptable");
	/* the owner may set it again, or have it gone */
	assert_int_equal(put(world, &period, "openai", "newest"), 4);
	check_value(world, &period, "openai", "newest", 4);
	sql(world, "DELETE FROM records");
	sql(world, "INSERT INTO records SELECT * FROM old");
	assert_int_equal(records_delete(&world->desk, &period, "llm", "openai", &world->err), 1);
	assert_int_equal(look_for(world, &period, "openai"), RECORD_DELETED);
	assert_int_equal(put(world, &period, "openai", "last"), 6);
}

static void refuses_a_deleted_record_put_back(void **state)
{
	struct world *world = *state;
	scoped_open_period struct open_period period = sample(world);
	put(world, &period, "openai", VALUE);
	sql(world, "CREATE TABLE old AS SELECT * FROM records");
	records_delete(&world->desk, &period, "llm", "openai", &world->err);
	assert_int_equal(list(world, &period).len, 0);
	sql(world, "DELETE FROM records");
	check_refused(world, &period, "openai", "secret_rolled_back");
	check_no_list(world, &period, "secret_rolled_back");
	sql(world, "INSERT INTO records SELECT * FROM old");
	check_refused(world, &period, "openai", "secret_rolled_back");
	check_no_list(world, &period, "secret_rolled_back");
	assert_int_equal(records_delete(&world->desk, &period, "llm", "openai", &world->err), 1);
	assert_int_equal(look_for(world, &period, "openai"), RECORD_DELETED);
}

static void refuses_a_forged_deletion(void **state)
{
	struct world *world = *state;
	scoped_open_period struct open_period period = sample(world);
	put(world, &period, "groq", VALUE);
	put(world, &period, "openai", VALUE);
	sql(world, "UPDATE records SET deleted = 1 WHERE name = 'openai'");
	check_refused(world, &period, "openai", "secret_undecryptable");
	check_no_list(world, &period, "secret_undecryptable");
	check_value(world, &period, "groq", VALUE, 1);
	/* a true tombstone, of another name */
	records_delete(&world->desk, &period, "llm", "groq", &world->err);
	sql(world,
	    "UPDATE records SET version = 2, value = (SELECT value FROM records WHERE name = "
	    "'groq'), preview = (SELECT value FROM records WHERE name = 'groq') "
	    "WHERE name = 'openai'");
	check_refused(world, &period, "openai", "secret_undecryptable");
	/* and one that is no more: called a value */
	sql(world, "UPDATE records SET deleted = 0 WHERE name = 'groq'");
	check_refused(world, &period, "groq", "secret_undecryptable");
	assert_int_equal(records_delete(&world->desk, &period, "llm", "openai", &world->err), 1);
	assert_int_equal(look_for(world, &period, "openai"), RECORD_DELETED);
}

static void refuses_a_record_that_is_missing(void **state)
{
	struct world *world = *state;
	scoped_open_period struct open_period period = sample(world);
	put(world, &period, "groq", VALUE);
	put(world, &period, "openai", VALUE);
	sql(world, "DELETE FROM records WHERE name = 'groq'");
	check_refused(world, &period, "groq", "secret_rolled_back");
	check_no_list(world, &period, "secret_rolled_back");
	check_value(world, &period, "openai", VALUE, 1);
	assert_int_equal(put(world, &period, "groq", VALUE), 2);
	assert_int_equal(list(world, &period).len, 2);
	sql(world, "DELETE FROM records WHERE name = 'groq'");
	assert_int_equal(records_delete(&world->desk, &period, "llm", "groq", &world->err), 1);
	assert_int_equal(list(world, &period).len, 1);
}

#define SWAP(column) \
	"UPDATE records SET " column " = (SELECT " column \
	" FROM records AS b WHERE b.rowid <> records.rowid AND b.name = 'groq')" \
	" WHERE name = 'openai' AND period_id = 1"

static void refuses_what_belongs_elsewhere(void **state)
{
	static const char *const swaps[] = {SWAP("value"), SWAP("preview"),
	    "UPDATE records SET value = preview, preview = value WHERE name = 'openai'",
	    "UPDATE records SET name = 'mistral' WHERE name = 'openai'",
	    "UPDATE records SET kind = 'bot' WHERE name = 'openai'",
	    "INSERT OR REPLACE INTO records SELECT 1, kind, name, version, deleted, updated_ms, "
	    "value, preview FROM records WHERE period_id = 2",
	    "UPDATE records SET value = x'', preview = x''",
	    "UPDATE records SET value = zeroblob(60), preview = zeroblob(60)"};
	struct world *world = *state;
	struct holding buyer = holding(ASSET, BUYER, 9, 8);
	scoped_open_period struct open_period period = sample(world),
					      other = make(world, &buyer, true);
	put(world, &period, "groq", VALUE);
	put(world, &period, "openai", "another value that is long enough");
	put(world, &other, "openai", "the buyer's");
	for (size_t i = 0; i < ARRAY_LEN(swaps); i++) {
		struct seen seen = {0};
		assert_int_equal(db_savepoint(world->desk.db, &world->err), 0);
		sql(world, swaps[i]);
		struct record record;
		int read =
		    records_read(&world->desk, &period, "llm", "openai", &record, &world->err);
		int listed = records_list(&world->desk, &period, see, &seen, &world->err);
		/* a swapped preview shows in the list, a swapped value where it is read */
		if (read == 0)
			secret_destroy(&record.value);
		if ((read == 0) != (i == 1) || (listed == 0) != (i == 0))
			fail_msg("%s: %d %d", swaps[i], read, listed);
		db_rollback_to_savepoint(world->desk.db);
	}
	check_value(world, &other, "openai", "the buyer's", 1);
	assert_int_equal(list(world, &period).len, 2);
}

/* Without its primary key the table may say a thing twice. */
static void a_row_that_comes_twice_hides_none_that_is_missing(void **state)
{
	struct world *world = *state;
	scoped_open_period struct open_period period = sample(world);
	put(world, &period, "groq", VALUE);
	put(world, &period, "openai", VALUE);
	sql(world, "CREATE TABLE loose AS SELECT * FROM records");
	sql(world, "DROP TABLE records");
	sql(world, "ALTER TABLE loose RENAME TO records");
	assert_int_equal(list(world, &period).len, 2);
	sql(world, "DELETE FROM records WHERE name = 'openai'");
	check_no_list(world, &period, "secret_rolled_back");
	sql(world, "INSERT INTO records SELECT * FROM records");
	check_no_list(world, &period, "storage_damaged");
}

static void a_forged_version_spoils_no_name(void **state)
{
	static const char *const forged[] = {
	    "UPDATE records SET version = 9223372036854775807",
	    "UPDATE records SET version = 9223372036854775806",
	    "UPDATE records SET version = 4000000000",
	};
	struct world *world = *state;
	scoped_open_period struct open_period period = sample(world);
	uint64_t version = put(world, &period, "openai", VALUE), mark;
	for (size_t i = 0; i < ARRAY_LEN(forged); i++) {
		sql(world, forged[i]);
		check_refused(world, &period, "openai", "secret_undecryptable");
		/* the owner may set it again, or have it gone, and the marks did not learn the lie */
		if (i % 2)
			assert_int_equal(
			    records_delete(&world->desk, &period, "llm", "openai", &world->err), 1);
		else
			put(world, &period, "openai", VALUE);
		assert_int_equal(
		    look_for(world, &period, "openai"), i % 2 ? RECORD_DELETED : RECORD_SET);
		highwater_get(
		    world->desk.highwater, &period.row.period, "llm", "openai", &mark, &world->err);
		assert_int_equal(mark, ++version);
	}
}

static void a_record_above_its_mark_raises_it(void **state)
{
	struct world *world = *state;
	scoped_open_period struct open_period period = sample(world);
	uint64_t mark;
	put(world, &period, "openai", VALUE);
	put(world, &period, "openai", VALUE);
	for (int by_list = 0; by_list <= 1; by_list++) {
		highwater_forget(world->desk.highwater);
		if (by_list)
			assert_int_equal(list(world, &period).len, 1);
		else
			check_value(world, &period, "openai", VALUE, 2);
		highwater_get(
		    world->desk.highwater, &period.row.period, "llm", "openai", &mark, &world->err);
		assert_int_equal(mark, 2);
	}
}

static void lists_what_may_be_shown(void **state)
{
	struct world *world = *state;
	scoped_open_period struct open_period period = sample(world);
	char name[16], address[45];
	uint64_t version;
	/* more than two pages, each third deleted */
	for (int i = 0; i < 450; i++) {
		snprintf(name, sizeof(name), "n%03d", i);
		put(world, &period, name, VALUE);
		if (i % 3 == 0)
			assert_int_equal(
			    records_delete(&world->desk, &period, "llm", name, &world->err), 1);
	}
	memset(address, 'A', 44);
	address[44] = '\0';
	assert_int_equal(records_write(&world->desk, &period, "wallet", "hot", VALUE, 43, address,
			     &version, &world->err),
	    0);
	assert_int_equal(records_write(&world->desk, &period, "custom", "x", VALUE, 43, "",
			     &version, &world->err),
	    0);
	struct seen seen = list(world, &period);
	assert_int_equal(seen.len, 302);
	assert_string_equal(seen.first.kind, "custom");
	assert_string_equal(seen.first.preview, "");
	assert_string_equal(seen.last.kind, "wallet");
	assert_string_equal(seen.last.preview, address);
	assert_int_equal(seen.last.updated_ms, world->desk.now_ms);
}

static void holds_a_thousand_and_no_more(void **state)
{
	struct world *world = *state;
	scoped_open_period struct open_period period = sample(world);
	char name[16];
	uint64_t version;
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		put(world, &period, name, "x");
	}
	assert_int_equal(
	    records_write(&world->desk, &period, "llm", "more", "x", 1, "", &version, &world->err),
	    -1);
	assert_int_equal(world->err.code, ERR_CONFLICT);
	assert_string_equal(world->err.reason, "secrets_exhausted");
	assert_int_equal(put(world, &period, "n5", "y"), 2);
	assert_int_equal(list(world, &period).len, 1000);
	records_delete(&world->desk, &period, "llm", "n7", &world->err);
	assert_int_equal(put(world, &period, "more", "x"), 1);
	assert_int_equal(
	    records_write(&world->desk, &period, "llm", "n7", "x", 1, "", &version, &world->err),
	    -1);
	/* names that were deleted count, too, or their tombstones would fill the disk */
	records_delete(&world->desk, &period, "llm", "more", &world->err);
	for (int i = 1001; i < 4000; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		assert_int_equal(highwater_raise(world->desk.highwater, &period.row.period, "llm",
				     name, 2, &world->err),
		    0);
	}
	assert_int_equal(
	    records_write(&world->desk, &period, "llm", "last", "x", 1, "", &version, &world->err),
	    -1);
	assert_string_equal(world->err.reason, "secrets_exhausted");
	assert_int_equal(put(world, &period, "more", "x"), 3);
}

/* ---- resolving ---- */

static const struct {
	const char *mine; /* NULL: never; "": deleted */
	const char *theirs;
	const char *source, *own;
} resolutions[] = {
    {NULL, NULL, "none", "none"},
    {NULL, VALUE, "global", "none"},
    {NULL, "", "none", "none"},
    {VALUE, NULL, "user", "set"},
    {VALUE, VALUE, "user", "set"},
    {"", NULL, "none", "deleted"},
    {"", VALUE, "global", "deleted"},
    {"", "", "none", "deleted"},
};

static void have(
    struct world *world, const struct open_period *period, const char *name, const char *value)
{
	if (!value)
		return;
	put(world, period, name, VALUE);
	if (!value[0])
		records_delete(&world->desk, period, "llm", name, &world->err);
}

/* As of now. own, global: NULL if there is no such period. */
static int resolve(struct world *world, const struct open_period *own,
    const struct open_period *global, const char *name, bool opens_own, struct resolved *resolved_r)
{
	scoped_record_list struct record_list mine = {0}, theirs = {0};
	if ((own && records_list_all(&world->desk, own, &mine, &world->err) != 0) ||
	    (global && records_list_names(&world->desk, global, &theirs, &world->err) != 0))
		return -1;
	return records_resolve(&world->desk, own ? &mine : NULL, global ? &theirs : NULL, name,
	    opens_own, resolved_r, &world->err);
}

static void resolves_user_then_global_then_none(void **state)
{
	struct world *world = *state;
	struct resolved resolved;
	scoped_open_period struct open_period own = sample(world), global = {0};
	assert_int_equal(records_open_global(&world->desk, true, &global, &world->err), 1);
	for (size_t i = 0; i < 2 * ARRAY_LEN(resolutions); i++) {
		char name[8];
		const size_t at = i / 2;
		snprintf(name, sizeof(name), "p%zu", at);
		if (i % 2 == 0) {
			have(world, &own, name, resolutions[at].mine);
			have(world, &global, name, resolutions[at].theirs);
		}
		assert_int_equal(resolve(world, &own, &global, name, i % 2, &resolved), 0);
		assert_string_equal(resolved.source, resolutions[at].source);
		assert_string_equal(resolved.own, resolutions[at].own);
		/* a global key's preview is nobody's */
		bool is_own = strcmp(resolved.source, "user") == 0;
		assert_string_equal(resolved.preview, is_own ? PREVIEW : "");
	}
	assert_int_equal(resolve(world, NULL, &global, "p1", true, &resolved), 0);
	assert_string_equal(resolved.source, "global");
	assert_int_equal(resolve(world, NULL, NULL, "p1", true, &resolved), 0);
	assert_string_equal(resolved.source, "none");
}

static void what_does_not_open_is_not_passed_over(void **state)
{
	struct world *world = *state;
	struct resolved resolved = {0};
	scoped_open_period struct open_period own = sample(world), global = {0};
	assert_int_equal(records_open_global(&world->desk, true, &global, &world->err), 1);
	put(world, &own, "openai", VALUE);
	put(world, &global, "openai", VALUE);
	sql(world, "UPDATE records SET value = zeroblob(90) WHERE period_id = 1");
	assert_int_equal(resolve(world, &own, &global, "openai", true, &resolved), -1);
	assert_string_equal(world->err.reason, "secret_undecryptable");
	/* not looked at here: whoever releases it opens it */
	assert_int_equal(resolve(world, &own, &global, "openai", false, &resolved), 0);
	assert_string_equal(resolved.source, "user");
	sql(world, "UPDATE records SET value = zeroblob(90) WHERE period_id = 2");
	assert_int_equal(resolve(world, NULL, &global, "openai", false, &resolved), -1);
	assert_string_equal(world->err.reason, "secret_undecryptable");
	sql(world, "DELETE FROM records WHERE period_id = 2");
	assert_int_equal(resolve(world, NULL, &global, "openai", false, &resolved), -1);
	assert_string_equal(world->err.reason, "secret_rolled_back");
	/* who would not use it has no trouble with it */
	assert_int_equal(resolve(world, NULL, &global, "mistral", true, &resolved), 0);
	assert_int_equal(resolve(world, &own, &global, "openai", false, &resolved), 0);
	sql(world, "UPDATE records SET preview = zeroblob(50) WHERE period_id = 1");
	assert_int_equal(resolve(world, &own, NULL, "openai", false, &resolved), -1);
	assert_string_equal(world->err.reason, "secret_undecryptable");
}

static void a_list_of_all_has_tombstones_in_their_place(void **state)
{
	struct world *world = *state;
	scoped_open_period struct open_period period = sample(world);
	scoped_record_list struct record_list list = {0};
	char name[8];
	for (unsigned i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "p%02u", i);
		have(world, &period, name, i % 3 ? VALUE : "");
	}
	assert_int_equal(records_list_all(&world->desk, &period, &list, &world->err), 0);
	assert_int_equal(list.len, 100);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "p%02u", i);
		assert_string_equal(list.item[i].name, name);
		assert_int_equal(list.item[i].deleted, i % 3 == 0);
		assert_string_equal(list.item[i].preview, i % 3 ? PREVIEW : "");
		assert_ptr_equal(record_list_find(&list, "llm", name), &list.item[i]);
	}
	assert_null(record_list_find(&list, "llm", "p"));
	assert_null(record_list_find(&list, "bot", "p01"));
}

static void what_was_listed_is_read_as_it_was_listed_or_not_at_all(void **state)
{
	struct world *world = *state;
	static const struct {
		const char *statement, *reason;
	} changes[] = {
	    {"UPDATE records SET version = version + 1", "storage_damaged"},
	    {"UPDATE records SET version = version - 1", "storage_damaged"},
	    {"UPDATE records SET deleted = 1", "storage_damaged"},
	    {"DELETE FROM records", "storage_damaged"},
	    {"UPDATE records SET value = preview", "secret_undecryptable"},
	    {"UPDATE records SET value = zeroblob(40)", "secret_undecryptable"},
	};
	scoped_open_period struct open_period period = sample(world);
	scoped_record_list struct record_list list = {0};
	put(world, &period, "openai", VALUE);
	put(world, &period, "openai", VALUE);
	assert_int_equal(records_list_all(&world->desk, &period, &list, &world->err), 0);
	struct secret *value = records_read_listed(&world->desk, &list, &list.item[0], &world->err);
	assert_non_null(value);
	assert_true(secret_equal(value, VALUE, strlen(VALUE)));
	secret_destroy(&value);
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		assert_int_equal(db_savepoint(world->desk.db, &world->err), 0);
		sql(world, changes[i].statement);
		assert_null(records_read_listed(&world->desk, &list, &list.item[0], &world->err));
		assert_string_equal(world->err.reason, changes[i].reason);
		db_rollback_to_savepoint(world->desk.db);
	}
}

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(makes_a_period_once_and_writes_it_down),
	    WORLD_TEST(is_open_to_nobody_but_its_owner_and_only_while_it_lasts),
	    WORLD_TEST(finds_nothing_after_a_sale_and_a_buy_back),
	    WORLD_TEST(a_proof_before_another_owner_makes_nothing),
	    WORLD_TEST(a_writer_to_the_store_cannot_prolong_a_period),
	    WORLD_TEST(a_locked_period_is_closed_whoever_asks),
	    WORLD_TEST(a_destroyed_period_stays_destroyed),
	    WORLD_TEST(learns_what_another_vault_destroyed),
	    WORLD_TEST(notices_a_period_that_is_missing),
	    WORLD_TEST(a_period_above_its_mark_raises_it),
	    WORLD_TEST(needs_the_master_key_of_the_row),
	    WORLD_TEST(keeps_the_operators_period_apart),
	    WORLD_TEST(an_audit_entry_that_is_cut_can_still_be_told),
	    WORLD_TEST(versions_only_grow),
	    WORLD_TEST(refuses_an_older_version_put_back),
	    WORLD_TEST(refuses_a_deleted_record_put_back),
	    WORLD_TEST(refuses_a_forged_deletion),
	    WORLD_TEST(refuses_a_record_that_is_missing),
	    WORLD_TEST(refuses_what_belongs_elsewhere),
	    WORLD_TEST(a_row_that_comes_twice_hides_none_that_is_missing),
	    WORLD_TEST(a_forged_version_spoils_no_name),
	    WORLD_TEST(a_record_above_its_mark_raises_it),
	    WORLD_TEST(lists_what_may_be_shown),
	    WORLD_TEST(holds_a_thousand_and_no_more),
	    WORLD_TEST(resolves_user_then_global_then_none),
	    WORLD_TEST(a_list_of_all_has_tombstones_in_their_place),
	    WORLD_TEST(what_was_listed_is_read_as_it_was_listed_or_not_at_all),
	    WORLD_TEST(what_does_not_open_is_not_passed_over),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
