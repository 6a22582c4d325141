#include "services/packer/database_target.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct copied_file {
	sqlite3_file base;
	int fd;
};

static int fd_of(sqlite3_file *file)
{
	return ((struct copied_file *)file)->fd;
}

static int do_nothing(sqlite3_file *file)
{
	(void)file;
	return SQLITE_OK;
}

static int do_lock(sqlite3_file *file, int arg)
{
	(void)file;
	(void)arg;
	return SQLITE_OK;
}

static int do_read(sqlite3_file *file, void *to, int len, sqlite3_int64 at)
{
	ssize_t got = pread(fd_of(file), to, (size_t)len, at);

	if (got < 0)
		return SQLITE_IOERR_READ;
	if (got == len)
		return SQLITE_OK;
	memset((char *)to + got, 0, (size_t)(len - got));
	return SQLITE_IOERR_SHORT_READ;
}

static int do_write(sqlite3_file *file, const void *from, int len, sqlite3_int64 at)
{
	if (pwrite(fd_of(file), from, (size_t)len, at) == len)
		return SQLITE_OK;
	return errno == ENOSPC || errno == EDQUOT ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

static int do_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	return ftruncate(fd_of(file), size) == 0 ? SQLITE_OK : SQLITE_IOERR_TRUNCATE;
}

static int do_size(sqlite3_file *file, sqlite3_int64 *size_r)
{
	struct stat st;

	if (fstat(fd_of(file), &st) != 0)
		return SQLITE_IOERR_FSTAT;
	*size_r = st.st_size;
	return SQLITE_OK;
}

static int do_check(sqlite3_file *file, int *is_reserved_r)
{
	(void)file;
	*is_reserved_r = 0;
	return SQLITE_OK;
}

static int do_control(sqlite3_file *file, int op, void *arg)
{
	(void)file;
	(void)op;
	(void)arg;
	return SQLITE_NOTFOUND;
}

static int do_sector(sqlite3_file *file)
{
	(void)file;
	return 4096;
}

static int do_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *flags_r)
{
	static const sqlite3_io_methods methods = {.iVersion = 1,
	    .xClose = do_nothing,
	    .xRead = do_read,
	    .xWrite = do_write,
	    .xTruncate = do_truncate,
	    .xSync = do_lock,
	    .xFileSize = do_size,
	    .xLock = do_lock,
	    .xUnlock = do_lock,
	    .xCheckReservedLock = do_check,
	    .xFileControl = do_control,
	    .xSectorSize = do_sector,
	    .xDeviceCharacteristics = do_nothing};

	(void)name;
	file->pMethods = NULL;
	if (!(flags & SQLITE_OPEN_MAIN_DB))
		return SQLITE_CANTOPEN;
	*(struct copied_file *)file =
	    (struct copied_file){{&methods}, ((struct database_target *)vfs->pAppData)->fd};
	if (flags_r)
		*flags_r = flags;
	return SQLITE_OK;
}

static int do_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
	(void)vfs;
	(void)name;
	(void)sync;
	return SQLITE_OK;
}

static int do_access(sqlite3_vfs *vfs, const char *name, int flags, int *result_r)
{
	(void)vfs;
	(void)name;
	(void)flags;
	*result_r = 0;
	return SQLITE_OK;
}

static int do_full_path(sqlite3_vfs *vfs, const char *name, int size, char *to)
{
	(void)vfs;
	snprintf(to, (size_t)size, "%s", name);
	return SQLITE_OK;
}

void database_target_open(struct database_target *target)
{
	target->vfs = *sqlite3_vfs_find("unix");
	target->vfs.zName = "packer-target";
	target->vfs.szOsFile = sizeof(struct copied_file);
	target->vfs.pAppData = target;
	target->vfs.xOpen = do_open;
	target->vfs.xDelete = do_delete;
	target->vfs.xAccess = do_access;
	target->vfs.xFullPathname = do_full_path;
	bug_if(sqlite3_vfs_register(&target->vfs, 0) != SQLITE_OK);
}

void database_target_close(struct database_target *target)
{
	sqlite3_vfs_unregister(&target->vfs);
}

int database_target_new(struct database_target *target, int fd, sqlite3 **db_r, struct error *err)
{
	/* it is read from fd, or thrown away: nothing is to be undone */
	static const char settings[] =
	    "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-4096";

	target->fd = fd;
	if (sqlite3_open_v2("copy", db_r, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
		target->vfs.zName) != SQLITE_OK ||
	    sqlite3_exec(*db_r, settings, NULL, NULL, NULL) != SQLITE_OK)
		return error_set(err, ERR_INTERNAL, "database: %s", sqlite3_errmsg(*db_r));
	return 0;
}
