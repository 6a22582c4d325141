#include <arpa/inet.h>
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "services/secret-vault/db_driver.h"
#include "services/secret-vault/postgres_link.h"

#define TEXT_OF(x) TEXT_OF_(x)
#define TEXT_OF_(x) #x
#define WRITE_LOCK 7813586346218496001 /* of the one that writes; any number, for good */

enum { OID_BYTEA = 17, OID_INT8 = 20, OID_INT4 = 23, OID_TEXT = 25 };

struct postgres {
	struct db db;
	struct postgres_link link;
	const char *statements[DB_STATEMENTS_MAX]; /* prepared in this connection, "s<index>" */
	size_t nstatements;
};

static struct postgres *of(struct db *db)
{
	return (struct postgres *)db;
}

static int tell(struct postgres *pg, const char *words, struct error *err)
{
	return postgres_link_tell(&pg->link, words, POSTGRES_ANSWER_MS, err);
}

/* ---- opening ---- */

/* A new connection knows nothing of what was prepared in the old one. */
static int dial(struct postgres *pg, struct error *err)
{
	pg->nstatements = 0;
	return postgres_link_dial(&pg->link, err);
}

static void postgres_close(struct db *db)
{
	struct postgres *pg = of(db);

	postgres_link_close(&pg->link);
	free(pg);
}

static void warn_if_careless(struct postgres *pg)
{
	PGresult *result = postgres_link_ask(&pg->link, "SHOW fsync", POSTGRES_ANSWER_MS, NULL);

	if (result && PQntuples(result) == 1 && strcmp(PQgetvalue(result, 0, 0), "on") != 0)
		log_warn("PostgreSQL runs with fsync off: a power cut loses secrets");
	PQclear(result);
}

static struct db *postgres_open(const char *where, struct error *err)
{
	struct postgres *pg = calloc(1, sizeof(*pg));

	bug_if(!pg);
	pg->db.driver = &db_postgres;
	if (postgres_link_open(&pg->link, where, err) < 0) {
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
	bool is_fresh = postgres_link_is_lost(&pg->link);

	if (is_fresh && dial(pg, err) < 0)
		return -1;
	if (tell(pg, words, err) == 0)
		return 0;
	/* a connection that died while it was idle shows only now; nothing was done in it */
	if (is_fresh || !postgres_link_is_lost(&pg->link) || pg->link.is_overdue)
		return -1;
	return dial(pg, err) < 0 ? -1 : tell(pg, words, err);
}

static int postgres_commit(struct db *db, struct error *err)
{
	struct postgres *pg = of(db);
	PGresult *result = postgres_link_ask(&pg->link, "COMMIT", POSTGRES_ANSWER_MS, err);

	if (!result)
		return postgres_link_is_lost(&pg->link)
			   ? db_unavailable(err,
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
	return tell(of(db), words, err);
}

static bool postgres_is_within(struct db *db)
{
	struct postgres *pg = of(db);
	PGTransactionStatusType status =
	    pg->link.conn ? PQtransactionStatus(pg->link.conn) : PQTRANS_UNKNOWN;

	return !postgres_link_is_lost(&pg->link) &&
	       (status == PQTRANS_INTRANS || status == PQTRANS_INERROR);
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
	PGresult *result = postgres_link_answer(&pg->link,
	    PQsendPrepare(pg->link.conn, name, call->statement, (int)call->nparams, types) == 1,
	    POSTGRES_ANSWER_MS, err);
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
		if (value.len != sizeof(large))
			return db_null;
		memcpy(&large, value.bytes, sizeof(large));
		return db_int(be64toh(large));
	case OID_INT4:
		if (value.len != sizeof(small))
			return db_null;
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

/* Whoever answers for the server: columns it has too few of are NULL, which no row of ours may hold where it matters. */
static void read_rows(const PGresult *result, const struct db_call *call)
{
	struct db_value values[DB_COLUMNS_MAX];
	int n = PQnfields(result) < DB_COLUMNS_MAX ? PQnfields(result) : DB_COLUMNS_MAX;

	for (int row = 0; call->row && row < PQntuples(result); row++) {
		for (int column = 0; column < DB_COLUMNS_MAX; column++)
			values[column] = column < n ? cell(result, row, column) : db_null;
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

	if (prepare(pg, call, name, sizeof(name), err) < 0)
		return -1;
	encode(&params, call);
	bool sent = PQsendQueryPrepared(pg->link.conn, name, (int)call->nparams, params.values,
			params.lengths, params.formats, 1) == 1;
	PGresult *result = postgres_link_answer(&pg->link, sent, POSTGRES_ANSWER_MS, err);
	if (!result)
		return -1;
	read_rows(result, call);
	if (call->changed_r)
		*call->changed_r = changed(result);
	PQclear(result);
	return 0;
}

/* ---- scrubbing ---- */

#define TIMED_OUT "(57014)"

/* Nothing else is done meanwhile, so a large table is left to the server's own autovacuum: erasure is final with the next master key here in any case (security
 * rule 19). */
static int postgres_scrub(
    struct db *db, const char *table, const struct db_traces *traces, struct error *err)
{
	struct postgres *pg = of(db);
	char words[64];

	(void)traces;
	bug_if(strspn(table, "abcdefghijklmnopqrstuvwxyz_") != strlen(table));
	snprintf(words, sizeof(words), "VACUUM %s", table);
	if (postgres_link_is_lost(&pg->link) && dial(pg, err) < 0)
		return -1;
	if (tell(pg, "SET statement_timeout = '1s'", err) < 0)
		return -1;
	int rc = tell(pg, words, err);
	if (tell(pg, "SET statement_timeout = '10s'", rc < 0 ? NULL : err) < 0) {
		/* it is not what it should be for transactions */
		dial(pg, NULL);
		return -1;
	}
	if (rc < 0 && strstr(err->text, TIMED_OUT)) {
		log_info("left to PostgreSQL's autovacuum", "table", table);
		rc = 0;
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
