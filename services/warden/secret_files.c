#include "services/warden/secret_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>

#include "common/scoped.h"
#include "proto/warden.h"

#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)
#define PAGE 4096u
#define DEPTH_MAX 8
#define CHUNK 16384

bool secret_files_is_path(const char *path, size_t len)
{
	size_t begin = 0, depth = 0;

	if (len == 0 || len > SECRET_FILES_PATH_MAX)
		return false;
	for (size_t i = 0; i <= len; i++) {
		if (i < len && path[i] != '/') {
			char c = path[i];
			bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
				    (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
			if (!good)
				return false;
			continue;
		}
		size_t part = i - begin;
		bool is_dots = (part == 1 && path[begin] == '.') ||
			       (part == 2 && path[begin] == '.' && path[begin + 1] == '.');
		if (part == 0 || is_dots || ++depth > DEPTH_MAX)
			return false;
		begin = i + 1;
	}
	return true;
}

/* One file's place in the memfd. */
struct entry {
	struct warden_file header;
	char path[SECRET_FILES_PATH_MAX + 1];
	off_t data;
};

/* Reads the entry at *at and moves on. Returns 1, 0 at the end, -1. */
static int next(int memfd, off_t size, off_t *at, struct entry *entry, struct error *err)
{
	if (*at == size)
		return 0;
	if (pread(memfd, &entry->header, sizeof(entry->header), *at) !=
	    (ssize_t)sizeof(entry->header))
		return error_set(err, ERR_INVALID, "the secrets end in the middle of a header");
	size_t path_len = entry->header.path_len;
	if (path_len > SECRET_FILES_PATH_MAX ||
	    pread(memfd, entry->path, path_len, *at + (off_t)sizeof(entry->header)) !=
		(ssize_t)path_len ||
	    !secret_files_is_path(entry->path, path_len))
		return error_set(err, ERR_INVALID, "a secret's path is not as it should be");
	entry->path[path_len] = '\0';
	entry->data = *at + (off_t)sizeof(entry->header) + (off_t)path_len;
	if (entry->header.mode & ~0777u || (entry->header.mode & 0222))
		return error_set(err, ERR_INVALID, "a secret's mode is not as it should be");
	if ((off_t)entry->header.size > size - entry->data)
		return error_set(err, ERR_INVALID, "a secret is cut off");
	*at = entry->data + (off_t)entry->header.size;
	return 1;
}

static int check_memfd(int memfd, off_t *size_r, struct error *err)
{
	struct stat about;
	int seals = fcntl(memfd, F_GET_SEALS);

	if (seals < 0 || (seals & SEALS) != SEALS)
		return error_set(err, ERR_INVALID, "the secrets are not in a sealed memfd");
	if (fstat(memfd, &about) != 0 || about.st_size > (off_t)SECRET_FILES_BYTES_MAX)
		return error_set(err, ERR_INVALID, "the secrets are more than %u MiB",
		    SECRET_FILES_BYTES_MAX >> 20);
	*size_r = about.st_size;
	return 0;
}

int secret_files_check(int memfd, struct secret_files *about_r, struct error *err)
{
	struct entry entry;
	off_t size = 0, at = 0;
	int more;

	*about_r = (struct secret_files){0};
	if (check_memfd(memfd, &size, err) != 0)
		return -1;
	while ((more = next(memfd, size, &at, &entry, err)) > 0) {
		if (++about_r->files > SECRET_FILES_MAX)
			return error_set(
			    err, ERR_INVALID, "more than %d secrets", SECRET_FILES_MAX);
		about_r->bytes += (entry.header.size + PAGE - 1) / PAGE * PAGE;
		for (const char *c = entry.path; *c; c++)
			about_r->folders += *c == '/';
	}
	return more;
}

/* The folder of path's file, made where it is not there; NULL-terminated name of the file in *name_r. Caller closes. */
static int open_parent(int folder, char *path, uid_t owner, char **name_r)
{
	int at = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	*name_r = path;
	for (char *slash; at >= 0 && (slash = strchr(*name_r, '/')); *name_r = slash + 1) {
		*slash = '\0';
		bool is_new = mkdirat(at, *name_r, 0500) == 0;
		int below = openat(at, *name_r, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (is_new && below >= 0 && fchown(below, owner, owner) != 0) {
			close(below);
			below = -1;
		}
		close(at);
		at = below;
	}
	return at;
}

static int copy(int from, off_t at, size_t len, int to)
{
	uint8_t chunk[CHUNK];
	int status = 0;

	while (len > 0 && status == 0) {
		ssize_t n = pread(from, chunk, len < CHUNK ? len : CHUNK, at);
		if (n <= 0 || write(to, chunk, (size_t)n) != n)
			status = -1;
		at += n;
		len -= (size_t)n;
	}
	sodium_memzero(chunk, sizeof(chunk));
	return status;
}

static int unpack(int memfd, int folder, struct entry *entry, uid_t owner, struct error *err)
{
	char *name;
	scoped_fd int parent = open_parent(folder, entry->path, owner, &name);
	scoped_fd int fd =
	    parent < 0
		? -1
		: openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);

	if (fd < 0)
		return error_set(
		    err, ERR_INVALID, "cannot make the secret %s: %s", name, strerror(errno));
	if (copy(memfd, entry->data, entry->header.size, fd) != 0 ||
	    fchown(fd, owner, owner) != 0 || fchmod(fd, entry->header.mode) != 0)
		return error_set(
		    err, ERR_UNAVAILABLE, "cannot write the secret %s: %s", name, strerror(errno));
	return 0;
}

int secret_files_unpack(int memfd, int folder, uid_t owner, struct error *err)
{
	struct entry entry;
	off_t size = 0, at = 0;
	int more;

	if (check_memfd(memfd, &size, err) != 0)
		return -1;
	while ((more = next(memfd, size, &at, &entry, err)) > 0)
		if (unpack(memfd, folder, &entry, owner, err) != 0)
			return -1;
	return more;
}

static void overwrite(int fd)
{
	static const uint8_t zeros[CHUNK];
	struct stat about;

	if (fstat(fd, &about) != 0)
		return;
	for (off_t at = 0; at < about.st_size; at += CHUNK) {
		off_t left = about.st_size - at;
		if (pwrite(fd, zeros, left < CHUNK ? (size_t)left : CHUNK, at) <= 0)
			break;
	}
	(void)!ftruncate(fd, 0);
}

void secret_files_wipe_memfd(int memfd)
{
	overwrite(memfd);
}

static bool wipe_file(int folder, const char *name)
{
	scoped_fd int fd = openat(folder, name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		overwrite(fd);
	return unlinkat(folder, name, 0) == 0;
}

static bool wipe(int folder, int depth)
{
	int copy_fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy_fd >= 0 ? fdopendir(copy_fd) : NULL;
	bool is_gone = dir != NULL;

	if (!dir && copy_fd >= 0)
		close(copy_fd);
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		const char *name = entry->d_name;
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		if (entry->d_type != DT_DIR) {
			is_gone &= wipe_file(folder, name);
			continue;
		}
		scoped_fd int below =
		    openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		is_gone &= below >= 0 && depth > 0 && wipe(below, depth - 1);
		is_gone &= unlinkat(folder, name, AT_REMOVEDIR) == 0;
	}
	if (dir)
		closedir(dir);
	return is_gone;
}

bool secret_files_wipe(int folder)
{
	return wipe(folder, DEPTH_MAX);
}
