#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "services/cli/image_tree.h"

#define DEPTH_MAX 64 /* as many descriptors */

struct removal {
	int top;
	unsigned moved; /* folders that were too deep, and are at the top now */
};

static int remove_all(struct removal *removal, int fd, unsigned depth, bool *was_empty_r);

static int open_folder(int folder, const char *name)
{
	struct stat st;

	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) &&
	    (st.st_mode & S_IRWXU) != S_IRWXU && fchmodat(folder, name, 0700, 0) != 0)
		return -1;
	return openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int move_up(struct removal *removal, int folder, const char *name)
{
	char to[32];
	int rc;

	do {
		snprintf(to, sizeof(to), ".deep-%u", removal->moved++);
		rc = renameat2(folder, name, removal->top, to, RENAME_NOREPLACE);
	} while (rc != 0 && errno == EEXIST);
	return rc;
}

static int remove_one(struct removal *removal, int folder, const char *name, unsigned depth)
{
	bool was_empty;

	if (unlinkat(folder, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -1;
	int fd = open_folder(folder, name);
	if (fd < 0)
		return -1;
	if (depth == DEPTH_MAX) {
		close(fd);
		return move_up(removal, folder, name);
	}
	if (remove_all(removal, fd, depth + 1, &was_empty) != 0)
		return -1;
	return unlinkat(folder, name, AT_REMOVEDIR);
}

/* Takes fd. */
static int remove_all(struct removal *removal, int fd, unsigned depth, bool *was_empty_r)
{
	DIR *folder = fdopendir(fd);
	struct dirent *entry;
	int rc = 0;

	*was_empty_r = true;
	if (!folder) {
		close(fd);
		return -1;
	}
	while (rc == 0 && (entry = readdir(folder))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		*was_empty_r = false;
		rc = remove_one(removal, fd, entry->d_name, depth);
	}
	int why = errno;
	closedir(folder);
	errno = why;
	return rc;
}

int image_tree_remove(int folder, const char *name, struct error *err)
{
	struct removal removal = {.top = open_folder(folder, name)};
	bool was_empty = false;
	int rc = 0;

	if (removal.top < 0 && errno == ENOENT)
		return 0;
	if (removal.top < 0)
		rc = -1;
	while (rc == 0 && !was_empty) {
		int fd = openat(removal.top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		rc = fd < 0 ? -1 : remove_all(&removal, fd, 1, &was_empty);
	}
	if (rc == 0)
		rc = unlinkat(folder, name, AT_REMOVEDIR);
	if (rc != 0)
		error_set(err, ERR_UNAVAILABLE, "cannot remove '%.80s': %s", name, strerror(errno));
	if (removal.top >= 0)
		close(removal.top);
	return rc;
}
