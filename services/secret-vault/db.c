#include "services/secret-vault/db_driver.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const struct db_value db_null = {DB_NULL, 0, NULL, 0};

struct db_value db_text(const char *text)
{
	return (struct db_value){DB_TEXT, 0, text, strlen(text)};
}

struct db_value db_blob(const void *bytes, size_t len)
{
	return (struct db_value){DB_BLOB, 0, bytes, len};
}

int db_unavailable(struct error *err, const char *fmt, ...)
{
	char text[ERROR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return error_refuse(err, ERR_UNAVAILABLE, "storage_unavailable", "%s", text);
}

int db_refused(struct error *err, const char *fmt, ...)
{
	char text[ERROR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return error_refuse(err, ERR_INTERNAL, "storage_refused", "%s", text);
}

/* ---- opening ---- */

struct db *db_open(const char *where, struct error *err)
{
	static const struct db_driver *const drivers[] = {&db_sqlite, &db_postgres};

	for (size_t i = 0; i < ARRAY_LEN(drivers); i++) {
		size_t len = strlen(drivers[i]->kind);
		if (strncmp(where, drivers[i]->kind, len) == 0 && where[len] == ':')
			return drivers[i]->open(where + len + 1, err);
	}
	/* the rest of it may hold a password */
	error_set(
	    err, ERR_INVALID, "a store is sqlite:<path> or postgres:<conninfo>, this is neither");
	return NULL;
}

void db_close(struct db **db)
{
	if (*db)
		(*db)->driver->close(*db);
	*db = NULL;
}

const char *db_kind(const struct db *db)
{
	return db->driver->kind;
}

/* ---- transactions ---- */

static int fail(const struct db *db, struct error *err)
{
	if (err)
		*err = db->why;
	return -1;
}

/* After the driver failed inside a transaction: what is left of it? */
static int failed(struct db *db, struct error *err)
{
	db->state = db->driver->is_within(db) ? DB_FAILED : DB_LOST;
	return fail(db, err);
}

static void end(struct db *db)
{
	db->state = DB_IDLE;
	db->has_savepoint = db->owes_release = false;
}

int db_begin(struct db *db, bool writes, struct error *err)
{
	bug_if(db->state != DB_IDLE);
	if (db->driver->begin(db, writes, &db->why) < 0) {
		if (db->driver->is_within(db))
			db->driver->say(db, "ROLLBACK", NULL);
		return fail(db, err);
	}
	db->state = DB_WITHIN;
	return 0;
}

int db_commit(struct db *db, struct error *err)
{
	bug_if(db->state == DB_IDLE || db->has_savepoint || db->is_reading);
	if (db->state != DB_WITHIN || db->driver->commit(db, &db->why) < 0) {
		db_rollback(db);
		return fail(db, err);
	}
	end(db);
	return 0;
}

void db_rollback(struct db *db)
{
	bug_if(db->is_reading);
	if (db->state != DB_IDLE && db->driver->is_within(db))
		db->driver->say(db, "ROLLBACK", NULL);
	end(db);
}

int db_check(const struct db *db, struct error *err)
{
	bug_if(db->state == DB_IDLE);
	return db->state == DB_WITHIN ? 0 : fail(db, err);
}

int db_savepoint(struct db *db, struct error *err)
{
	bug_if(db->state == DB_IDLE || db->has_savepoint);
	if (db->state != DB_WITHIN)
		return fail(db, err);
	const char *words =
	    db->owes_release ? "RELEASE SAVEPOINT job; SAVEPOINT job" : "SAVEPOINT job";
	if (db->driver->say(db, words, &db->why) < 0)
		return failed(db, err);
	db->owes_release = false;
	db->has_savepoint = true;
	return 0;
}

int db_release(struct db *db, struct error *err)
{
	bug_if(!db->has_savepoint);
	if (db->state != DB_WITHIN)
		return fail(db, err);
	db->owes_release = true;
	db->has_savepoint = false;
	return 0;
}

void db_rollback_to_savepoint(struct db *db)
{
	struct error err = {0};

	bug_if(!db->has_savepoint || db->is_reading);
	db->has_savepoint = false;
	if (db->state == DB_LOST)
		return;
	if (db->driver->say(db, "ROLLBACK TO SAVEPOINT job", &err) < 0 ||
	    db->driver->say(db, "RELEASE SAVEPOINT job", &err) < 0) {
		db->why = err;
		db->state = DB_LOST;
	} else {
		db->state = DB_WITHIN;
	}
}

int db_run(struct db *db, const char *statement, const struct db_value *params, size_t nparams,
    db_row row, void *arg, uint64_t *changed_r, struct error *err)
{
	struct db_call call = {statement, params, nparams, row, arg, changed_r};

	bug_if(db->state == DB_IDLE || db->is_reading || nparams > DB_PARAMS_MAX);
	if (db->state != DB_WITHIN)
		return fail(db, err);
	db->is_reading = true;
	int rc = db->driver->run(db, &call, &db->why);
	db->is_reading = false;
	return rc < 0 ? failed(db, err) : 0;
}

int db_scrub(struct db *db, const char *table, const struct db_traces *traces, struct error *err)
{
	bug_if(db->state != DB_IDLE);
	return db->driver->scrub(db, table, traces, err);
}
