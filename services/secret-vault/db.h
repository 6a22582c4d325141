/* db - a database that runs SQL: the one place where SQLite and PostgreSQL differ. Blocking; used by the worker's thread alone.
 *
 * Statements are the same text for both: $1, $2, ... in order of appearance, types BIGINT, TEXT, BYTEA (SQLite takes any name), INSERT ... ON CONFLICT,
 * no functions. Each is prepared once (by its address: a literal that lives for good). After a failed statement the transaction has to be rolled back,
 * to the savepoint or whole. Whatever happens to disk or connection is ERR_UNAVAILABLE with reason storage_unavailable and a text that says what
 * (full disk, locked, connection lost); nothing is half-written. A lost connection is made anew by the next begin. A statement or a value that the
 * database does not take is ERR_INTERNAL storage_refused. No statement outside a transaction, none from inside a row callback.
 */
#ifndef SECRET_VAULT_DB_H
#define SECRET_VAULT_DB_H

#include "common/error.h"

enum db_type { DB_INT, DB_TEXT, DB_BLOB, DB_NULL };
struct db_value {
	enum db_type type;
	int64_t number;
	const void *
	    bytes; /* TEXT and BLOB; of a result: borrowed until the next call, a TEXT ends with a NUL */
	size_t len;
};
static inline struct db_value db_int(uint64_t number)
{
	return (struct db_value){DB_INT, (int64_t)number, NULL, 0};
}
struct db_value db_text(const char *text);
struct db_value db_blob(const void *bytes, size_t len);
extern const struct db_value db_null;

struct db;
/* Called per row; false ends the reading of rows early (no error). */
typedef bool (*db_row)(void *arg, const struct db_value *column, size_t ncolumns);

/* "sqlite:<path>" or "postgres:<conninfo>". SQLite: WAL, synchronous=FULL, secure_delete, one process alone (locking_mode EXCLUSIVE: a second is
 * refused, by name); the file is 0600. Opens, but does not create tables. Caller owns the result. */
struct db *db_open(const char *where, struct error *err);
void db_close(struct db **db);
const char *db_kind(const struct db *db); /* "sqlite" or "postgres" */

/* writes: takes the right to write before anything is read, so that what a transaction read stays true until its commit, also with several vaults on one
 * PostgreSQL (one writes at a time). Without it: one consistent view for reading. */
int db_begin(struct db *db, bool writes, struct error *err);
/* On disk when it returns 0 (PostgreSQL: synchronous_commit on). If it fails, nothing of the transaction is there - except that a connection lost at this
 * moment leaves open whether it is (text says so). */
int db_commit(struct db *db, struct error *err);
void db_rollback(struct db *db);
/* 0 while the transaction can go on; -1 with the reason once nothing but rolling back is left. */
int db_check(const struct db *db, struct error *err);
/* One level, inside a transaction. */
int db_savepoint(struct db *db, struct error *err);
int db_release(struct db *db, struct error *err);
void db_rollback_to_savepoint(struct db *db);

/* row may be NULL. changed_r may be NULL: rows inserted, updated or deleted. */
int db_run(struct db *db, const char *statement, const struct db_value *params, size_t nparams,
    db_row row, void *arg, uint64_t *changed_r, struct error *err);

/* Bytes that were deleted, and that no file of the database may hold any more. */
#define DB_TRACES_MAX 4
#define DB_TRACE_MAX 128
struct db_traces {
	size_t len;
	bool overflown; /* there were more */
	struct {
		size_t len;
		uint8_t bytes[DB_TRACE_MAX];
	} trace[DB_TRACES_MAX];
};
/* What was deleted is in no file of the database any more when it returns 0. SQLite: a truncating checkpoint; secure_delete has put zeros over what was deleted,
 * but not over copies that a page keeps of rows that once moved to another: so the file is searched for the traces (each third of each), and written anew (VACUUM) if
 * one is found, or if they are not all known (overflown). PostgreSQL: VACUUM of that table, as far as it goes in a second (security rule 19: final with the next
 * rotation). Outside a transaction. */
int db_scrub(struct db *db, const char *table, const struct db_traces *traces, struct error *err);

#endif
