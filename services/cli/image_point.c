#include "services/cli/image_point.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/scoped.h"
#include "services/cli/image_tree.h"

static const struct point {
	const char *folder; /* in the tree; NULL: the tree itself */
	const char *name;
	mode_t mode; /* with its kind */
} points[] = {
    {NULL, "proc", S_IFDIR | 0755},
    {NULL, "sys", S_IFDIR | 0755},
    {NULL, "dev", S_IFDIR | 0755},
    {NULL, "tmp", S_IFDIR | 01777}, /* runc gives a tmpfs the mode of the folder that it hides */
    {NULL, "data", S_IFDIR | 0755},
    {NULL, "run", S_IFDIR | 0755},
    {"run", "secrets", S_IFDIR | 0755},
    {NULL, "etc", S_IFDIR | 0755},
    {"etc", "resolv.conf", S_IFREG | 0644},
    {"etc", "hosts", S_IFREG | 0644},
    {"etc", "hostname", S_IFREG | 0644},
};

static int failed(const struct point *point, struct error *err)
{
	return error_set(err, ERR_UNAVAILABLE, "cannot make the mount point '%s': %s", point->name,
	    strerror(errno));
}

static int make(int folder, const struct point *point)
{
	mode_t mode = point->mode & 07777;

	if (S_ISDIR(point->mode))
		return mkdirat(folder, point->name, 0700) == 0
			   ? fchmodat(folder, point->name, mode, 0)
			   : -1;
	scoped_fd int fd =
	    openat(folder, point->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd >= 0 ? fchmod(fd, mode) : -1;
}

static int settle(int folder, const struct point *point, uint64_t *replaced, struct error *err)
{
	struct stat st;
	bool is_there = fstatat(folder, point->name, &st, AT_SYMLINK_NOFOLLOW) == 0;

	if (is_there && (st.st_mode & S_IFMT) == (point->mode & S_IFMT))
		return fchmodat(folder, point->name, point->mode & 07777, 0) == 0
			   ? 0
			   : failed(point, err);
	if (is_there) {
		++*replaced;
		if (S_ISDIR(st.st_mode) ? image_tree_remove(folder, point->name, err) < 0
					: unlinkat(folder, point->name, 0) != 0)
			return failed(point, err);
	}
	return make(folder, point) == 0 ? 0 : failed(point, err);
}

int image_points_make(int folder, uint64_t *replaced, struct error *err)
{
	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		const char *parent = points[i].folder ? points[i].folder : ".";
		scoped_fd int fd =
		    openat(folder, parent, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return failed(&points[i], err);
		if (settle(fd, &points[i], replaced, err) < 0)
			return -1;
	}
	return 0;
}
