/* What db.h promises of transactions, failures and files, of both databases. */
#include "tests/unit/secret-vault/store_world.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sodium.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

static bool is_set(struct store_world *world, const char *name)
{
	uint8_t buf[64];
	size_t len = 0;

	GOOD(world, store_get(world->db, name, buf, sizeof(buf), &len, &world->err));
	return len > 0;
}

static void put(struct store_world *world, const char *name)
{
	GOOD(world, store_set(world->db, name, "x", 1, &world->err));
}

static int break_it(struct store_world *world)
{
	world->err = (struct error){0};
	return db_run(world->db, "INSERT INTO settings (name, value) VALUES ('broken', NULL)", NULL,
	    0, NULL, NULL, NULL, &world->err);
}

/* ---- transactions ---- */

static void what_is_rolled_back_is_not_there(void **state)
{
	struct store_world *world = *state;

	store_begin(world, true);
	put(world, "a");
	assert_true(is_set(world, "a"));
	db_rollback(world->db);
	db_rollback(world->db);
	store_begin(world, false);
	assert_false(is_set(world, "a"));
	store_commit(world);
}

static void a_savepoint_is_undone_alone(void **state)
{
	struct store_world *world = *state;

	store_begin(world, true);
	put(world, "a");
	GOOD(world, db_savepoint(world->db, &world->err));
	put(world, "b");
	db_rollback_to_savepoint(world->db);
	GOOD(world, db_savepoint(world->db, &world->err));
	put(world, "c");
	GOOD(world, db_release(world->db, &world->err));
	GOOD(world, db_savepoint(world->db, &world->err));
	put(world, "d");
	assert_int_equal(break_it(world), -1);
	db_rollback_to_savepoint(world->db);
	GOOD(world, db_check(world->db, &world->err));
	store_commit(world);
	store_begin(world, false);
	assert_true(is_set(world, "a") && is_set(world, "c"));
	assert_false(is_set(world, "b") || is_set(world, "d"));
	store_commit(world);
}

static void after_a_failed_statement_nothing_goes_on_and_nothing_is_kept(void **state)
{
	struct store_world *world = *state;

	store_begin(world, true);
	put(world, "a");
	assert_int_equal(break_it(world), -1);
	assert_int_equal(world->err.code, ERR_INTERNAL);
	assert_string_equal(world->err.reason, "storage_refused");
	assert_int_equal(db_check(world->db, NULL), -1);
	assert_int_equal(store_set(world->db, "b", "x", 1, &world->err), -1);
	assert_int_equal(db_savepoint(world->db, &world->err), -1);
	assert_int_equal(db_commit(world->db, &world->err), -1);
	store_begin(world, false);
	assert_false(is_set(world, "a") || is_set(world, "b"));
	store_commit(world);
}

static void a_transaction_that_reads_does_not_write(void **state)
{
	struct store_world *world = *state;

	store_begin(world, false);
	assert_false(is_set(world, "a"));
	assert_int_equal(store_set(world->db, "a", "x", 1, &world->err), -1);
	assert_string_equal(world->err.reason, "storage_refused");
	db_rollback(world->db);
	store_begin(world, false);
	assert_false(is_set(world, "a"));
	store_commit(world);
}

static void says_how_many_rows_were_changed(void **state)
{
	struct store_world *world = *state;
	uint64_t n = 77;

	store_begin(world, true);
	put(world, "a");
	put(world, "b");
	GOOD(world,
	    db_run(world->db, "SELECT name FROM settings", NULL, 0, NULL, NULL, &n, &world->err));
	assert_int_equal(n, 0);
	GOOD(world, db_run(world->db, "DELETE FROM settings WHERE name = 'nobody'", NULL, 0, NULL,
			NULL, &n, &world->err));
	assert_int_equal(n, 0);
	GOOD(world, db_run(world->db, "UPDATE settings SET value = $1 WHERE name IN ('a', 'b')",
			(struct db_value[]){db_blob(NULL, 0)}, 1, NULL, NULL, &n, &world->err));
	assert_int_equal(n, 2);
	store_commit(world);
}

static bool keep_column(void *arg, const struct db_value *column, size_t ncolumns)
{
	assert_int_equal(ncolumns, 4);
	memcpy(arg, column, 4 * sizeof(*column));
	assert_int_equal(column[1].len, 6);
	assert_string_equal(column[1].bytes, "t\xc3\xa4xt!");
	assert_int_equal(column[2].len, 3);
	assert_memory_equal(column[2].bytes, "\0\xff'", 3);
	return true;
}

static void values_come_back_as_they_went(void **state)
{
	struct store_world *world = *state;
	struct db_value columns[4];
	static const int64_t numbers[] = {0, 1, -1, INT64_MAX, INT64_MIN};

	store_begin(world, true);
	GOOD(world, db_run(world->db, "CREATE TABLE things (n BIGINT, t TEXT, b BYTEA, z BYTEA)",
			NULL, 0, NULL, NULL, NULL, &world->err));
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		const struct db_value values[] = {db_int((uint64_t)numbers[i]),
		    db_text("t\xc3\xa4xt!"), db_blob("\0\xff'", 3), db_null};
		GOOD(world, db_run(world->db, "DELETE FROM things", NULL, 0, NULL, NULL, NULL,
				&world->err));
		GOOD(world, db_run(world->db, "INSERT INTO things VALUES ($1, $2, $3, $4)", values,
				4, NULL, NULL, NULL, &world->err));
		GOOD(world, db_run(world->db, "SELECT * FROM things", NULL, 0, keep_column, columns,
				NULL, &world->err));
		assert_int_equal(columns[0].type, DB_INT);
		assert_int_equal(columns[0].number, numbers[i]);
		assert_int_equal(columns[1].type, DB_TEXT);
		assert_int_equal(columns[2].type, DB_BLOB);
		assert_int_equal(columns[3].type, DB_NULL);
	}
	store_commit(world);
}

static void an_empty_value_is_not_a_missing_one(void **state)
{
	struct store_world *world = *state;
	uint64_t n = 0;

	store_begin(world, true);
	GOOD(world, store_set(world->db, "empty", NULL, 0, &world->err));
	GOOD(world,
	    db_run(world->db, "DELETE FROM settings WHERE value IS NOT NULL AND name = 'empty'",
		NULL, 0, NULL, NULL, &n, &world->err));
	assert_int_equal(n, 1);
	db_rollback(world->db);
}

static void no_value_is_in_an_error(void **state)
{
	struct store_world *world = *state;
	static const char secret[] = "sk-very-secret";
	const struct db_value values[] = {db_text(secret), db_blob(secret, strlen(secret))};

	for (int round = 0; round < 2; round++) {
		store_begin(world, true);
		GOOD(world, db_run(world->db, "INSERT INTO settings VALUES ($1, $2)", values, 2,
				NULL, NULL, NULL, &world->err));
		assert_int_equal(db_run(world->db, "INSERT INTO settings VALUES ($1, $2)", values,
				     2, NULL, NULL, NULL, &world->err),
		    -1);
		assert_null(strstr(world->err.text, secret));
		db_rollback(world->db);
	}
	store_begin(world, true);
	int rc = db_run(world->db, "INSERT INTO settings VALUES ($1, $2)",
	    (struct db_value[]){{DB_TEXT, 0, "sk-\xff\xfe", 5}, values[1]}, 2, NULL, NULL, NULL,
	    &world->err);
	assert_true(rc == 0 || !strstr(world->err.text, "0xff"));
	db_rollback(world->db);
}

/* ---- commits that fail ---- */

/* Runs test in a process of its own, on a store of its own: what it does to itself ends with it. */
static void in_a_child(struct store_world *world, void (*test)(struct store_world *world))
{
	int status;

	if (!world->is_postgres)
		db_close(&world->db);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		/* cmocka's way out of a failed test leads back into the parent's code: it must not be taken here */
		alarm(60);
		test(world);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) == 1)
		fail_msg("the child failed (status %d)", status);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
}

#define CHILD_EXPECTS(cond) \
	do { \
		if (!(cond)) { \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #cond, \
			    world->err.text); \
			_exit(1); \
		} \
	} while (0)

static bool child_has(struct store_world *world, const char *name)
{
	static uint8_t buf[65536];
	size_t len = 0;

	CHILD_EXPECTS(db_begin(world->db, false, &world->err) == 0);
	CHILD_EXPECTS(store_get(world->db, name, buf, sizeof(buf), &len, &world->err) == 0);
	CHILD_EXPECTS(db_commit(world->db, &world->err) == 0);
	return len > 0;
}

/* Puts 64 KiB under a name; true if that was committed. */
static bool child_puts_much(struct store_world *world, const char *name)
{
	static uint8_t much[65536];

	world->err = (struct error){0};
	if (db_begin(world->db, true, &world->err) < 0)
		return false;
	if (store_set(world->db, "before", "x", 1, &world->err) < 0 ||
	    store_set(world->db, name, much, sizeof(much), &world->err) < 0) {
		db_rollback(world->db);
		return false;
	}
	return db_commit(world->db, &world->err) == 0;
}

static void open_and_fill(struct store_world *world, const char *says)
{
	char name[32];
	unsigned n = 0;

	world->db = db_open(world->where, &world->err);
	CHILD_EXPECTS(world->db && store_create(world->db, &world->err) == 0);
	do
		snprintf(name, sizeof(name), "much%u", n++);
	while (n < 200 && child_puts_much(world, name));
	CHILD_EXPECTS(n < 200);
	CHILD_EXPECTS(world->err.code == ERR_UNAVAILABLE);
	CHILD_EXPECTS(strcmp(world->err.reason, "storage_unavailable") == 0);
	CHILD_EXPECTS(strstr(world->err.text, says));
	CHILD_EXPECTS(!child_has(world, name));
	CHILD_EXPECTS(n < 2 || child_has(world, "before"));
}

/* A limit for files is met when the log is written: at the commit. */
static void child_meets_a_limit(struct store_world *world)
{
	const struct rlimit small = {300000, RLIM_INFINITY}, none = {RLIM_INFINITY, RLIM_INFINITY};

	signal(SIGXFSZ, SIG_IGN);
	CHILD_EXPECTS(setrlimit(RLIMIT_FSIZE, &small) == 0);
	open_and_fill(world, "the disk fails");
	CHILD_EXPECTS(setrlimit(RLIMIT_FSIZE, &none) == 0);
	CHILD_EXPECTS(child_puts_much(world, "later"));
	CHILD_EXPECTS(child_has(world, "later"));
	db_close(&world->db);
}

static void a_commit_that_cannot_be_written_leaves_nothing(void **state)
{
	struct store_world *world = *state;

	in_a_child(world, child_meets_a_limit);
	world->db = store_world_connect(world);
	store_begin(world, false);
	assert_true(is_set(world, "before"));
	store_commit(world);
}

static void child_fills_a_disk(struct store_world *world)
{
	if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("none", world->dir, "tmpfs", 0, "size=512k") != 0)
		_exit(77);
	open_and_fill(world, "the disk is full");
	/* reading goes on, and a little less fits again after something was deleted */
	CHILD_EXPECTS(child_has(world, "schema"));
	CHILD_EXPECTS(db_begin(world->db, true, &world->err) == 0);
	CHILD_EXPECTS(store_unset(world->db, "much0", &world->err) == 0);
	if (db_commit(world->db, &world->err) < 0)
		CHILD_EXPECTS(child_has(world, "much0"));
	db_close(&world->db);
}

static void a_full_disk_is_said_and_leaves_nothing(void **state)
{
	in_a_child(*state, child_fills_a_disk);
}

static void a_file_that_may_not_grow_is_a_full_disk(void **state)
{
	struct store_world *world = *state;
	static uint8_t much[65536];

	store_begin(world, true);
	put(world, "a");
	GOOD(world, db_run(world->db, "PRAGMA max_page_count = 20", NULL, 0, NULL, NULL, NULL,
			&world->err));
	GOOD(world, db_savepoint(world->db, &world->err));
	assert_int_equal(store_set(world->db, "much", much, sizeof(much), &world->err), -1);
	assert_unavailable(&world->err);
	assert_non_null(strstr(world->err.text, "the disk is full"));
	db_rollback_to_savepoint(world->db);
	/* whichever way SQLite took out of it: all or nothing */
	bool is_kept = db_commit(world->db, &world->err) == 0;
	store_begin(world, false);
	assert_int_equal(is_set(world, "a"), is_kept);
	assert_false(is_set(world, "much"));
	store_commit(world);
}

static void a_commit_that_is_refused_leaves_nothing(void **state)
{
	struct store_world *world = *state;

	postgres_server_say(store_server(),
	    "CREATE TABLE late (n BIGINT, UNIQUE (n) DEFERRABLE INITIALLY DEFERRED)");
	store_begin(world, true);
	put(world, "a");
	for (int i = 0; i < 2; i++)
		GOOD(world, db_run(world->db, "INSERT INTO late VALUES (1)", NULL, 0, NULL, NULL,
				NULL, &world->err));
	assert_int_equal(db_commit(world->db, &world->err), -1);
	store_begin(world, false);
	assert_false(is_set(world, "a"));
	store_commit(world);
}

/* ---- power ---- */

/* Commits one after the other, telling each when it is done. */
static void commit_for_ever(struct store_world *world, int told)
{
	for (uint32_t n = 1;; n++) {
		struct audit_entry entry = store_some_entry(AUDIT_GLOBAL);
		CHILD_EXPECTS(db_begin(world->db, true, &world->err) == 0);
		CHILD_EXPECTS(store_append(world, &entry) == 0);
		CHILD_EXPECTS(store_set(world->db, "n", &n, sizeof(n), &world->err) == 0);
		CHILD_EXPECTS(db_commit(world->db, &world->err) == 0);
		CHILD_EXPECTS(write(told, &n, sizeof(n)) == sizeof(n));
	}
}

static void what_was_committed_survives_kill_9(void **state)
{
	struct store_world *world = *state;
	uint32_t n = 0, kept = 0;
	int pipes[2], status;
	size_t len;

	db_close(&world->db);
	for (unsigned round = 0; round < 5; round++) {
		assert_int_equal(pipe(pipes), 0);
		pid_t pid = fork();
		if (pid == 0) {
			close(pipes[0]);
			world->db = db_open(world->where, &world->err);
			CHILD_EXPECTS(world->db);
			commit_for_ever(world, pipes[1]);
		}
		close(pipes[1]);
		for (unsigned i = 0; i < 7 * (round + 1); i++)
			assert_int_equal(read(pipes[0], &n, sizeof(n)), sizeof(n));
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		while (read(pipes[0], &n, sizeof(n)) == sizeof(n))
			;
		close(pipes[0]);
		/* PostgreSQL may be in the middle of it still: the next that writes waits for that */
		world->db = store_world_connect(world);
		store_begin(world, true);
		GOOD(world, store_get(world->db, "n", &kept, sizeof(kept), &len, &world->err));
		store_commit(world);
		assert_true(kept == n || kept == n + 1);
		db_close(&world->db);
	}
}

/* ---- one at a time ---- */

static void a_second_process_is_refused(void **state)
{
	struct store_world *world = *state;
	struct error err = {0};
	uint64_t began = clock_boot_ms();
	int status;

	assert_null(db_open(world->where, &err));
	assert_unavailable(&err);
	pid_t pid = fork();
	if (pid == 0) {
		struct db *db = db_open(world->where, &err);
		bool is_refused = !db && err.code == ERR_UNAVAILABLE &&
				  strstr(err.text, "another process") &&
				  strstr(err.text, world->dir);
		_exit(is_refused ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	assert_in_range(clock_boot_ms() - began, 0, 2500);
	/* and nothing happened to the first */
	store_begin(world, true);
	put(world, "a");
	store_commit(world);
	db_close(&world->db);
	world->db = store_world_connect(world);
}

static void waits_for_another_writer_and_gives_up(void **state)
{
	struct store_world *world = *state;
	struct db *other = store_world_connect(world);
	uint64_t began = clock_boot_ms();

	store_begin(world, true);
	put(world, "a");
	assert_int_equal(db_begin(other, true, &world->err), -1);
	assert_unavailable(&world->err);
	assert_non_null(strstr(world->err.text, "55P03"));
	assert_in_range(clock_boot_ms() - began, 2500, 6000);
	/* whoever only reads waits for nobody, and sees one state */
	GOOD(world, db_begin(other, false, &world->err));
	uint8_t buf[8];
	size_t len;
	GOOD(world, store_get(other, "a", buf, sizeof(buf), &len, &world->err));
	assert_int_equal(len, 0);
	store_commit(world);
	GOOD(world, store_get(other, "a", buf, sizeof(buf), &len, &world->err));
	assert_int_equal(len, 0);
	GOOD(world, db_commit(other, &world->err));
	GOOD(world, db_begin(other, true, &world->err));
	GOOD(world, store_get(other, "a", buf, sizeof(buf), &len, &world->err));
	assert_int_equal(len, 1);
	db_rollback(other);
	db_close(&other);
}

static bool take_version(void *arg, const struct store_record *record)
{
	*(uint64_t *)arg = record->version;
	return true;
}

#define ROUNDS 100
static void child_writes_versions(struct store_world *world)
{
	world->db = db_open(world->where, &world->err);
	CHILD_EXPECTS(world->db);
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct store_record record = store_some_record(1, "llm", "a");
		struct audit_entry entry = store_some_entry("a/w/1");
		record.version = 0;
		CHILD_EXPECTS(db_begin(world->db, true, &world->err) == 0);
		CHILD_EXPECTS(store_record_find(world->db, 1, "llm", "a", take_version,
				  &record.version, &world->err) == 0);
		record.version++;
		entry.version = record.version;
		CHILD_EXPECTS(store_record_put(world->db, &record, &world->err) == 0);
		CHILD_EXPECTS(store_append(world, &entry) == 0);
		CHILD_EXPECTS(db_commit(world->db, &world->err) == 0);
	}
	db_close(&world->db);
	_exit(0);
}

struct chain {
	struct audit_check *check;
	uint64_t n;
};

static bool follow(void *arg, const struct audit_entry *entry)
{
	struct chain *chain = arg;
	struct error err = {0};

	if (audit_check_next(chain->check, entry, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(entry->version, ++chain->n);
	return true;
}

static void vaults_that_write_at_once_lose_nothing(void **state)
{
	struct store_world *world = *state;
	struct chain chain = {audit_check_new(), 0};
	uint64_t version = 0;
	pid_t pids[3];
	int status;

	for (size_t i = 0; i < ARRAY_LEN(pids); i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			child_writes_versions(world);
	}
	for (size_t i = 0; i < ARRAY_LEN(pids); i++) {
		waitpid(pids[i], &status, 0);
		assert_int_equal(status, 0);
	}
	store_begin(world, false);
	GOOD(world,
	    store_record_find(world->db, 1, "llm", "a", take_version, &version, &world->err));
	assert_int_equal(version, ARRAY_LEN(pids) * ROUNDS);
	GOOD(world, store_audit_all(world->db, 0, 100000, follow, &chain, &world->err));
	assert_int_equal(chain.n, ARRAY_LEN(pids) * ROUNDS);
	store_commit(world);
	audit_check_destroy(&chain.check);
}

/* ---- a server that goes ---- */

static void a_lost_server_is_said_and_found_again(void **state)
{
	struct store_world *world = *state;

	store_begin(world, true);
	put(world, "kept");
	store_commit(world);
	store_begin(world, true);
	put(world, "lost");
	GOOD(world, db_savepoint(world->db, &world->err));
	postgres_server_kill(store_server());
	assert_int_equal(store_set(world->db, "b", "x", 1, &world->err), -1);
	assert_unavailable(&world->err);
	assert_non_null(strstr(world->err.text, "connection was lost"));
	db_rollback_to_savepoint(world->db);
	assert_int_equal(db_check(world->db, NULL), -1);
	assert_int_equal(db_commit(world->db, &world->err), -1);
	assert_unavailable(&world->err);
	assert_int_equal(db_begin(world->db, true, &world->err), -1);
	assert_unavailable(&world->err);
	postgres_server_again(store_server());
	store_begin(world, true);
	assert_true(is_set(world, "kept"));
	assert_false(is_set(world, "lost"));
	put(world, "more");
	store_commit(world);
}

static void a_connection_that_died_while_idle_is_not_noticed(void **state)
{
	struct store_world *world = *state;

	store_begin(world, true);
	put(world, "a");
	store_commit(world);
	for (int writes = 0; writes < 2; writes++) {
		postgres_server_say(store_server(),
		    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
		    "WHERE application_name = 'multiclaw-secret-vault'");
		store_begin(world, writes);
		assert_true(is_set(world, "a"));
		store_commit(world);
	}
}

static void a_server_that_ends_during_the_commit_leaves_it_open(void **state)
{
	struct store_world *world = *state;

	store_begin(world, true);
	put(world, "a");
	postgres_server_kill(store_server());
	assert_int_equal(db_commit(world->db, &world->err), -1);
	assert_unavailable(&world->err);
	assert_non_null(strstr(world->err.text, "not known"));
	postgres_server_again(store_server());
	store_begin(world, false);
	assert_false(is_set(world, "a"));
	store_commit(world);
}

static void a_server_that_is_frozen_is_given_up(void **state)
{
	struct store_world *world = *state;
	uint64_t began = clock_boot_ms();
	struct error err = {0};

	postgres_server_freeze(store_server(), true);
	struct db *other = db_open(world->where, &err);
	postgres_server_freeze(store_server(), false);
	assert_null(other);
	assert_unavailable(&err);
	assert_in_range(clock_boot_ms() - began, 1000, 6000);
	store_begin(world, true);
	put(world, "a");
	store_commit(world);
}

/* ---- opening ---- */

static void says_what_is_wrong_with_where_and_nothing_of_it(void **state)
{
	(void)state;
	static const char *const wrong[] = {"", "vault.db", "mysql:sk-secret", "sqlite",
	    "postgres:sk-secret", "postgres:host=/tmp passwort=sk-secret",
	    "postgres:host=/nowhere password=sk-secret", "postgres://u:sk-secret@h:x/d",
	    "sqlite:/nowhere/at/all/vault.db", "sqlite:/tmp"};

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct error err = {0};
		assert_null(db_open(wrong[i], &err));
		assert_true(strlen(err.text) > 0);
		assert_null(strstr(err.text, "sk-secret"));
	}
}

static void makes_a_file_that_nobody_else_can_read(void **state)
{
	struct store_world *world = *state;
	static const char *const suffixes[] = {"", "-wal"};
	char path[80];
	struct stat st;
	mode_t mask = umask(0);

	db_close(&world->db);
	unlink(store_world_file(world, "", path));
	world->db = store_world_connect(world);
	umask(mask);
	GOOD(world, store_create(world->db, &world->err));
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		assert_int_equal(stat(store_world_file(world, suffixes[i], path), &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
	/* no shared memory that another process could read along in */
	assert_int_equal(stat(store_world_file(world, "-shm", path), &st), -1);
}

static void refuses_files_that_are_not_its_own(void **state)
{
	struct store_world *world = *state;
	char path[80], link[80];
	struct error err = {0};

	db_close(&world->db);
	store_world_file(world, "", path);
	assert_int_equal(chmod(path, 0640), 0);
	assert_null(db_open(world->where, &err));
	assert_unavailable(&err);
	assert_non_null(strstr(err.text, "0640"));
	assert_int_equal(chmod(path, 0600), 0);

	assert_int_equal(rename(path, store_world_file(world, "-other", link)), 0);
	assert_int_equal(symlink(link, path), 0);
	assert_null(db_open(world->where, &err));
	assert_unavailable(&err);
	assert_int_equal(unlink(path), 0);

	assert_int_equal(mkfifo(path, 0600), 0);
	assert_null(db_open(world->where, &err));
	assert_unavailable(&err);
	assert_int_equal(unlink(path), 0);

	FILE *file = fopen(path, "w");
	fputs("this is no database, whatever its name says, and it is long enough to be one", file);
	fchmod(fileno(file), 0600);
	fclose(file);
	assert_null(db_open(world->where, &err));
	assert_unavailable(&err);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rename(link, path), 0);
	world->db = store_world_connect(world);
}

/* ---- scrubbing ---- */

static bool file_has(const char *path, const uint8_t *bytes, size_t len)
{
	struct stat st = {0};
	int fd = open(path, O_RDONLY);

	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	uint8_t *all = malloc((size_t)st.st_size + 1);
	assert_non_null(all);
	assert_int_equal(read(fd, all, (size_t)st.st_size), st.st_size);
	close(fd);
	bool has = memmem(all, (size_t)st.st_size, bytes, len) != NULL;
	free(all);
	return has;
}

static bool folder_has(const char *dir, const uint8_t *bytes, size_t len)
{
	DIR *folder = opendir(dir);
	struct dirent *entry;
	bool has = false;
	char path[400];

	assert_non_null(folder);
	while ((entry = readdir(folder))) {
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		if (entry->d_type == DT_REG)
			has |= file_has(path, bytes, len);
	}
	closedir(folder);
	return has;
}

#define PERIODS 300
/* Keys are looked for in thirds: a row that was moved and then overwritten in part must not leave the rest. */
static bool key_is_left(const struct store_world *world, const uint8_t key[72])
{
	return folder_has(world->dir, key, 24) || folder_has(world->dir, key + 24, 24) ||
	       folder_has(world->dir, key + 48, 24);
}

static void a_destroyed_key_is_in_no_file_after_scrubbing(void **state)
{
	struct store_world *world = *state;
	static uint8_t keys[PERIODS][72], value[20000];

	for (unsigned i = 0; i < PERIODS; i++) {
		struct store_period period = store_some_period(i);
		randombytes_buf(keys[i], sizeof(keys[i]));
		memcpy(period.wrapped, keys[i], sizeof(keys[i]));
		store_begin(world, true);
		GOOD(world, store_period_add(world->db, &period, &world->err));
		/* rows move when others grow */
		GOOD(world, store_period_lock(
				world->db, 1 + i / 2, PERIOD_LOCKED, UINT32_MAX, &world->err));
		struct store_record record = store_some_record(period.id, "llm", "a");
		randombytes_buf(value, sizeof(value));
		record.value = value;
		record.value_len = i % 3 ? 60 : sizeof(value);
		if (i < 50)
			GOOD(world, store_record_put(world->db, &record, &world->err));
		store_commit(world);
	}
	assert_true(key_is_left(world, keys[0]));
	for (unsigned i = 0; i < PERIODS; i += 3) {
		store_begin(world, true);
		GOOD(world, store_period_destroy(world->db, i + 1, 1, &world->err));
		store_commit(world);
	}
	unsigned left = 0;
	for (unsigned i = 0; i < PERIODS; i += 3)
		left += key_is_left(world, keys[i]);
	assert_true(left > 0);
	const struct db_traces nothing = {0};
	for (unsigned i = 0; i < PERIODS; i += 3) {
		struct db_traces traces = {.len = 1, .trace = {{.len = sizeof(keys[i])}}};
		memcpy(traces.trace[0].bytes, keys[i], sizeof(keys[i]));
		GOOD(world, db_scrub(world->db, "periods", &traces, &world->err));
		assert_false(key_is_left(world, keys[i]));
	}
	GOOD(world, db_scrub(world->db, "records", &nothing, &world->err));
	for (unsigned i = 0; i < PERIODS; i++)
		assert_int_equal(key_is_left(world, keys[i]), i % 3 != 0);
}

/* Rows that are kept by their INTEGER key move between pages as they grow, and the pages keep copies that secure_delete does not know of. */
static void a_copy_that_a_page_kept_of_a_moved_row_is_found_and_written_over(void **state)
{
	struct store_world *world = *state;
	static uint8_t keys[PERIODS][72];
	struct db_traces traces = {.len = 0};

	store_begin(world, true);
	GOOD(
	    world, db_run(world->db, "DROP TABLE periods", NULL, 0, NULL, NULL, NULL, &world->err));
	GOOD(world, db_run(world->db,
			"CREATE TABLE periods (id INTEGER PRIMARY KEY, asset TEXT NOT NULL, "
			"wallet TEXT NOT NULL, slot BIGINT NOT NULL, since BIGINT NOT NULL, state "
			"TEXT NOT NULL, key_id BYTEA, wrapped BYTEA, created_ms BIGINT NOT NULL, "
			"changed_ms BIGINT NOT NULL, UNIQUE (asset, wallet, slot))",
			NULL, 0, NULL, NULL, NULL, &world->err));
	store_commit(world);
	for (unsigned i = 0; i < PERIODS; i++) {
		struct store_period period = store_some_period(i);
		randombytes_buf(keys[i], sizeof(keys[i]));
		memcpy(period.wrapped, keys[i], sizeof(keys[i]));
		store_begin(world, true);
		GOOD(world, store_period_add(world->db, &period, &world->err));
		GOOD(world, store_period_lock(
				world->db, 1 + i / 2, PERIOD_LOCKED, UINT32_MAX, &world->err));
		store_commit(world);
	}
	store_begin(world, true);
	for (unsigned i = 0; i < PERIODS; i += 3)
		GOOD(world, store_period_destroy(world->db, i + 1, 1, &world->err));
	store_commit(world);
	GOOD(world, db_scrub(world->db, "periods", &traces, &world->err));
	unsigned left = 0;
	for (unsigned i = 0; i < PERIODS; i += 3) {
		if (!key_is_left(world, keys[i]))
			continue;
		left++;
		traces.len = 1;
		traces.trace[0].len = sizeof(keys[i]);
		memcpy(traces.trace[0].bytes, keys[i], sizeof(keys[i]));
	}
	/* or this test tests nothing */
	assert_true(left > 0);
	GOOD(world, db_scrub(world->db, "periods", &traces, &world->err));
	for (unsigned i = 0; i < PERIODS; i++)
		assert_int_equal(key_is_left(world, keys[i]), i % 3 != 0);
}

static void all_is_written_anew_when_it_is_not_known_what_to_look_for(void **state)
{
	struct store_world *world = *state;
	const struct db_traces unknown = {.overflown = true}, none = {0};
	struct stat before, after;
	char path[80];

	store_world_file(world, "", path);
	for (unsigned i = 0; i < PERIODS; i++) {
		store_begin(world, true);
		store_add_period(world, i);
		store_commit(world);
	}
	store_begin(world, true);
	for (unsigned i = 0; i < PERIODS; i++)
		GOOD(world, db_run(world->db, "DELETE FROM periods WHERE id = $1",
				(const struct db_value[]){db_int(i + 1)}, 1, NULL, NULL, NULL,
				&world->err));
	store_commit(world);
	GOOD(world, db_scrub(world->db, "periods", &none, &world->err));
	assert_int_equal(stat(path, &before), 0);
	GOOD(world, db_scrub(world->db, "periods", &unknown, &world->err));
	assert_int_equal(stat(path, &after), 0);
	assert_true(after.st_size < before.st_size);
}

static void scrubbing_a_busy_table_of_postgres_is_left_to_the_server(void **state)
{
	struct store_world *world = *state;
	struct db *other = store_world_connect(world);
	const struct db_traces none = {0};
	uint64_t began = clock_boot_ms();

	GOOD(world, db_begin(other, true, &world->err));
	GOOD(world, db_run(other, "LOCK TABLE periods IN ACCESS EXCLUSIVE MODE", NULL, 0, NULL,
			NULL, NULL, &world->err));
	GOOD(world, db_scrub(world->db, "periods", &none, &world->err));
	assert_in_range(clock_boot_ms() - began, 900, 2900);
	db_rollback(other);
	db_close(&other);
	store_begin(world, true);
	put(world, "a");
	store_commit(world);
}

static void scrubbing_takes_a_table_of_postgres(void **state)
{
	struct store_world *world = *state;

	store_begin(world, true);
	uint64_t id = store_add_period(world, 1);
	GOOD(world, store_period_destroy(world->db, id, 1, &world->err));
	store_commit(world);
	const struct db_traces none = {0};
	GOOD(world, db_scrub(world->db, "periods", &none, &world->err));
	GOOD(world, db_scrub(world->db, "records", &none, &world->err));
	assert_int_equal(db_scrub(world->db, "nothing", &none, &world->err), -1);
	/* the connection is as it was */
	store_begin(world, true);
	put(world, "a");
	store_commit(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(what_is_rolled_back_is_not_there),
	    BOTH(a_savepoint_is_undone_alone),
	    BOTH(after_a_failed_statement_nothing_goes_on_and_nothing_is_kept),
	    BOTH(a_transaction_that_reads_does_not_write),
	    BOTH(says_how_many_rows_were_changed),
	    BOTH(values_come_back_as_they_went),
	    BOTH(an_empty_value_is_not_a_missing_one),
	    BOTH(no_value_is_in_an_error),
	    BOTH(what_was_committed_survives_kill_9),
	    SQLITE(a_commit_that_cannot_be_written_leaves_nothing),
	    SQLITE(a_full_disk_is_said_and_leaves_nothing),
	    SQLITE(a_file_that_may_not_grow_is_a_full_disk),
	    POSTGRES(a_commit_that_is_refused_leaves_nothing),
	    SQLITE(a_second_process_is_refused),
	    POSTGRES(waits_for_another_writer_and_gives_up),
	    POSTGRES(vaults_that_write_at_once_lose_nothing),
	    POSTGRES(a_lost_server_is_said_and_found_again),
	    POSTGRES(a_connection_that_died_while_idle_is_not_noticed),
	    POSTGRES(a_server_that_ends_during_the_commit_leaves_it_open),
	    POSTGRES(a_server_that_is_frozen_is_given_up),
	    cmocka_unit_test(says_what_is_wrong_with_where_and_nothing_of_it),
	    SQLITE(makes_a_file_that_nobody_else_can_read),
	    SQLITE(refuses_files_that_are_not_its_own),
	    SQLITE(a_destroyed_key_is_in_no_file_after_scrubbing),
	    SQLITE(a_copy_that_a_page_kept_of_a_moved_row_is_found_and_written_over),
	    SQLITE(all_is_written_anew_when_it_is_not_known_what_to_look_for),
	    POSTGRES(scrubbing_a_busy_table_of_postgres_is_left_to_the_server),
	    POSTGRES(scrubbing_takes_a_table_of_postgres),
	};

	log_open("test", "test-1", getenv("V") ? LOG_DEBUG : LOG_ERROR);
	assert_true(sodium_init() >= 0);
	return cmocka_run_group_tests_name("db", tests, store_server_up, store_server_down);
}
