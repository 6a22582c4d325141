/* postgres_link - a connection to PostgreSQL on which every answer has a time limit, and whose errors hold no values. For db_postgres.c alone.
 *
 * TLS is asked for and verified unless the conninfo says otherwise (sslmode); a unix socket needs none.
 */
#ifndef SECRET_VAULT_POSTGRES_LINK_H
#define SECRET_VAULT_POSTGRES_LINK_H

#include <libpq-fe.h>

#include "common/error.h"

/* The server gives up before we do: an answer that comes after we stopped waiting could have been a commit. */
#define POSTGRES_ANSWER_MS 15000

struct postgres_link {
	char *conninfo;
	PGconn *conn; /* NULL: lost */
	bool
	    is_overdue; /* it did not answer in time: what it still says would answer something else */
};
/* Refuses a conninfo that is none, without quoting it. conninfo is copied. */
int postgres_link_open(struct postgres_link *link, const char *conninfo, struct error *err);
void postgres_link_close(struct postgres_link *link);
/* Hangs up, and connects anew. */
int postgres_link_dial(struct postgres_link *link, struct error *err);
bool postgres_link_is_lost(const struct postgres_link *link);

/* sent: what PQsend... returned 1 for. All answers to it: the last one, or the first that is bad. NULL with err. Caller clears it. */
PGresult *postgres_link_answer(
    struct postgres_link *link, bool sent, uint64_t limit_ms, struct error *err);
/* The same for words without values. */
PGresult *postgres_link_ask(
    struct postgres_link *link, const char *words, uint64_t limit_ms, struct error *err);
int postgres_link_tell(
    struct postgres_link *link, const char *words, uint64_t limit_ms, struct error *err);

#endif
