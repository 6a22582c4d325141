/* Objects are files of a folder, under their keys. One is written in tmp/<replica>/ of the same folder, and has its name only once it is on the disk. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/scoped.h"
#include "services/snapshot-store/storage.h"

#define CHUNK (256 * 1024)
#define TEMPORARY_LEN 32
#define NAME_TRIES 8 /* folders that a sweep removes meanwhile are made again */

struct file {
	struct storage storage;
	const struct store_settings *settings;
	int top, temporary;
};
static struct file *file_of(struct storage *storage)
{
	union {
		struct storage *storage;
		struct file *file;
	} of = {storage};
	return of.file;
}

static int fail(struct transfer *transfer, const char *what)
{
	int why = errno;
	enum store_failure failure = why == ENOSPC || why == EDQUOT ? STORE_FULL
				     : why == EFBIG                 ? STORE_TOO_LARGE
				     : why == EACCES || why == EPERM || why == EROFS
					 ? STORE_DENIED
					 : STORE_UNAVAILABLE;

	return transfer_fail(transfer, failure, "%s in the storage's folder: %s", what,
	    why == ELOOP || why == ENOTDIR ? "a link or a file where a folder should be"
					   : strerror(why));
}

/* Some file systems have no such thing for folders. */
static int flush_folder(int folder)
{
	return fsync(folder) == 0 || errno == EINVAL ? 0 : -1;
}

/* ---- the way to a file ---- */

/* Nothing on the way is followed. */
static int step(int folder, const char *name, bool makes)
{
	const int how = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(folder, name, how);

	if (fd >= 0 || errno != ENOENT || !makes)
		return fd;
	if ((mkdirat(folder, name, 0700) != 0 && errno != EEXIST) || flush_folder(folder) != 0)
		return -1;
	return openat(folder, name, how);
}

/* The folder that key is in, and in *name_r its own name (within key). -1: errno. */
static int open_folder(const struct file *file, const char *key, bool makes, const char **name_r)
{
	int folder = openat(file->top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char part[STORE_KEY_MAX + 1];
	const char *slash;

	for (; folder >= 0 && (slash = strchr(key, '/')); key = slash + 1) {
		snprintf(part, sizeof(part), "%.*s", (int)(slash - key), key);
		int next = step(folder, part, makes), why = errno;
		close(folder);
		errno = why;
		folder = next;
	}
	*name_r = key;
	return folder;
}

/* ---- PUT ---- */

static int write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

static int fill(struct transfer *transfer, int fd)
{
	scoped_free char *bytes = malloc(CHUNK);
	ssize_t len = CHUNK;

	bug_if(!bytes);
	while (len == CHUNK) {
		len = transfer_read(transfer, bytes, CHUNK);
		if (len < 0)
			return -1;
		if (write_all(fd, bytes, (size_t)len) != 0)
			return fail(transfer, "writing");
	}
	return fsync(fd) == 0 ? transfer_check(transfer) : fail(transfer, "writing");
}

static int give_name(const struct file *file, struct transfer *transfer, const char *temporary)
{
	const char *name;

	for (int i = 0; i < NAME_TRIES; i++) {
		scoped_fd int folder = open_folder(file, transfer->key, true, &name);
		if (folder < 0 && errno == ENOENT)
			continue;
		if (folder < 0)
			return fail(transfer, "making a folder");
		if (renameat(file->temporary, temporary, folder, name) == 0)
			return flush_folder(folder) == 0 ? 0 : fail(transfer, "naming a file");
		if (errno != ENOENT)
			return fail(transfer, "naming a file");
	}
	return transfer_fail(transfer, STORE_UNAVAILABLE, "the folder is being removed");
}

static int file_put(struct storage *storage, struct transfer *transfer)
{
	const struct file *file = file_of(storage);
	char name[TEMPORARY_LEN + 1];
	uint8_t random[TEMPORARY_LEN / 2];

	randombytes_buf(random, sizeof(random));
	sodium_bin2hex(name, sizeof(name), random, sizeof(random));
	scoped_fd int fd = openat(
	    file->temporary, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(transfer, "making a file");
	int status = fill(transfer, fd);
	if (status == 0)
		status = give_name(file, transfer, name);
	if (status != 0)
		unlinkat(file->temporary, name, 0);
	return status;
}

/* ---- GET ---- */

static int open_object(const struct file *file, struct transfer *transfer, uint64_t *size_r)
{
	const char *name;
	struct stat about;
	scoped_fd int folder = open_folder(file, transfer->key, false, &name);
	scoped_fd int fd =
	    folder < 0 ? -1 : openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return transfer_fail(transfer, STORE_NOT_FOUND, "there is no such object");
	if (fd < 0)
		return fail(transfer, "opening");
	if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode))
		return transfer_fail(transfer, STORE_DAMAGED, "it is not a file");
	*size_r = (uint64_t)about.st_size;
	if (*size_r > transfer->bytes_max)
		return transfer_fail(transfer, STORE_TOO_LARGE, "it has %llu bytes, more than %llu",
		    (unsigned long long)*size_r, (unsigned long long)transfer->bytes_max);
	int found = fd;
	fd = -1;
	return found;
}

static int file_get(struct storage *storage, struct transfer *transfer)
{
	uint64_t left = 0;
	scoped_free char *bytes = malloc(CHUNK);
	scoped_fd int fd = open_object(file_of(storage), transfer, &left);

	bug_if(!bytes);
	if (fd < 0)
		return -1;
	while (left > 0) {
		ssize_t len = read(fd, bytes, left < CHUNK ? (size_t)left : CHUNK);
		if (len < 0 && errno == EINTR)
			continue;
		/* a sector that cannot be read stays so */
		if (len <= 0)
			return transfer_fail(transfer, STORE_DAMAGED, "it cannot be read: %s",
			    len < 0 ? strerror(errno) : "it is shorter than it was");
		if (transfer_write(transfer, bytes, (size_t)len) != 0)
			return -1;
		left -= (uint64_t)len;
	}
	return 0;
}

/* ---- DELETE and SWEEP ---- */

static int file_remove(struct storage *storage, struct transfer *transfer)
{
	const char *name;
	scoped_fd int folder = open_folder(file_of(storage), transfer->key, false, &name);

	if (folder < 0)
		return errno == ENOENT ? 0 : fail(transfer, "opening");
	if (unlinkat(folder, name, 0) != 0)
		return errno == ENOENT ? 0 : fail(transfer, "removing a file");
	return flush_folder(folder) == 0 ? 0 : fail(transfer, "removing a file");
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Takes folder. removed may be NULL. */
static int empty_folder(int folder, struct transfer *transfer)
{
	DIR *entries = fdopendir(folder);
	const struct dirent *entry;
	int status = 0;

	if (!entries) {
		close(folder);
		return -1;
	}
	while (status == 0 && (errno = 0, entry = readdir(entries))) {
		if (is_dots(entry->d_name))
			continue;
		if (unlinkat(dirfd(entries), entry->d_name, 0) != 0)
			status = errno == ENOENT ? 0 : -1;
		else if (transfer)
			atomic_fetch_add(&transfer->bytes, 1);
	}
	if (errno != 0 || flush_folder(dirfd(entries)) != 0)
		status = -1;
	int why = errno;
	closedir(entries);
	errno = why;
	return status;
}

/* The folders that only this one was in; any that is not empty stays. */
static void remove_folders(const struct file *file, const char *key)
{
	char path[STORE_KEY_MAX + 1];
	const char *name;

	snprintf(path, sizeof(path), "%s", key);
	for (char *end; (end = strrchr(path, '/')) && end != strchr(path, '/');) {
		*end = '\0';
		scoped_fd int folder = open_folder(file, path, false, &name);
		if (folder < 0 || unlinkat(folder, name, AT_REMOVEDIR) != 0)
			return;
	}
}

static int file_sweep(struct storage *storage, struct transfer *transfer)
{
	const struct file *file = file_of(storage);
	const char *name;
	int folder = open_folder(file, transfer->key, false, &name);

	if (folder < 0)
		return errno == ENOENT ? 0 : fail(transfer, "opening");
	if (empty_folder(folder, transfer) != 0)
		return fail(transfer, "removing files");
	remove_folders(file, transfer->key);
	return 0;
}

/* ---- opened and closed ---- */

static int cannot(const struct file *file, const char *what, struct error *err)
{
	return error_set(err, ERR_UNAVAILABLE,
	    "MULTICLAW_STORE_FOLDER %s: %s: %s (it must be a folder of this daemon's user)",
	    file->settings->folder, what, strerror(errno));
}

/* Wallets differ in case. */
static int check_case(const struct file *file, struct error *err)
{
	int fd = openat(file->temporary, "case", O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return cannot(file, "making a file", err);
	close(fd);
	if (faccessat(file->temporary, "CASE", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return error_set(err, ERR_INVALID,
		    "MULTICLAW_STORE_FOLDER %s: this file system does not tell apart upper and "
		    "lower case, and would mix up owners",
		    file->settings->folder);
	unlinkat(file->temporary, "case", 0);
	return 0;
}

/* What is there was written by a run of this replica that was killed: no other may run now. */
static int open_temporary(struct file *file, struct error *err)
{
	scoped_fd int all = step(file->top, "tmp", true);
	int again;

	file->temporary = all < 0 ? -1 : step(all, file->settings->replica, true);
	if (file->temporary < 0)
		return cannot(file, "making tmp/", err);
	if (flock(file->temporary, LOCK_EX | LOCK_NB) != 0)
		return error_set(err, ERR_CONFLICT,
		    "MULTICLAW_STORE_FOLDER %s: another process keeps snapshots there as %s: give "
		    "each host a MULTICLAW_STORE_REPLICA of its own",
		    file->settings->folder, file->settings->replica);
	again = fcntl(file->temporary, F_DUPFD_CLOEXEC, 0);
	if (again < 0 || empty_folder(again, NULL) != 0)
		return cannot(file, "removing what is half written", err);
	return check_case(file, err);
}

static int file_ready(struct storage *storage, struct error *err)
{
	struct file *file = file_of(storage);

	if (mkdir(file->settings->folder, 0700) != 0 && errno != EEXIST)
		return cannot(file, "making it", err);
	file->top = open(file->settings->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (file->top < 0)
		return cannot(file, "opening it", err);
	return open_temporary(file, err);
}

static void file_destroy(struct storage *storage)
{
	struct file *file = file_of(storage);

	if (file->top >= 0)
		close(file->top);
	if (file->temporary >= 0)
		close(file->temporary);
	free(file);
}

struct storage *storage_file_new(const struct store_settings *settings)
{
	static const struct storage_ops ops = {
	    file_ready, file_put, file_get, file_remove, file_sweep, file_destroy};
	struct file *file = calloc(1, sizeof(*file));

	bug_if(!file);
	*file = (struct file){
	    .storage = {.ops = &ops}, .settings = settings, .top = -1, .temporary = -1};
	snprintf(
	    file->storage.name, sizeof(file->storage.name), "the folder %.140s", settings->folder);
	return &file->storage;
}
