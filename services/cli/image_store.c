#include "services/cli/image_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "common/scoped.h"

#define MOUNTS_MAX (4 * 1024 * 1024)

static int failed(struct error *err, const char *what, const char *name)
{
	return error_set(err, ERR_UNAVAILABLE, "cannot %s %s: %s", what, name, strerror(errno));
}

static const char *default_path(char *buf, size_t size)
{
	const char *state = getenv("MULTICLAW_STATE_DIR");

	if (!state)
		state = access(".state", F_OK) == 0 ? ".state" : "/var/lib/multiclaw";
	snprintf(buf, size, "%s/images", state);
	return buf;
}

/* Sandbox and warden's containers read what is here, whatever umask it is made under. One that was there is as its owner wants it. */
static int make_folder(int in, const char *path, struct error *err)
{
	if (mkdirat(in, path, 0755) == 0)
		return fchmodat(in, path, 0755, 0) == 0 ? 0 : failed(err, "open", path);
	return errno == EEXIST ? 0 : failed(err, "make", path);
}

static int open_folders(struct image_store *store, const char *path, bool create, struct error *err)
{
	if (create && make_folder(AT_FDCWD, path, err) < 0)
		return -1;
	store->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->folder < 0)
		return error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_UNAVAILABLE,
		    "the image store %s: %s", path, strerror(errno));
	if (create && make_folder(store->folder, "names", err) < 0)
		return -1;
	store->names =
	    openat(store->folder, "names", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (store->names < 0)
		return failed(err, "open", "names");
	return 0;
}

int image_store_open(struct image_store *store_r, const char *path, bool create, struct error *err)
{
	char buf[1024];

	*store_r = (struct image_store){.folder = -1, .names = -1};
	path = path ? path : default_path(buf, sizeof(buf));
	if (open_folders(store_r, path, create, err) < 0)
		return -1;
	if (!realpath(path, store_r->path))
		return failed(err, "find", path);
	/* of the folder itself: it ends with this process, however that ends */
	if (flock(store_r->folder, LOCK_EX) != 0)
		return failed(err, "lock", path);
	return 0;
}

void image_store_close(struct image_store *store)
{
	if (store->names >= 0)
		close(store->names);
	if (store->folder >= 0)
		close(store->folder);
	store->names = store->folder = -1;
}

bool image_name_is_good(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= IMAGE_NAME_MAX && name[0] != '.' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-._") == len;
}

static bool is_hex(const char *text)
{
	return strlen(text) == IMAGE_DIGEST_HEX &&
	       strspn(text, "0123456789abcdef") == IMAGE_DIGEST_HEX;
}

int image_store_read_name(const struct image_store *store, const char *name,
    char hex_r[IMAGE_DIGEST_HEX + 1], struct error *err)
{
	char text[IMAGE_DIGEST_HEX + 2] = "";
	scoped_fd int fd = openat(store->names, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_UNAVAILABLE,
		    "there is no image '%s'", name);
	if (read(fd, text, sizeof(text) - 1) < 0)
		return failed(err, "read the name", name);
	text[strcspn(text, "\n")] = '\0';
	if (!is_hex(text))
		return error_set(err, ERR_INTERNAL, "names/%s holds no digest", name);
	memcpy(hex_r, text, IMAGE_DIGEST_HEX + 1);
	return 0;
}

/* Under the lock a new file's name is nobody else's. */
static int write_whole(
    int folder, const char *name, const char *text, size_t len, struct error *err)
{
	char temporary[IMAGE_NAME_MAX + 8];

	snprintf(temporary, sizeof(temporary), ".%s.new", name);
	unlinkat(folder, temporary, 0);
	scoped_fd int fd = openat(folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd >= 0 && fchmod(fd, 0644) == 0 && write(fd, text, len) == (ssize_t)len &&
	    fsync(fd) == 0 && renameat(folder, temporary, folder, name) == 0 && fsync(folder) == 0)
		return 0;
	failed(err, "write", name);
	unlinkat(folder, temporary, 0);
	return -1;
}

int image_store_write_name(
    const struct image_store *store, const char *name, const char *hex, struct error *err)
{
	char line[IMAGE_DIGEST_HEX + 2];

	snprintf(line, sizeof(line), "%s\n", hex);
	return write_whole(store->names, name, line, strlen(line), err);
}

int image_store_write_json(int folder, const char *name, const json_t *json, struct error *err)
{
	scoped_free char *text = json_dumps(json, JSON_INDENT(2) | JSON_PRESERVE_ORDER);

	bug_if(!text);
	return write_whole(folder, name, text, strlen(text), err);
}

/* ---- looking ---- */

static DIR *open_again(int folder)
{
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;

	if (fd >= 0 && !entries)
		close(fd);
	return entries;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static json_t *read_image(const struct image_store *store, const char *hex, const char *name)
{
	char path[IMAGE_DIGEST_HEX + 16];

	snprintf(path, sizeof(path), "%s/image.json", hex);
	scoped_fd int fd = openat(store->folder, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	json_t *json = fd >= 0 ? json_loadfd(fd, JSON_REJECT_DUPLICATES, NULL) : NULL;
	if (!json_is_object(json)) {
		json_decref(json);
		json = json_pack("{ss}", "digest", hex);
	}
	json_object_set_new(json, "name", json_string(name));
	return json;
}

static int good_names(const struct dirent *entry)
{
	return image_name_is_good(entry->d_name);
}

static int good_digests(const struct dirent *entry)
{
	return is_hex(entry->d_name);
}

json_t *image_store_list(const struct image_store *store, struct error *err)
{
	json_t *list = json_array();
	struct dirent **entries = NULL;
	char hex[IMAGE_DIGEST_HEX + 1];
	struct error ignored;

	int n = scandirat(store->names, ".", &entries, good_names, by_name);
	for (int i = 0; i < n; free(entries[i++]))
		if (image_store_read_name(store, entries[i]->d_name, hex, &ignored) == 0)
			json_array_append_new(list, read_image(store, hex, entries[i]->d_name));
	free(entries);
	entries = NULL;
	int m = scandirat(store->folder, ".", &entries, good_digests, by_name);
	for (int i = 0; i < m; free(entries[i++]))
		if (image_store_names_of(store, entries[i]->d_name) == 0)
			json_array_append_new(list, read_image(store, entries[i]->d_name, ""));
	free(entries);
	if (n >= 0 && m >= 0)
		return list;
	failed(err, "read", store->path);
	json_decref(list);
	return NULL;
}

size_t image_store_names_of(const struct image_store *store, const char *hex)
{
	DIR *names = open_again(store->names);
	struct dirent *entry;
	char its[IMAGE_DIGEST_HEX + 1];
	struct error ignored;
	size_t n = 0;

	while (names && (entry = readdir(names)))
		if (image_name_is_good(entry->d_name) &&
		    image_store_read_name(store, entry->d_name, its, &ignored) == 0)
			n += strcmp(its, hex) == 0;
	if (names)
		closedir(names);
	return n;
}

static bool mounts_name(int proc, const char *pid, const char *what)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/mountinfo", pid);
	scoped_fd int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	scoped_free char *text = fd >= 0 ? malloc(MOUNTS_MAX + 1) : NULL;
	size_t len = 0;
	for (ssize_t n = 1; text && n > 0 && len<MOUNTS_MAX; len += n> 0 ? (size_t)n : 0)
		n = read(fd, text + len, MOUNTS_MAX - len);
	return text && memmem(text, len, what, strlen(what));
}

bool image_store_is_mounted(const char *hex)
{
	char what[IMAGE_DIGEST_HEX + 16];
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	bool found = false;

	snprintf(what, sizeof(what), "/%s/rootfs", hex);
	while (proc && !found && (entry = readdir(proc)))
		if (strspn(entry->d_name, "0123456789") == strlen(entry->d_name))
			found = mounts_name(dirfd(proc), entry->d_name, what);
	if (proc)
		closedir(proc);
	return found;
}
