/* store_world - an open, empty store of either kind, and what tests put into it. */
#ifndef TESTS_STORE_WORLD_H
#define TESTS_STORE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/secret-vault/store.h"
#include "tests/unit/secret-vault/postgres_server.h"

struct store_world {
	bool is_postgres;
	char dir[40];
	char where[112];
	struct db *db;
	struct error err;
};
/* One server for all tests of a program. Group setup and teardown of cmocka. */
struct postgres_server *store_server(void);
int store_server_up(void **state);
int store_server_down(void **state);

/* *state says which kind before setup: &store_sqlite or &store_postgres. */
extern const char store_sqlite, store_postgres;
int store_world_open(void **state);
int store_world_close(void **state);
#define BOTH(test) \
	{#test " (sqlite)", test, store_world_open, store_world_close, \
	    store_initial(&store_sqlite)}, \
	{ \
#test " (postgres)", test, store_world_open, store_world_close, \
		    store_initial(&store_postgres) \
	}
#define SQLITE(test) \
	{ \
#test " (sqlite)", test, store_world_open, store_world_close, \
		    store_initial(&store_sqlite) \
	}
#define POSTGRES(test) \
	{ \
#test " (postgres)", test, store_world_open, store_world_close, \
		    store_initial(&store_postgres) \
	}
void *store_initial(const char *kind);

/* Of a SQLite store. Returns path. */
char *store_world_file(const struct store_world *world, const char *suffix, char path[80]);
/* Another vault on the same PostgreSQL, or this one again. */
struct db *store_world_connect(const struct store_world *world);
/* Closes it and opens it again. */
void store_world_reopen(struct store_world *world);

void store_begin(struct store_world *world, bool writes);
void store_commit(struct store_world *world);
#define GOOD(world, call) \
	do { \
		if ((call) < 0) \
			fail_msg("%s: %s", #call, (world)->err.text); \
	} while (0)
/* err: ERR_UNAVAILABLE storage_unavailable */
void assert_unavailable(const struct error *err);

struct store_period store_some_period(unsigned n);
uint64_t store_add_period(struct store_world *world, unsigned n);
struct store_record store_some_record(uint64_t period_id, const char *kind, const char *name);
struct audit_entry store_some_entry(const char *chain);
/* After the newest of its chain. */
int store_append(struct store_world *world, struct audit_entry *entry);

#endif
