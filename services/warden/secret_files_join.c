#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/scoped.h"
#include "proto/warden.h"
#include "services/warden/secret_files.h"

#define DEPTH_MAX 8

struct mapped {
	void *bytes;
	size_t len;
};

struct joining {
	struct mapped known; /* the memfd */
	int out;
};

static void unmap(struct mapped *mapped)
{
	if (mapped->len > 0)
		munmap(mapped->bytes, mapped->len);
}
#define scoped_mapped __attribute__((cleanup(unmap)))

static int map(int fd, struct mapped *mapped_r, struct error *err)
{
	struct stat about;

	*mapped_r = (struct mapped){0};
	if (fd < 0 || fstat(fd, &about) != 0)
		return error_set(
		    err, ERR_UNAVAILABLE, "a secret cannot be opened: %s", strerror(errno));
	if (about.st_size == 0)
		return 0;
	void *bytes = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes == MAP_FAILED)
		return error_set(
		    err, ERR_UNAVAILABLE, "a secret cannot be read: %s", strerror(errno));
	*mapped_r = (struct mapped){bytes, (size_t)about.st_size};
	return 0;
}

/* Its lengths were checked. NULL: it has none of that path. */
static const uint8_t *find(const struct mapped *known, const char *path, size_t *size_r)
{
	const uint8_t *bytes = known->bytes;
	struct warden_file head;

	for (size_t at = 0; at < known->len; at += head.size) {
		memcpy(&head, bytes + at, sizeof(head));
		const uint8_t *name = bytes + at + sizeof(head);
		at += sizeof(head) + head.path_len;
		if (head.path_len != strlen(path) || memcmp(name, path, head.path_len) != 0)
			continue;
		*size_r = head.size;
		return bytes + at;
	}
	return NULL;
}

static bool is_needless(const struct mapped *known, const char *path, const struct mapped *file)
{
	size_t size;
	const uint8_t *bytes = find(known, path, &size);

	return bytes && (size == 0 || (size == file->len && memcmp(bytes, file->bytes, size) == 0));
}

static int put(int out, const void *bytes, size_t len, struct error *err)
{
	const uint8_t *at = bytes;

	while (len > 0) {
		ssize_t n = write(out, at, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_set(
			    err, ERR_UNAVAILABLE, "no room for the secrets: %s", strerror(errno));
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int add_file(const struct joining *joining, int folder, const char *name, const char *path,
    struct error *err)
{
	scoped_fd int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	scoped_mapped struct mapped file = {0};

	if (map(fd, &file, err) != 0)
		return -1;
	if (file.len == 0 || is_needless(&joining->known, path, &file))
		return 0;
	const struct warden_file head = {
	    .size = (uint32_t)file.len, .mode = 0400, .path_len = (uint16_t)strlen(path)};
	if (put(joining->out, &head, sizeof(head), err) != 0 ||
	    put(joining->out, path, head.path_len, err) != 0)
		return -1;
	return put(joining->out, file.bytes, file.len, err);
}

static int add_folder(
    const struct joining *joining, int folder, const char *path, int depth, struct error *err);

static int add_entry(const struct joining *joining, int folder, const struct dirent *entry,
    const char *above, int depth, struct error *err)
{
	char path[SECRET_FILES_PATH_MAX + 1];
	int len = snprintf(path, sizeof(path), "%s%s%s", above, above[0] ? "/" : "", entry->d_name);

	if ((size_t)len >= sizeof(path) || depth == 0)
		return error_set(err, ERR_INTERNAL, "a secret lies too deep");
	if (entry->d_type != DT_DIR)
		return add_file(joining, folder, entry->d_name, path, err);
	scoped_fd int below =
	    openat(folder, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return add_folder(joining, below, path, depth - 1, err);
}

static int add_folder(
    const struct joining *joining, int folder, const char *path, int depth, struct error *err)
{
	int again = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = again >= 0 ? fdopendir(again) : NULL;
	struct dirent *entry;
	int status = 0;

	if (!dir)
		return error_set(
		    err, ERR_UNAVAILABLE, "secrets cannot be listed: %s", strerror(errno));
	for (errno = 0; status == 0 && (entry = readdir(dir)); errno = 0)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			status = add_entry(joining, folder, entry, path, depth, err);
	if (status == 0 && errno != 0)
		status = error_set(
		    err, ERR_UNAVAILABLE, "secrets cannot be listed: %s", strerror(errno));
	closedir(dir);
	return status;
}

int secret_files_join(int memfd, int folder, struct error *err)
{
	struct joining joining = {.out = memfd_create("search", MFD_CLOEXEC)};

	if (joining.out < 0)
		return error_set(
		    err, ERR_UNAVAILABLE, "no room for the secrets: %s", strerror(errno));
	int status = map(memfd, &joining.known, err);
	if (status == 0)
		status = put(joining.out, joining.known.bytes, joining.known.len, err);
	if (status == 0)
		status = add_folder(&joining, folder, "", DEPTH_MAX, err);
	unmap(&joining.known);
	if (status == 0)
		return joining.out;
	secret_files_wipe_memfd(joining.out);
	close(joining.out);
	return -1;
}
