#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/scoped.h"
#include "services/secret-vault/db_driver.h"

#define BUSY_WAIT_MS 500

struct sqlite {
	struct db db;
	char *path;
	sqlite3 *handle;
	bool may_write; /* the transaction took the right to */
	struct {
		const char *text;
		sqlite3_stmt *prepared;
	} statements[DB_STATEMENTS_MAX];
	size_t nstatements;
};

static struct sqlite *of(struct db *db)
{
	return (struct sqlite *)db;
}

static int fail(struct sqlite *sqlite, int rc, struct error *err)
{
	switch (rc & 0xff) {
	case SQLITE_FULL:
		return db_unavailable(err, "%s: the disk is full", sqlite->path);
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return db_unavailable(err, "%s: locked: another process has it open", sqlite->path);
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
		return db_unavailable(
		    err, "%s: damaged: %s", sqlite->path, sqlite3_errmsg(sqlite->handle));
	case SQLITE_IOERR:
		return db_unavailable(err, "%s: the disk fails: I/O error %d, %s", sqlite->path, rc,
		    strerror(sqlite3_system_errno(sqlite->handle)));
	case SQLITE_ERROR:
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
	case SQLITE_TOOBIG:
		return db_refused(err, "%s: %s", sqlite->path, sqlite3_errmsg(sqlite->handle));
	default:
		return db_unavailable(err, "%s: %s", sqlite->path, sqlite3_errmsg(sqlite->handle));
	}
}

/* ---- opening ---- */

/* Before SQLite opens it: closing a descriptor of a file drops the locks that this process has on it. */
static int create_private(const char *path, struct error *err)
{
	struct stat st;
	scoped_fd int fd =
	    open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);

	if (fd < 0 || fstat(fd, &st) != 0)
		return db_unavailable(
		    err, "%s: %s", path, errno == ELOOP ? "is a symbolic link" : strerror(errno));
	if (!S_ISREG(st.st_mode))
		return db_unavailable(err, "%s: not a regular file", path);
	if (st.st_mode & (S_IRWXG | S_IRWXO))
		return db_unavailable(err, "%s: mode %04o is open to others, must be 0600", path,
		    (unsigned)st.st_mode & 07777);
	return 0;
}

struct expected {
	const char *text;
	bool found;
};

static int expect(void *arg, int ncolumns, char **column, char **names)
{
	struct expected *expected = arg;

	(void)names;
	expected->found =
	    expected->text && ncolumns == 1 && column[0] && strcmp(column[0], expected->text) == 0;
	return 0;
}

/* A setting that SQLite does not take it does not refuse either. */
static int set(struct sqlite *sqlite, const char *pragma, const char *becomes, struct error *err)
{
	struct expected expected = {becomes, false};
	int rc = sqlite3_exec(sqlite->handle, pragma, expect, &expected, NULL);

	if (rc != SQLITE_OK)
		return fail(sqlite, rc, err);
	if (becomes && !expected.found)
		return db_unavailable(err, "%s: %s has no effect", sqlite->path, pragma);
	return 0;
}

static int set_all(struct sqlite *sqlite, struct error *err)
{
	static const struct {
		const char *pragma, *becomes;
	} settings[] = {
	    {"PRAGMA locking_mode=EXCLUSIVE", "exclusive"},
	    {"PRAGMA temp_store=MEMORY", NULL},
	    {"PRAGMA mmap_size=0", NULL},
	    {"PRAGMA secure_delete=ON", "1"},
	    {"PRAGMA cell_size_check=ON", NULL},
	    {"PRAGMA cache_size=-16384", NULL},
	    {"PRAGMA journal_mode=WAL", "wal"},
	    {"PRAGMA synchronous=FULL", NULL},
	    /* takes the lock that is kept until the end */
	    {"BEGIN EXCLUSIVE", NULL},
	    {"COMMIT", NULL},
	    {"PRAGMA synchronous", "2"},
	};

	for (size_t i = 0; i < ARRAY_LEN(settings); i++)
		if (set(sqlite, settings[i].pragma, settings[i].becomes, err) < 0)
			return -1;
	return 0;
}

/* The file may have been somebody else's for a while: what is in it may not act. And what is prepared stays prepared. */
static void distrust(sqlite3 *handle)
{
	static const struct {
		int option, on;
	} options[] = {
	    {SQLITE_DBCONFIG_DEFENSIVE, 1},
	    {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
	    {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
	    {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
	    {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
	    {SQLITE_DBCONFIG_DQS_DML, 0},
	    {SQLITE_DBCONFIG_DQS_DDL, 0},
	    /* a plan that looks at a value (is it the one of a partial index?) is made anew for each value */
	    {SQLITE_DBCONFIG_ENABLE_QPSG, 1},
	};

	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		bug_if(
		    sqlite3_db_config(handle, options[i].option, options[i].on, NULL) != SQLITE_OK);
}

static void sqlite_close(struct db *db)
{
	struct sqlite *sqlite = of(db);

	for (size_t i = 0; i < sqlite->nstatements; i++)
		sqlite3_finalize(sqlite->statements[i].prepared);
	sqlite3_close(sqlite->handle);
	free(sqlite->path);
	free(sqlite);
}

static int start(struct sqlite *sqlite, struct error *err)
{
	if (create_private(sqlite->path, err) < 0)
		return -1;
	/* its counting of memory takes a lock for each piece; refused, and no matter, once it has been set */
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	int rc = sqlite3_open_v2(sqlite->path, &sqlite->handle,
	    SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
	bug_if(!sqlite->handle);
	if (rc != SQLITE_OK)
		return fail(sqlite, rc, err);
	distrust(sqlite->handle);
	sqlite3_busy_timeout(sqlite->handle, BUSY_WAIT_MS);
	return set_all(sqlite, err);
}

static struct db *sqlite_open(const char *where, struct error *err)
{
	struct sqlite *sqlite = calloc(1, sizeof(*sqlite));

	bug_if(!sqlite);
	sqlite->db.driver = &db_sqlite;
	sqlite->path = strdup(where);
	bug_if(!sqlite->path);
	if (start(sqlite, err) == 0)
		return &sqlite->db;
	sqlite_close(&sqlite->db);
	return NULL;
}

/* ---- transactions ---- */

static int sqlite_say(struct db *db, const char *words, struct error *err)
{
	struct sqlite *sqlite = of(db);
	int rc = sqlite3_exec(sqlite->handle, words, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : fail(sqlite, rc, err);
}

static int sqlite_begin(struct db *db, bool writes, struct error *err)
{
	of(db)->may_write = writes;
	return sqlite_say(db, writes ? "BEGIN IMMEDIATE" : "BEGIN", err);
}

static int sqlite_commit(struct db *db, struct error *err)
{
	return sqlite_say(db, "COMMIT", err);
}

static bool sqlite_is_within(struct db *db)
{
	return !sqlite3_get_autocommit(of(db)->handle);
}

/* ---- statements ---- */

static void check_params(sqlite3_stmt *prepared)
{
	char name[16];

	/* $1, $2, ... in order of appearance: only then are name and place the same */
	for (int i = 1; i <= sqlite3_bind_parameter_count(prepared); i++) {
		snprintf(name, sizeof(name), "$%d", i);
		bug_if(strcmp(sqlite3_bind_parameter_name(prepared, i), name) != 0);
	}
}

static sqlite3_stmt *prepare(struct sqlite *sqlite, const char *text, struct error *err)
{
	sqlite3_stmt *prepared = NULL;

	for (size_t i = 0; i < sqlite->nstatements; i++)
		if (sqlite->statements[i].text == text)
			return sqlite->statements[i].prepared;
	bug_if(sqlite->nstatements == DB_STATEMENTS_MAX);
	int rc = sqlite3_prepare_v3(
	    sqlite->handle, text, -1, SQLITE_PREPARE_PERSISTENT, &prepared, NULL);
	if (rc != SQLITE_OK) {
		fail(sqlite, rc, err);
		return NULL;
	}
	check_params(prepared);
	sqlite->statements[sqlite->nstatements].text = text;
	sqlite->statements[sqlite->nstatements++].prepared = prepared;
	return prepared;
}

static int bind(sqlite3_stmt *prepared, int at, const struct db_value *value)
{
	/* a NULL pointer would make it NULL, whatever the length */
	const void *bytes = value->bytes ? value->bytes : "";

	switch (value->type) {
	case DB_INT:
		return sqlite3_bind_int64(prepared, at, value->number);
	case DB_TEXT:
		return sqlite3_bind_text64(
		    prepared, at, bytes, value->len, SQLITE_STATIC, SQLITE_UTF8);
	case DB_BLOB:
		return sqlite3_bind_blob64(prepared, at, bytes, value->len, SQLITE_STATIC);
	case DB_NULL:
		return sqlite3_bind_null(prepared, at);
	}
	return SQLITE_MISUSE;
}

static struct db_value column(sqlite3_stmt *prepared, int at)
{
	struct db_value value = {.type = DB_NULL};

	switch (sqlite3_column_type(prepared, at)) {
	case SQLITE_INTEGER:
		value.type = DB_INT;
		value.number = sqlite3_column_int64(prepared, at);
		break;
	case SQLITE_NULL:
		break;
	case SQLITE_TEXT:
		value.type = DB_TEXT;
		value.bytes = sqlite3_column_text(prepared, at);
		value.len = (size_t)sqlite3_column_bytes(prepared, at);
		break;
	default: /* a float is nothing of ours: its bytes fail wherever they are read */
		value.type = DB_BLOB;
		value.bytes = sqlite3_column_blob(prepared, at);
		value.len = (size_t)sqlite3_column_bytes(prepared, at);
		break;
	}
	return value;
}

static int read_rows(sqlite3_stmt *prepared, const struct db_call *call)
{
	struct db_value values[DB_COLUMNS_MAX];
	int n = sqlite3_column_count(prepared), rc;

	bug_if(n > DB_COLUMNS_MAX);
	while ((rc = sqlite3_step(prepared)) == SQLITE_ROW) {
		for (int i = 0; i < n; i++)
			values[i] = column(prepared, i);
		if (call->row && !call->row(call->arg, values, (size_t)n))
			return SQLITE_OK;
	}
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int step(struct sqlite *sqlite, sqlite3_stmt *prepared, const struct db_call *call)
{
	int rc = SQLITE_OK;

	for (size_t i = 0; i < call->nparams && rc == SQLITE_OK; i++)
		rc = bind(prepared, (int)i + 1, &call->params[i]);
	if (rc == SQLITE_OK)
		rc = read_rows(prepared, call);
	if (rc == SQLITE_OK && call->changed_r)
		*call->changed_r = sqlite3_stmt_readonly(prepared)
				       ? 0
				       : (uint64_t)sqlite3_changes64(sqlite->handle);
	return rc;
}

static int sqlite_run(struct db *db, const struct db_call *call, struct error *err)
{
	struct sqlite *sqlite = of(db);
	sqlite3_stmt *prepared = prepare(sqlite, call->statement, err);

	if (!prepared)
		return -1;
	bug_if((size_t)sqlite3_bind_parameter_count(prepared) != call->nparams);
	if (!sqlite->may_write && !sqlite3_stmt_readonly(prepared))
		return db_refused(
		    err, "%s: a transaction that only reads does not write", sqlite->path);
	int rc = step(sqlite, prepared, call);
	if (rc != SQLITE_OK)
		fail(sqlite, rc, err);
	sqlite3_reset(prepared);
	sqlite3_clear_bindings(prepared);
	return rc == SQLITE_OK ? 0 : -1;
}

/* ---- scrubbing ---- */

static int checkpointed(void *arg, int ncolumns, char **values, char **names)
{
	(void)names;
	*(bool *)arg = ncolumns == 3 && values[0] && strcmp(values[0], "0") == 0 && values[1] &&
		       strcmp(values[1], "0") == 0;
	return 0;
}

static int truncate_log(struct sqlite *sqlite, struct error *err)
{
	scoped_free char *log = NULL;
	bool is_done = false;
	struct stat st;

	int rc = sqlite3_exec(
	    sqlite->handle, "PRAGMA wal_checkpoint(TRUNCATE)", checkpointed, &is_done, NULL);
	if (rc != SQLITE_OK)
		return fail(sqlite, rc, err);
	bug_if(asprintf(&log, "%s-wal", sqlite->path) < 0);
	if (!is_done || (stat(log, &st) == 0 && st.st_size > 0))
		return db_unavailable(err, "%s: the log could not be truncated", sqlite->path);
	return 0;
}

/* A part of a trace is one, too: rows are overwritten from any end. What is left of a data key when a third of its bytes are gone is no key. */
static bool holds(const uint8_t *bytes, size_t len, const struct db_traces *traces)
{
	for (size_t i = 0; i < traces->len; i++) {
		size_t third = traces->trace[i].len / 3;
		for (size_t at = 0; third > 0 && at < 3; at++)
			if (memmem(bytes, len, traces->trace[i].bytes + at * third, third))
				return true;
	}
	return false;
}

/* Through SQLite's own descriptor: closing another one of the same file would drop its locks. 1: found, 0: not, or an error of SQLite's, negative. */
static int search(struct sqlite *sqlite, const struct db_traces *traces)
{
	enum { STEP = 1 << 20 };
	scoped_free uint8_t *buf = malloc(STEP + DB_TRACE_MAX);
	sqlite3_file *file = NULL;
	sqlite3_int64 size, at = 0;
	int found = 0;

	bug_if(!buf);
	if (sqlite3_file_control(sqlite->handle, "main", SQLITE_FCNTL_FILE_POINTER, &file) !=
		SQLITE_OK ||
	    !file || file->pMethods->xFileSize(file, &size) != SQLITE_OK)
		return -SQLITE_IOERR;
	while (!found && at < size) {
		sqlite3_int64 len =
		    size - at < STEP + DB_TRACE_MAX ? size - at : STEP + DB_TRACE_MAX;
		if (file->pMethods->xRead(file, buf, (int)len, at) != SQLITE_OK)
			return -SQLITE_IOERR;
		found = holds(buf, (size_t)len, traces);
		at += STEP;
	}
	return found;
}

static int write_anew(struct sqlite *sqlite, struct error *err)
{
	int rc = sqlite3_exec(sqlite->handle, "VACUUM", NULL, NULL, NULL);

	return rc == SQLITE_OK ? truncate_log(sqlite, err) : fail(sqlite, rc, err);
}

static int sqlite_scrub(
    struct db *db, const char *table, const struct db_traces *traces, struct error *err)
{
	struct sqlite *sqlite = of(db);

	(void)table;
	if (truncate_log(sqlite, err) < 0)
		return -1;
	int found = traces->overflown ? 1 : search(sqlite, traces);
	if (found < 0)
		return fail(sqlite, -found, err);
	return found ? write_anew(sqlite, err) : 0;
}

const struct db_driver db_sqlite = {
    .kind = "sqlite",
    .open = sqlite_open,
    .close = sqlite_close,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .say = sqlite_say,
    .is_within = sqlite_is_within,
    .run = sqlite_run,
    .scrub = sqlite_scrub,
};
