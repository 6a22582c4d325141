#include "services/packer/database.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/scoped.h"
#include "services/packer/database_target.h"

#define MAGIC "SQLite format 3" /* with its NUL */
#define HEADER 100
#define WAIT_MS 2000      /* for a database that is locked */
#define WAIT_ALL_MS 10000 /* for all of them: an agent can lock any number */
#define STEP_PAGES 1024   /* copied with the lock held */
#define RESTARTS_MAX 3    /* by writers; then the lock is held to the end */
#define MEMORY_MAX (128 << 20)

const char *const database_sides[DATABASE_SIDES] = {"-wal", "-journal", "-shm"};

struct database {
	sqlite3_vfs source;
	struct database_target target;
	uint64_t waited_ms, give_up_ms; /* for locks: in all; on the monotonic clock */
};

/* ---- the source: read only, by its name in the working folder ---- */

/* Never for writing, never a link, and one that became a FIFO does not hold us up. */
static int open_to_read(const char *path, int flags, int mode)
{
	(void)mode;
	if ((flags & (O_ACCMODE | O_CREAT)) != O_RDONLY) {
		errno = EACCES;
		return -1;
	}
	return open(path, flags | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
}

/* SQLite's own follows links, and knows no path above 512 bytes. */
static int full_path(sqlite3_vfs *vfs, const char *name, int size, char *to)
{
	(void)vfs;
	return snprintf(to, (size_t)size, "%s", name) < size ? SQLITE_OK : SQLITE_CANTOPEN;
}

struct database *database_new(void)
{
	struct database *database = calloc(1, sizeof(*database));
	sqlite3_vfs *unix_vfs = sqlite3_vfs_find("unix");

	bug_if(!database || !unix_vfs);
	sqlite3_hard_heap_limit64(MEMORY_MAX);
	unix_vfs->xSetSystemCall(unix_vfs, "open", (sqlite3_syscall_ptr)open_to_read);
	database->source = *unix_vfs;
	database->source.zName = "packer-source";
	database->source.xFullPathname = full_path;
	database_target_open(&database->target);
	bug_if(sqlite3_vfs_register(&database->source, 0) != SQLITE_OK);
	return database;
}

void database_destroy(struct database **database)
{
	if (!*database)
		return;
	sqlite3_vfs *unix_vfs = sqlite3_vfs_find("unix");
	unix_vfs->xSetSystemCall(unix_vfs, "open", NULL);
	sqlite3_vfs_unregister(&(*database)->source);
	database_target_close(&(*database)->target);
	free(*database);
	*database = NULL;
}

struct database_look database_look(int fd)
{
	uint8_t header[HEADER];
	struct database_look look = {0};

	if (pread(fd, header, sizeof(header), 0) != (ssize_t)sizeof(header))
		return look;
	look.is_database = memcmp(header, MAGIC, sizeof(MAGIC)) == 0;
	look.has_log = look.is_database && header[18] == 2;
	return look;
}

bool database_is_side(int folder, const char *name)
{
	size_t len = strlen(name);
	char base[256];
	struct stat st;

	for (size_t i = 0; i < DATABASE_SIDES; i++) {
		size_t end = strlen(database_sides[i]);
		if (len <= end || strcmp(name + len - end, database_sides[i]) != 0)
			continue;
		snprintf(base, sizeof(base), "%.*s", (int)(len - end), name);
		scoped_fd int fd =
		    openat(folder, base, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY);
		return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
		       database_look(fd).is_database;
	}
	return false;
}

/* ---- copying ---- */

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int nap(void *arg, int times)
{
	struct database *database = arg;
	const struct timespec ten_ms = {.tv_nsec = 10000000};
	uint64_t began_ms = now_ms();

	(void)times;
	if (began_ms >= database->give_up_ms || database->waited_ms >= WAIT_ALL_MS)
		return 0;
	clock_nanosleep(CLOCK_MONOTONIC, 0, &ten_ms, NULL);
	database->waited_ms += now_ms() - began_ms;
	return 1;
}

static int step_all(sqlite3_backup *backup, bool is_held)
{
	int rc, restarts = 0, left = 0;

	do {
		rc = sqlite3_backup_step(
		    backup, is_held || restarts == RESTARTS_MAX ? -1 : STEP_PAGES);
		/* who wrote to it in between made it begin again */
		if (rc == SQLITE_OK && left && sqlite3_backup_remaining(backup) >= left)
			restarts++;
		left = sqlite3_backup_remaining(backup);
	} while (rc == SQLITE_OK);
	return rc;
}

static int copy(sqlite3 *from, sqlite3 *to, struct error *err)
{
	sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");

	if (!backup)
		return error_set(err, ERR_INVALID, "database: %s", sqlite3_errmsg(to));
	/* a transaction that reads the log holds up nobody, so that one holds to the end */
	int rc = step_all(backup, sqlite3_txn_state(from, "main") == SQLITE_TXN_READ);
	sqlite3_backup_finish(backup);
	if (rc == SQLITE_FULL || rc == SQLITE_IOERR_WRITE)
		return error_set(err, ERR_BUSY, "no room for the copy of a database");
	if (rc != SQLITE_DONE)
		return error_set(err, ERR_INVALID, "database: %s", sqlite3_errstr(rc));
	return 0;
}

static int open_source(
    struct database *database, const char *name, sqlite3 **from_r, struct error *err)
{
	char here[300];

	/* so that no name means anything else (":memory:", "file:...") */
	snprintf(here, sizeof(here), "./%s", name);
	if (sqlite3_open_v2(here, from_r, SQLITE_OPEN_READONLY | SQLITE_OPEN_PRIVATECACHE,
		database->source.zName) != SQLITE_OK)
		return error_set(err, ERR_INVALID, "database: %s", sqlite3_errmsg(*from_r));
	sqlite3_busy_handler(*from_r, nap, database);
	sqlite3_db_config(*from_r, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(*from_r, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	return 0;
}

int database_copy(
    struct database *database, const struct database_file *file, int to, struct error *err)
{
	sqlite3 *from = NULL, *copied = NULL;
	int rc = -1;

	database->give_up_ms = now_ms() + WAIT_MS;
	if (fchdir(file->folder) != 0 || ftruncate(to, 0) != 0)
		return error_set(err, ERR_INTERNAL, "database: %s", strerror(errno));
	if (open_source(database, file->name, &from, err) == 0) {
		/* reading the version begins the transaction, of a database that has a log */
		if (file->has_log)
			sqlite3_exec(from, "BEGIN; PRAGMA schema_version", NULL, NULL, NULL);
		rc = database_target_new(&database->target, to, &copied, err);
	}
	if (rc == 0)
		rc = copy(from, copied, err);
	sqlite3_close(copied);
	sqlite3_close(from);
	return rc;
}
