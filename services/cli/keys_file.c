#include "services/cli/keys_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/scoped.h"

#define PATH_SIZE 4096

static int failed(struct error *err, const char *what, const char *path)
{
	return error_set(err, ERR_UNAVAILABLE, "cannot %s %s: %s", what, path, strerror(errno));
}

static int write_all(int fd, const struct key_file *file)
{
	const char *at = file->bytes;
	size_t left = file->len;

	while (left > 0) {
		ssize_t n = write(fd, at, left);
		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0) {
			at += n;
			left -= (size_t)n;
		}
	}
	return fsync(fd);
}

/* A temporary file beside path, complete and on disk; owner NULL: ours. */
static int write_beside(const char *path, const struct key_file *file, const struct stat *owner,
    char temporary[PATH_SIZE], struct error *err)
{
	if (snprintf(temporary, PATH_SIZE, "%s.XXXXXX", path) >= PATH_SIZE)
		return error_set(err, ERR_INVALID, "name is too long: %s", path);
	scoped_fd int fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return failed(err, "write beside", path);
	bool ours = !owner || (owner->st_uid == geteuid() && owner->st_gid == getegid());
	if ((!ours && fchown(fd, owner->st_uid, owner->st_gid) != 0) ||
	    fchmod(fd, file->mode) != 0 || write_all(fd, file) != 0) {
		failed(err, "write", temporary);
		unlink(temporary);
		return -1;
	}
	return 0;
}

/* The name is on disk once its folder is. */
static int sync_folder(const char *path, struct error *err)
{
	char copy[PATH_SIZE];

	snprintf(copy, sizeof(copy), "%s", path);
	scoped_fd int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0)
		return failed(err, "sync the folder of", path);
	return 0;
}

int key_file_create(const char *path, const struct key_file *file, struct error *err)
{
	char temporary[PATH_SIZE];
	struct stat owner;

	if (file->owner_of && stat(file->owner_of, &owner) != 0)
		return failed(err, "look at", file->owner_of);
	if (write_beside(path, file, file->owner_of ? &owner : NULL, temporary, err) < 0)
		return -1;
	int rc = link(temporary, path); /* unlike rename it replaces nothing */
	int why = errno;
	unlink(temporary);
	errno = why;
	if (rc != 0 && why == EEXIST)
		return error_set(err, ERR_CONFLICT, "%s is there already", path);
	if (rc != 0)
		return failed(err, "make", path);
	return sync_folder(path, err);
}

int key_file_replace(const char *path, const struct key_file *file, struct error *err)
{
	char temporary[PATH_SIZE];
	struct stat old;

	if (stat(path, &old) != 0)
		return failed(err, "read", path);
	if (write_beside(path, file, &old, temporary, err) < 0)
		return -1;
	if (rename(temporary, path) != 0) {
		failed(err, "replace", path);
		unlink(temporary);
		return -1;
	}
	return sync_folder(path, err);
}

/* Its bytes first: a name that outlives a crash without them would be worse than the old file. */
static int sync_file(const char *path, struct error *err)
{
	scoped_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd >= 0 && fsync(fd) == 0 ? 0 : failed(err, "sync", path);
}

int key_file_rename(const char *from, const char *to, struct error *err)
{
	if (sync_file(from, err) < 0)
		return -1;
	if (rename(from, to) != 0)
		return failed(err, "rename", from);
	return sync_folder(to, err);
}

int key_file_exists(const char *path, struct error *err)
{
	struct stat st;

	if (lstat(path, &st) == 0)
		return 1;
	return errno == ENOENT ? 0 : failed(err, "look at", path);
}

int key_file_folder(const char *path, struct error *err)
{
	struct stat st;

	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return failed(err, "make", path);
	if (stat(path, &st) != 0)
		return failed(err, "look at", path);
	if (!S_ISDIR(st.st_mode))
		return error_set(err, ERR_CONFLICT, "%s is not a folder", path);
	return 0;
}
