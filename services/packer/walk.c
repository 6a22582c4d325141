#include "services/packer/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/scoped.h"

struct names {
	char **name;
	size_t n, room;
};

static void names_destroy(struct walk *walk, struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->name[i]);
	walk->names -= names->n;
	free(names->name);
}

static int names_add(struct walk *walk, struct names *names, const char *name, struct error *err)
{
	if (walk->names == WALK_NAMES_MAX)
		return error_set(err, ERR_INVALID, "a folder has more than %d names; exclude it",
		    WALK_NAMES_MAX);
	if (names->n == names->room) {
		names->room = names->room ? names->room * 2 : 32;
		names->name = reallocarray(names->name, names->room, sizeof(*names->name));
		bug_if(!names->name);
	}
	names->name[names->n] = strdup(name);
	bug_if(!names->name[names->n]);
	names->n++;
	walk->names++;
	return 0;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void close_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/* ERR_NOT_FOUND: the folder cannot be read. */
static int names_read(struct walk *walk, int folder, struct names *names, struct error *err)
{
	int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	__attribute__((cleanup(close_dir))) DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
	struct dirent *entry;

	if (!dir)
		return error_set(err, ERR_INTERNAL, "cannot read a folder: %s", strerror(errno));
	for (errno = 0; (entry = readdir(dir)); errno = 0) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (names_add(walk, names, entry->d_name, err) != 0)
			return -1;
	}
	if (errno)
		return error_set(err, ERR_INTERNAL, "cannot read a folder: %s", strerror(errno));
	if (names->n > 0)
		qsort(names->name, names->n, sizeof(*names->name), compare);
	return 0;
}

/* Length of the path with name at its end, or 0: it would be too long. */
static size_t push(struct walk *walk, size_t len, const char *name)
{
	size_t more = strlen(name), slash = len > 0;

	if (len + slash + more >= sizeof(walk->path))
		return 0;
	if (slash)
		walk->path[len] = '/';
	memcpy(walk->path + len + slash, name, more + 1);
	return len + slash + more;
}

static int walk_folder(
    struct walk *walk, int folder, size_t len, unsigned depth, struct error *err);

static int enter(
    struct walk *walk, const struct walk_item *item, size_t len, unsigned depth, struct error *err)
{
	scoped_fd int folder =
	    openat(item->folder, item->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (folder < 0 || fstat(folder, &st) != 0 || st.st_dev != item->st.st_dev ||
	    depth == WALK_DEPTH_MAX) {
		walk->skipped++;
		return 0;
	}
	return walk_folder(walk, folder, len, depth + 1, err);
}

static int visit(struct walk *walk, struct walk_item *item, struct error *err)
{
	char target[WALK_PATH_MAX];

	if (S_ISLNK(item->st.st_mode)) {
		ssize_t n = readlinkat(item->folder, item->name, target, sizeof(target));
		if (n <= 0 || n == (ssize_t)sizeof(target)) {
			walk->skipped++;
			return 0;
		}
		target[n] = '\0';
		item->target = target;
	} else if (!S_ISREG(item->st.st_mode) && !S_ISDIR(item->st.st_mode)) {
		walk->skipped++;
		return 0;
	}
	return walk->visit(walk->arg, item, err);
}

/* Name in folder, which is on dev, and all below it. */
static int walk_name(struct walk *walk, int folder, dev_t dev, const char *name, size_t len,
    unsigned depth, struct error *err)
{
	struct walk_item item = {.folder = folder, .name = name, .path = walk->path};

	len = push(walk, len, name);
	if (len == 0) {
		walk->skipped++;
		return 0;
	}
	if (paths_cover(walk->excluded, walk->path))
		return 0;
	if (fstatat(folder, name, &item.st, AT_SYMLINK_NOFOLLOW) != 0) {
		/* one that went meanwhile is not missed */
		walk->skipped += errno != ENOENT;
		return 0;
	}
	if (item.st.st_dev != dev) {
		walk->skipped++;
		return 0;
	}
	if (visit(walk, &item, err) != 0)
		return -1;
	return S_ISDIR(item.st.st_mode) ? enter(walk, &item, len, depth, err) : 0;
}

static int walk_folder(struct walk *walk, int folder, size_t len, unsigned depth, struct error *err)
{
	struct names names = {0};
	struct stat st;

	if (fstat(folder, &st) != 0)
		return error_set(err, ERR_INTERNAL, "cannot read a folder: %s", strerror(errno));
	int rc = names_read(walk, folder, &names, err);
	for (size_t i = 0; i < names.n && rc == 0; i++) {
		rc = walk_name(walk, folder, st.st_dev, names.name[i], len, depth, err);
		if (rc == 0)
			walk->path[len] = '\0';
	}
	names_destroy(walk, &names);
	return rc;
}

/* The folders above a root, visited each once: those that the last root has too were. above is len bytes of walk->path. Returns the folder the root is in, -1: there is none,
 * -2 with err. */
static int walk_above(struct walk *walk, const char *root, const char *last, size_t *len_r,
    const char **name_r, struct error *err)
{
	int folder = openat(walk->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *at = root, *slash;

	*len_r = 0;
	for (; folder >= 0 && (slash = strchr(at, '/')); at = slash + 1) {
		char name[256];
		scoped_fd int above = folder;
		struct walk_item item = {.folder = above, .name = name, .path = walk->path};
		snprintf(name, sizeof(name), "%.*s", (int)(slash - at), at);
		*len_r = push(walk, *len_r, name);
		folder = openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (folder < 0)
			break;
		bool was_visited = strncmp(root, last, (size_t)(slash - root) + 1) == 0;
		if (!was_visited &&
		    (fstat(folder, &item.st) != 0 || visit(walk, &item, err) != 0)) {
			close(folder);
			return -2;
		}
	}
	*name_r = at;
	return folder;
}

static int walk_root(struct walk *walk, const char *root, const char *last, struct error *err)
{
	const char *name;
	struct stat st;
	size_t len;

	walk->path[0] = '\0';
	if (strcmp(root, ".") == 0)
		return walk_folder(walk, walk->root, 0, 0, err);
	if (paths_cover(walk->excluded, root))
		return 0;
	scoped_fd int folder = walk_above(walk, root, last, &len, &name, err);
	if (folder == -2)
		return -1;
	if (folder < 0)
		return 0;
	if (fstat(folder, &st) != 0)
		return error_set(err, ERR_INTERNAL, "cannot read a folder: %s", strerror(errno));
	return walk_name(walk, folder, st.st_dev, name, len, 0, err);
}

int walk_run(struct walk *walk, struct error *err)
{
	for (size_t i = 0; i < walk->roots->n; i++)
		if (walk_root(walk, walk->roots->path[i], i > 0 ? walk->roots->path[i - 1] : "",
			err) != 0)
			return -1;
	return 0;
}
