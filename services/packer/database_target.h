/* database_target - where a database is copied to: a descriptor, as an SQLite file system that has one file. */
#ifndef PACKER_DATABASE_TARGET_H
#define PACKER_DATABASE_TARGET_H

#include <sqlite3.h>

#include "common/error.h"

struct database_target {
	sqlite3_vfs vfs;
	int fd; /* of the copy that is being made */
};
/* Registers it; *target must stay where it is until it is closed. */
void database_target_open(struct database_target *target);
void database_target_close(struct database_target *target);
/* A database in fd, which is empty. Caller closes *db_r whatever is returned. */
int database_target_new(struct database_target *target, int fd, sqlite3 **db_r, struct error *err);

#endif
