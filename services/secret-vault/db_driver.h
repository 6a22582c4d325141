/* db_driver - what a database has to be able to do for db.h; db.c keeps the rules that are the same for all (states of a transaction, refusing what
 * follows a failed statement), a driver only talks to its library. */
#ifndef SECRET_VAULT_DB_DRIVER_H
#define SECRET_VAULT_DB_DRIVER_H

#include "services/secret-vault/db.h"

#define DB_STATEMENTS_MAX 64
#define DB_COLUMNS_MAX 16
#define DB_PARAMS_MAX 16

struct db_call {
	const char *statement;
	const struct db_value *params;
	size_t nparams;
	db_row row;
	void *arg;
	uint64_t *changed_r;
};
struct db_driver {
	const char *kind; /* also the scheme of db_open's where */
	struct db *(*open)(const char *where, struct error *err); /* without the scheme */
	void (*close)(struct db *db);
	int (*begin)(struct db *db, bool writes, struct error *err);
	int (*commit)(struct db *db, struct error *err);
	/* SAVEPOINT, ROLLBACK and so on: words without values. */
	int (*say)(struct db *db, const char *words, struct error *err);
	bool (*is_within)(struct db *db); /* is there still a transaction to roll back? */
	int (*run)(struct db *db, const struct db_call *call, struct error *err);
	int (*scrub)(
	    struct db *db, const char *table, const struct db_traces *traces, struct error *err);
};
extern const struct db_driver db_sqlite, db_postgres;

enum db_state {
	DB_IDLE,
	DB_WITHIN,
	DB_FAILED, /* a statement failed: nothing but rolling back, to the savepoint or whole */
	DB_LOST,   /* the transaction is gone: full disk, lost connection */
};
/* Each driver's own struct begins with it. */
struct db {
	const struct db_driver *driver;
	enum db_state state;
	bool has_savepoint;
	bool
	    owes_release; /* said together with the next savepoint, or by the commit: a round trip less */
	bool is_reading; /* inside a row callback */
	struct error why;
};

/* ERR_UNAVAILABLE storage_unavailable. Never with values in it. Returns -1. */
int db_unavailable(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* ERR_INTERNAL storage_refused: disk and connection are all right, the statement or a value is not. Returns -1. */
int db_refused(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
