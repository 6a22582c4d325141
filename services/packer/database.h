/* database - an SQLite file as of one moment, whatever its writers do meanwhile: copied by SQLite's online backup, with what is committed in its write-ahead log.
 * Opens nothing of the agent's for writing: neither the file, nor its log, nor its shared memory. */
#ifndef PACKER_DATABASE_H
#define PACKER_DATABASE_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/error.h"

struct database; /* what copies them; one in a process: SQLite's open() is replaced */
struct database *database_new(void); /* caller owns the result; never NULL */
void database_destroy(struct database **database);

struct database_look {
	bool is_database; /* by its first bytes */
	bool has_log;     /* is in the mode with a write-ahead log */
};
struct database_look database_look(int fd);

struct database_file {
	int folder; /* becomes the working folder */
	const char *name;
	bool has_log; /* from its look */
};
/* Copies it over what is in fd `to`. ERR_BUSY: no room there; else it cannot be opened as a database: damaged, hostile, locked for long, left behind by a crash. */
int database_copy(
    struct database *database, const struct database_file *file, int to, struct error *err);

#define DATABASE_SIDES 3
extern const char
    *const database_sides[DATABASE_SIDES]; /* "-wal" ...: what stands beside a database's name */
/* Name is a side of a database that is in folder. */
bool database_is_side(int folder, const char *name);

#endif
