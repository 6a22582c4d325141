#include "services/cli/image_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "common/scoped.h"
#include "services/cli/image_point.h"
#include "services/cli/image_signal.h"

struct link {
	ino_t inode;
	nlink_t nlink;
};

struct walk {
	const struct image_limits *limits;
	struct image_size size;
	bool is_live; /* somebody else still writes there */
	dev_t device;
	struct link *links; /* of files that have more names than one, one for each that was seen */
	size_t nlinks, links_size;
	struct image_mended *mended; /* NULL: only look */
	struct error *err;
};

struct entry {
	int folder;
	const char *name;
	struct stat st;
	unsigned depth;
};

static int failed(struct error *err, const char *what, const char *name)
{
	return error_set(
	    err, ERR_UNAVAILABLE, "cannot %s '%.80s': %s", what, name, strerror(errno));
}

static int refuse(struct error *err, const char *reason, const char *text)
{
	return error_refuse(err, ERR_INVALID, reason, "%s", text);
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* ---- counting ---- */

static int note_link(struct walk *walk, const struct stat *st)
{
	if (walk->nlinks == walk->links_size) {
		size_t size = walk->links_size ? 2 * walk->links_size : 256;
		struct link *grown = reallocarray(walk->links, size, sizeof(*grown));
		if (!grown)
			return error_set(walk->err, ERR_UNAVAILABLE, "out of memory");
		walk->links = grown;
		walk->links_size = size;
	}
	walk->links[walk->nlinks++] = (struct link){st->st_ino, st->st_nlink};
	return 0;
}

static int count(struct walk *walk, const struct entry *entry)
{
	walk->size.files++;
	walk->size.bytes += (uint64_t)entry->st.st_blocks * 512;
	if (walk->size.files > walk->limits->files_max)
		return refuse(walk->err, "image_too_large",
		    "the image has more files than the limit (see --max-files)");
	if (walk->size.bytes > walk->limits->bytes_max)
		return refuse(walk->err, "image_too_large",
		    "the image unpacks to more than the limit (see --max-size)");
	if (entry->depth > IMAGE_DEPTH_MAX)
		return refuse(walk->err, "image_too_large", "the image's folders are too deep");
	if (entry->st.st_dev != walk->device)
		return refuse(walk->err, "image_invalid", "something is mounted in the image");
	if (!walk->is_live && !S_ISDIR(entry->st.st_mode) && entry->st.st_nlink > 1)
		return note_link(walk, &entry->st);
	return 0;
}

static int by_inode(const void *a, const void *b)
{
	const struct link *left = a, *right = b;

	return (left->inode > right->inode) - (left->inode < right->inode);
}

/* A file with more names than the tree has of it is somebody else's as well. */
static int check_links(struct walk *walk)
{
	qsort(walk->links, walk->nlinks, sizeof(*walk->links), by_inode);
	for (size_t i = 0, run; i < walk->nlinks; i += run) {
		for (run = 1; i + run < walk->nlinks; run++)
			if (walk->links[i + run].inode != walk->links[i].inode)
				break;
		if (walk->links[i].nlink != run)
			return refuse(walk->err, "image_invalid",
			    "a file of the image has a name outside of it");
	}
	return 0;
}

/* ---- mending ---- */

static void drop_xattrs(const char *path, struct image_mended *mended)
{
	char names[65536];
	ssize_t len = listxattr(path, names, sizeof(names));
	bool dropped = false;

	for (ssize_t at = 0; at < len; at += (ssize_t)strlen(names + at) + 1) {
		/* labels are the host's own */
		if (strncmp(names + at, "security.", 9) == 0 &&
		    strcmp(names + at, "security.capability") != 0)
			continue;
		dropped |= removexattr(path, names + at) == 0;
	}
	mended->xattrs += dropped;
}

static mode_t mended_mode(mode_t mode)
{
	if (S_ISDIR(mode))
		return 0755;
	return (mode & 0700) | 0444 | (mode & 0111 ? 0111 : 0);
}

/* Ours, readable for every uid, writable for nobody else, nothing that gives rights. */
static int mend_kept(struct walk *walk, const struct entry *entry)
{
	char path[64];
	scoped_fd int fd = openat(entry->folder, entry->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0 || st.st_ino != entry->st.st_ino)
		return failed(walk->err, "look at", entry->name);
	if (geteuid() == 0 && fchownat(fd, "", 0, 0, AT_EMPTY_PATH) != 0)
		return failed(walk->err, "own", entry->name);
	if (S_ISLNK(st.st_mode))
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (chmod(path, mended_mode(st.st_mode)) != 0)
		return failed(walk->err, "chmod", entry->name);
	drop_xattrs(path, walk->mended);
	walk->mended->bits +=
	    S_ISREG(st.st_mode) && (st.st_mode & (S_ISUID | S_ISGID | S_IWGRP | S_IWOTH));
	return 0;
}

static int mend(struct walk *walk, const struct entry *entry)
{
	switch (entry->st.st_mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
		return mend_kept(walk, entry);
	case S_IFSOCK:
		walk->mended->sockets++;
		break;
	case S_IFIFO:
		walk->mended->fifos++;
		break;
	default:
		walk->mended->devices++;
	}
	return unlinkat(entry->folder, entry->name, 0) == 0
		   ? 0
		   : failed(walk->err, "remove", entry->name);
}

/* ---- walking ---- */

static int walk_folder(struct walk *walk, int fd, unsigned depth);

static int visit(struct walk *walk, struct entry *entry)
{
	if (fstatat(entry->folder, entry->name, &entry->st, AT_SYMLINK_NOFOLLOW) != 0)
		return walk->is_live ? 0 : failed(walk->err, "look at", entry->name);
	if (count(walk, entry) < 0 || (walk->mended && mend(walk, entry) < 0))
		return -1;
	if (!S_ISDIR(entry->st.st_mode))
		return 0;
	/* an image's folder may be closed to its own owner, who we are unless we are root */
	if (!walk->is_live && (entry->st.st_mode & S_IRWXU) != S_IRWXU &&
	    fchmodat(entry->folder, entry->name, 0700, 0) != 0)
		return failed(walk->err, "chmod", entry->name);
	int fd =
	    openat(entry->folder, entry->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return walk->is_live ? 0 : failed(walk->err, "open", entry->name);
	return walk_folder(walk, fd, entry->depth + 1);
}

/* Takes fd. */
static int walk_folder(struct walk *walk, int fd, unsigned depth)
{
	DIR *folder = fdopendir(fd);
	struct dirent *found;
	int rc = 0;

	if (!folder) {
		failed(walk->err, "read", ".");
		close(fd);
		return -1;
	}
	while (rc == 0 && (errno = 0, found = readdir(folder))) {
		struct entry entry = {.folder = fd, .name = found->d_name, .depth = depth};
		if (!is_dots(found->d_name))
			rc = image_is_interrupted(walk->err) ? -1 : visit(walk, &entry);
	}
	if (rc == 0 && errno != 0 && !walk->is_live)
		rc = failed(walk->err, "read", "a folder");
	closedir(folder);
	return rc;
}

static int walk_from(struct walk *walk, int folder)
{
	struct stat st;
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) != 0) {
		int rc = failed(walk->err, "open", ".");
		if (fd >= 0)
			close(fd);
		return rc;
	}
	walk->device = st.st_dev;
	return walk_folder(walk, fd, 1);
}

int image_tree_measure(
    int folder, const struct image_limits *limits, struct image_size *size_r, struct error *err)
{
	struct walk walk = {.limits = limits, .is_live = true, .err = err};
	int rc = walk_from(&walk, folder);

	*size_r = walk.size;
	return rc;
}

static int mend_root(struct walk *walk, int folder)
{
	struct entry root = {.folder = folder, .name = "."};

	if (fstat(folder, &root.st) != 0)
		return failed(walk->err, "look at", ".");
	return mend_kept(walk, &root);
}

int image_tree_mend(
    int folder, const struct image_limits *limits, struct image_mended *mended_r, struct error *err)
{
	struct walk look = {.limits = limits, .err = err};

	*mended_r = (struct image_mended){0};
	int rc = walk_from(&look, folder);
	if (rc == 0)
		rc = check_links(&look);
	free(look.links);
	if (rc < 0)
		return -1;
	struct walk change = {.limits = limits, .mended = mended_r, .err = err};
	rc = mend_root(&change, folder);
	if (rc == 0)
		rc = walk_from(&change, folder);
	free(change.links);
	return rc < 0 ? -1 : image_points_make(folder, &mended_r->replaced, err);
}
