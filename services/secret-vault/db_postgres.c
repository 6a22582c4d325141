#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "services/secret-vault/db_driver.h"

/* The server gives up before we do: an answer that comes after we stopped waiting could have been a commit. */
#define ANSWER_MS 15000
#define SCRUB_MS 130000
#define TEXT_OF(x) TEXT_OF_(x)
#define TEXT_OF_(x) #x
#define WRITE_LOCK 7813586346218496001 /* of the one that writes; any number, for good */

enum { OID_BOOL = 16, OID_BYTEA = 17, OID_INT8 = 20, OID_INT4 = 23, OID_TEXT = 25 };

struct postgres {
	struct db db;
	char *conninfo;
	PGconn *conn; /* NULL: lost */
	bool
	    is_overdue; /* it did not answer in time: what it still says would answer something else */
	const char *statements[DB_STATEMENTS_MAX]; /* prepared in this connection, "s<index>" */
	size_t nstatements;
};

static struct postgres *of(struct db *db)
{
	return (struct postgres *)db;
}

/* ---- errors ---- */

static bool is_lost(const struct postgres *pg)
{
	return !pg->conn || pg->is_overdue || PQstatus(pg->conn) != CONNECTION_OK;
}

/* Classes of SQLSTATE: bad data, a constraint, a transaction that only reads, syntax or no such table. */
static bool is_refusal(const char *state)
{
	return strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0 ||
	       strcmp(state, "25006") == 0 || strncmp(state, "42", 2) == 0;
}

/* Only the server's primary message: detail and context quote values. Those of class 22 (bad data) quote them too. */
static int fail(struct postgres *pg, const PGresult *result, struct error *err)
{
	const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	const char *text = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;

	if (pg->is_overdue)
		return db_unavailable(err, "PostgreSQL: no answer in time");
	if (!state || !text)
		return db_unavailable(err, "PostgreSQL: %s",
		    is_lost(pg) ? "the connection was lost" : "an answer that is none");
	if (is_refusal(state))
		return db_refused(err, "PostgreSQL: %s (%s)",
		    strncmp(state, "22", 2) == 0 ? "a value is refused" : text, state);
	if (strcmp(state, "53100") == 0)
		text = "the disk is full";
	else if (strcmp(state, "55P03") == 0)
		text = "locked: another vault writes, or a table is locked";
	return db_unavailable(err, "PostgreSQL: %s (%s)", text, state);
}

/* ---- asking and waiting ---- */

static bool wait_for(struct postgres *pg, short events, uint64_t until_ms)
{
	uint64_t now = clock_boot_ms();
	struct pollfd fd = {.fd = PQsocket(pg->conn), .events = events};

	if (now >= until_ms || fd.fd < 0) {
		pg->is_overdue = now >= until_ms;
		return false;
	}
	int n = poll(&fd, 1, (int)(until_ms - now));
	return n >= 0 || errno == EINTR;
}

static bool next_result(struct postgres *pg, uint64_t until_ms)
{
	for (;;) {
		int unsent = PQflush(pg->conn);
		if (unsent < 0)
			return false;
		if (unsent == 0 && !PQisBusy(pg->conn))
			return true;
		if (!wait_for(pg, (short)(POLLIN | (unsent ? POLLOUT : 0)), until_ms) ||
		    !PQconsumeInput(pg->conn))
			return false;
	}
}

static bool is_good(const PGresult *result)
{
	return PQresultStatus(result) == PGRES_COMMAND_OK ||
	       PQresultStatus(result) == PGRES_TUPLES_OK;
}

/* All answers to what was sent; the last one, or the first that is bad. NULL with err. Caller clears it. */
static PGresult *answer(struct postgres *pg, bool sent, uint64_t limit_ms, struct error *err)
{
	uint64_t until_ms = clock_boot_ms() + limit_ms;
	PGresult *kept = NULL, *result;

	while (sent && next_result(pg, until_ms) && (result = PQgetResult(pg->conn))) {
		if (kept && !is_good(kept)) {
			PQclear(result);
			continue;
		}
		PQclear(kept);
		kept = result;
	}
	if (kept && is_good(kept) && !is_lost(pg))
		return kept;
	fail(pg, kept, err);
	PQclear(kept);
	return NULL;
}

static PGresult *ask(struct postgres *pg, const char *words, uint64_t limit_ms, struct error *err)
{
	if (is_lost(pg)) {
		fail(pg, NULL, err);
		return NULL;
	}
	return answer(pg, PQsendQuery(pg->conn, words) == 1, limit_ms, err);
}

static int tell(struct postgres *pg, const char *words, uint64_t limit_ms, struct error *err)
{
	PGresult *result = ask(pg, words, limit_ms, err);

	if (!result)
		return -1;
	PQclear(result);
	return 0;
}

/* ---- connecting ---- */

static void hang_up(struct postgres *pg)
{
	PQfinish(pg->conn);
	pg->conn = NULL;
	pg->is_overdue = false;
	pg->nstatements = 0;
}

static void ignore_notice(void *arg, const PGresult *result)
{
	(void)arg;
	(void)result;
}

/* Each server's answer is a list of its own; the first line says most, none of them a password. */
static int not_connected(struct postgres *pg, struct error *err)
{
	const char *text = PQerrorMessage(pg->conn);
	int len = (int)strcspn(text, "\n");

	db_unavailable(err, "PostgreSQL: %.*s", len, text);
	hang_up(pg);
	return -1;
}

static int prepare_session(struct postgres *pg, struct error *err)
{
	static const char words[] = "SET synchronous_commit = on;"
				    "SET client_min_messages = error;"
				    "SET statement_timeout = '10s';"
				    "SET lock_timeout = '3s';"
				    "SET idle_in_transaction_session_timeout = '10s';";
	const char *encoding = PQparameterStatus(pg->conn, "server_encoding");

	if (!encoding || (strcmp(encoding, "UTF8") != 0 && strcmp(encoding, "SQL_ASCII") != 0))
		return db_unavailable(err, "PostgreSQL: the database has to be in UTF8, not %s",
		    encoding ? encoding : "unknown");
	return tell(pg, words, ANSWER_MS, err);
}

static int dial(struct postgres *pg, struct error *err)
{
	/* those before dbname may be set otherwise by conninfo, those after it may not */
	static const char *const names[] = {"connect_timeout", "tcp_user_timeout",
	    "keepalives_idle", "keepalives_interval", "keepalives_count", "gssencmode",
	    "fallback_application_name", "dbname", "client_encoding", NULL};
	const char *const values[] = {"3", "5000", "5", "2", "3", "disable",
	    "multiclaw-secret-vault", pg->conninfo, "UTF8", NULL};

	hang_up(pg);
	pg->conn = PQconnectdbParams(names, values, 1);
	bug_if(!pg->conn);
	PQsetNoticeReceiver(pg->conn, ignore_notice, NULL);
	if (PQstatus(pg->conn) != CONNECTION_OK || PQsetnonblocking(pg->conn, 1) != 0)
		return not_connected(pg, err);
	if (prepare_session(pg, err) == 0)
		return 0;
	hang_up(pg);
	return -1;
}

static void postgres_close(struct db *db)
{
	struct postgres *pg = of(db);

	hang_up(pg);
	free(pg->conninfo);
	free(pg);
}

/* libpq's own text about a conninfo that it cannot read quotes from it. */
static int check_conninfo(const char *conninfo, struct error *err)
{
	PQconninfoOption *options = PQconninfoParse(conninfo, NULL);

	if (!options)
		return error_set(err, ERR_INVALID,
		    "what follows postgres: is no connection string of PostgreSQL");
	PQconninfoFree(options);
	return 0;
}

static void warn_if_careless(struct postgres *pg)
{
	PGresult *result = ask(pg, "SHOW fsync", ANSWER_MS, NULL);

	if (result && PQntuples(result) == 1 && strcmp(PQgetvalue(result, 0, 0), "on") != 0)
		log_warn("PostgreSQL runs with fsync off: a power cut loses secrets");
	PQclear(result);
}

static struct db *postgres_open(const char *where, struct error *err)
{
	if (check_conninfo(where, err) < 0)
		return NULL;
	struct postgres *pg = calloc(1, sizeof(*pg));
	bug_if(!pg);
	pg->db.driver = &db_postgres;
	pg->conninfo = strdup(where);
	bug_if(!pg->conninfo);
	if (dial(pg, err) < 0) {
		postgres_close(&pg->db);
		return NULL;
	}
	warn_if_careless(pg);
	return &pg->db;
}

/* ---- transactions ---- */

/* A transaction that writes waits for its turn before it looks: READ COMMITTED, so that it sees what the one before it did. */
static int postgres_begin(struct db *db, bool writes, struct error *err)
{
	static const char writing[] = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;"
				      "SELECT pg_advisory_xact_lock(" TEXT_OF(WRITE_LOCK) ")";
	static const char reading[] = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
	const char *words = writes ? writing : reading;
	struct postgres *pg = of(db);
	bool is_fresh = is_lost(pg);

	if (is_fresh && dial(pg, err) < 0)
		return -1;
	if (tell(pg, words, ANSWER_MS, err) == 0)
		return 0;
	/* a connection that died while it was idle shows only now; nothing was done in it */
	if (is_fresh || !is_lost(pg) || pg->is_overdue)
		return -1;
	return dial(pg, err) < 0 ? -1 : tell(pg, words, ANSWER_MS, err);
}

static int postgres_commit(struct db *db, struct error *err)
{
	struct postgres *pg = of(db);
	PGresult *result = ask(pg, "COMMIT", ANSWER_MS, err);

	if (!result)
		return is_lost(pg) ? db_unavailable(err,
					 "PostgreSQL: the connection was lost during the commit: "
					 "it is not known whether it was done")
				   : -1;
	/* of a transaction that has failed it says ROLLBACK, and no error */
	bool is_done = strcmp(PQcmdStatus(result), "COMMIT") == 0;
	PQclear(result);
	return is_done ? 0 : db_unavailable(err, "PostgreSQL: the transaction was rolled back");
}

static int postgres_say(struct db *db, const char *words, struct error *err)
{
	return tell(of(db), words, ANSWER_MS, err);
}

static bool postgres_is_within(struct db *db)
{
	struct postgres *pg = of(db);
	PGTransactionStatusType status = pg->conn ? PQtransactionStatus(pg->conn) : PQTRANS_UNKNOWN;

	return !is_lost(pg) && (status == PQTRANS_INTRANS || status == PQTRANS_INERROR);
}

/* ---- statements ---- */

static Oid oid_of(enum db_type type)
{
	static const Oid oids[] = {
	    [DB_INT] = OID_INT8, [DB_TEXT] = OID_TEXT, [DB_BLOB] = OID_BYTEA, [DB_NULL] = 0};

	return oids[type];
}

/* Its name in this connection. */
static int prepare(
    struct postgres *pg, const struct db_call *call, char *name, size_t size, struct error *err)
{
	Oid types[DB_PARAMS_MAX];
	size_t at = 0;

	while (at < pg->nstatements && pg->statements[at] != call->statement)
		at++;
	snprintf(name, size, "s%zu", at);
	if (at < pg->nstatements)
		return 0;
	bug_if(at == DB_STATEMENTS_MAX);
	for (size_t i = 0; i < call->nparams; i++)
		types[i] = oid_of(call->params[i].type);
	PGresult *result = answer(pg,
	    PQsendPrepare(pg->conn, name, call->statement, (int)call->nparams, types) == 1,
	    ANSWER_MS, err);
	if (!result)
		return -1;
	PQclear(result);
	pg->statements[pg->nstatements++] = call->statement;
	return 0;
}

struct params {
	const char *values[DB_PARAMS_MAX];
	int lengths[DB_PARAMS_MAX], formats[DB_PARAMS_MAX];
	uint64_t numbers[DB_PARAMS_MAX];
};

static void encode(struct params *params, const struct db_call *call)
{
	for (size_t i = 0; i < call->nparams; i++) {
		const struct db_value *value = &call->params[i];
		bug_if(value->len > INT32_MAX);
		params->formats[i] = 1;
		params->numbers[i] = htobe64((uint64_t)value->number);
		params->lengths[i] = value->type == DB_INT ? 8 : (int)value->len;
		params->values[i] = value->type == DB_NULL  ? NULL
				    : value->type == DB_INT ? (const char *)&params->numbers[i]
				    : value->bytes          ? value->bytes
							    : "";
	}
}

static struct db_value cell(const PGresult *result, int row, int column)
{
	struct db_value value = {.type = DB_NULL};
	uint32_t small;
	uint64_t large;

	if (PQgetisnull(result, row, column))
		return value;
	value.bytes = PQgetvalue(result, row, column);
	value.len = (size_t)PQgetlength(result, row, column);
	switch (PQftype(result, column)) {
	case OID_INT8:
		memcpy(&large, value.bytes, sizeof(large));
		return db_int(be64toh(large));
	case OID_INT4:
		memcpy(&small, value.bytes, sizeof(small));
		return (struct db_value){DB_INT, (int32_t)ntohl(small), NULL, 0};
	case OID_TEXT:
		value.type = DB_TEXT;
		return value;
	default:
		value.type = DB_BLOB;
		return value;
	}
}

static void read_rows(const PGresult *result, const struct db_call *call)
{
	struct db_value values[DB_COLUMNS_MAX];
	int n = PQnfields(result);

	bug_if(n > DB_COLUMNS_MAX);
	for (int row = 0; call->row && row < PQntuples(result); row++) {
		for (int column = 0; column < n; column++)
			values[column] = cell(result, row, column);
		if (!call->row(call->arg, values, (size_t)n))
			return;
	}
}

static uint64_t changed(PGresult *result)
{
	const char *text = PQcmdTuples(result);

	return PQresultStatus(result) == PGRES_COMMAND_OK && *text ? strtoull(text, NULL, 10) : 0;
}

static int postgres_run(struct db *db, const struct db_call *call, struct error *err)
{
	struct postgres *pg = of(db);
	struct params params;
	char name[16];

	if (is_lost(pg))
		return fail(pg, NULL, err);
	if (prepare(pg, call, name, sizeof(name), err) < 0)
		return -1;
	encode(&params, call);
	bool sent = PQsendQueryPrepared(pg->conn, name, (int)call->nparams, params.values,
			params.lengths, params.formats, 1) == 1;
	PGresult *result = answer(pg, sent, ANSWER_MS, err);
	if (!result)
		return -1;
	read_rows(result, call);
	if (call->changed_r)
		*call->changed_r = changed(result);
	PQclear(result);
	return 0;
}

/* ---- scrubbing ---- */

static int postgres_scrub(struct db *db, const char *table, struct error *err)
{
	struct postgres *pg = of(db);
	char words[64];

	bug_if(strspn(table, "abcdefghijklmnopqrstuvwxyz_") != strlen(table));
	snprintf(words, sizeof(words), "VACUUM %s", table);
	if (is_lost(pg) && dial(pg, err) < 0)
		return -1;
	if (tell(pg, "SET statement_timeout = '120s'", ANSWER_MS, err) < 0)
		return -1;
	int rc = tell(pg, words, SCRUB_MS, err);
	if (tell(pg, "SET statement_timeout = '10s'", ANSWER_MS, rc < 0 ? NULL : err) < 0) {
		hang_up(pg);
		return -1;
	}
	return rc;
}

const struct db_driver db_postgres = {
    .kind = "postgres",
    .open = postgres_open,
    .close = postgres_close,
    .begin = postgres_begin,
    .commit = postgres_commit,
    .say = postgres_say,
    .is_within = postgres_is_within,
    .run = postgres_run,
    .scrub = postgres_scrub,
};
