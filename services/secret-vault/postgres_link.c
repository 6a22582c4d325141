#include "services/secret-vault/postgres_link.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "services/secret-vault/db_driver.h"

/* ---- errors ---- */

bool postgres_link_is_lost(const struct postgres_link *link)
{
	return !link->conn || link->is_overdue || PQstatus(link->conn) != CONNECTION_OK;
}

/* Classes of SQLSTATE: bad data, a constraint, a transaction that only reads, syntax or no such table. */
static bool is_refusal(const char *state)
{
	return strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0 ||
	       strcmp(state, "25006") == 0 || strncmp(state, "42", 2) == 0;
}

/* Only the server's primary message: detail and context quote values. Those of class 22 (bad data) quote them too. */
static int fail(struct postgres_link *link, const PGresult *result, struct error *err)
{
	const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	const char *text = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;

	if (link->is_overdue)
		return db_unavailable(err, "PostgreSQL: no answer in time");
	if (!state || !text)
		return db_unavailable(err, "PostgreSQL: %s",
		    postgres_link_is_lost(link) ? "the connection was lost"
						: "an answer that is none");
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

static bool wait_for(struct postgres_link *link, short events, uint64_t until_ms)
{
	uint64_t now = clock_boot_ms();
	struct pollfd fd = {.fd = PQsocket(link->conn), .events = events};

	if (now >= until_ms || fd.fd < 0) {
		link->is_overdue = now >= until_ms;
		return false;
	}
	int n = poll(&fd, 1, (int)(until_ms - now));
	return n >= 0 || errno == EINTR;
}

static bool next_result(struct postgres_link *link, uint64_t until_ms)
{
	for (;;) {
		int unsent = PQflush(link->conn);
		if (unsent < 0)
			return false;
		if (unsent == 0 && !PQisBusy(link->conn))
			return true;
		if (!wait_for(link, (short)(POLLIN | (unsent ? POLLOUT : 0)), until_ms) ||
		    !PQconsumeInput(link->conn))
			return false;
	}
}

static bool is_good(const PGresult *result)
{
	return PQresultStatus(result) == PGRES_COMMAND_OK ||
	       PQresultStatus(result) == PGRES_TUPLES_OK;
}

/* All answers to what was sent; the last one, or the first that is bad. NULL with err. Caller clears it. */
PGresult *postgres_link_answer(
    struct postgres_link *link, bool sent, uint64_t limit_ms, struct error *err)
{
	uint64_t until_ms = clock_boot_ms() + limit_ms;
	PGresult *kept = NULL, *result;

	while (sent && next_result(link, until_ms) && (result = PQgetResult(link->conn))) {
		if (kept && !is_good(kept)) {
			PQclear(result);
			continue;
		}
		PQclear(kept);
		kept = result;
	}
	if (kept && is_good(kept) && !postgres_link_is_lost(link))
		return kept;
	fail(link, kept, err);
	PQclear(kept);
	return NULL;
}

PGresult *postgres_link_ask(
    struct postgres_link *link, const char *words, uint64_t limit_ms, struct error *err)
{
	if (postgres_link_is_lost(link)) {
		fail(link, NULL, err);
		return NULL;
	}
	return postgres_link_answer(link, PQsendQuery(link->conn, words) == 1, limit_ms, err);
}

int postgres_link_tell(
    struct postgres_link *link, const char *words, uint64_t limit_ms, struct error *err)
{
	PGresult *result = postgres_link_ask(link, words, limit_ms, err);

	if (!result)
		return -1;
	PQclear(result);
	return 0;
}

/* ---- connecting ---- */

static void hang_up(struct postgres_link *link)
{
	PQfinish(link->conn);
	link->conn = NULL;
	link->is_overdue = false;
}

static void ignore_notice(void *arg, const PGresult *result)
{
	(void)arg;
	(void)result;
}

/* Each server's answer is a list of its own; the first line says most, none of them a password. */
static int not_connected(struct postgres_link *link, struct error *err)
{
	const char *text = PQerrorMessage(link->conn);
	int len = (int)strcspn(text, "\n");

	db_unavailable(err, "PostgreSQL: %.*s", len, text);
	hang_up(link);
	return -1;
}

static int prepare_session(struct postgres_link *link, struct error *err)
{
	static const char words[] = "SET synchronous_commit = on;"
				    "SET client_min_messages = error;"
				    "SET statement_timeout = '10s';"
				    "SET lock_timeout = '3s';"
				    "SET idle_in_transaction_session_timeout = '10s';";
	const char *encoding = PQparameterStatus(link->conn, "server_encoding");

	if (!encoding || (strcmp(encoding, "UTF8") != 0 && strcmp(encoding, "SQL_ASCII") != 0))
		return db_unavailable(err, "PostgreSQL: the database has to be in UTF8, not %s",
		    encoding ? encoding : "unknown");
	return postgres_link_tell(link, words, POSTGRES_ANSWER_MS, err);
}

int postgres_link_dial(struct postgres_link *link, struct error *err)
{
	/* those before dbname may be set otherwise by conninfo, those after it may not */
	static const char *const names[] = {"sslmode", "target_session_attrs", "connect_timeout",
	    "tcp_user_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count",
	    "gssencmode", "fallback_application_name", "dbname", "client_encoding", NULL};
	const char *const values[] = {"verify-full", "read-write", "3", "5000", "5", "2", "3",
	    "disable", "multiclaw-secret-vault", link->conninfo, "UTF8", NULL};

	hang_up(link);
	link->conn = PQconnectdbParams(names, values, 1);
	bug_if(!link->conn);
	PQsetNoticeReceiver(link->conn, ignore_notice, NULL);
	if (PQstatus(link->conn) != CONNECTION_OK || PQsetnonblocking(link->conn, 1) != 0)
		return not_connected(link, err);
	if (prepare_session(link, err) == 0)
		return 0;
	hang_up(link);
	return -1;
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

int postgres_link_open(struct postgres_link *link, const char *conninfo, struct error *err)
{
	if (check_conninfo(conninfo, err) < 0)
		return -1;
	link->conninfo = strdup(conninfo);
	bug_if(!link->conninfo);
	return postgres_link_dial(link, err);
}

void postgres_link_close(struct postgres_link *link)
{
	hang_up(link);
	free(link->conninfo);
	link->conninfo = NULL;
}
