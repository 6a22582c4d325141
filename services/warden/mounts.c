#include "services/warden/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "common/scoped.h"

#define WORK_BYTES "size=1m,mode=0755,nr_inodes=256"

static int failed(struct error *err, const char *what, const char *path)
{
	return error_set(err, ERR_UNAVAILABLE, "%s %s: %s", what, path, strerror(errno));
}

int mounts_enter(const char *folder, struct error *err)
{
	if (unshare(CLONE_NEWNS) != 0)
		return failed(err, "cannot unshare", "mounts");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		return failed(err, "cannot make private", "/");
	if (mount("multiclaw", folder, "tmpfs", MS_NOSUID, WORK_BYTES) != 0)
		return failed(err, "cannot mount a tmpfs at", folder);
	return 0;
}

int mounts_leave_behind(const char *folder, struct error *err)
{
	scoped_fd int before = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	scoped_fd int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (before < 0 || here < 0 || unshare(CLONE_NEWNS) != 0)
		return failed(err, "cannot unshare", "mounts");
	scoped_fd int after = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (after < 0 || setns(before, CLONE_NEWNS) != 0)
		return failed(err, "cannot go back to", "mounts");
	int status = umount2(folder, MNT_DETACH);
	if (setns(after, CLONE_NEWNS) != 0)
		return failed(err, "cannot go on to", "mounts");
	if (status != 0)
		return failed(err, "cannot unmount", folder);
	/* setns(2) leaves us in the root of the file system; relative paths begin in the state folder */
	return fchdir(here) == 0 ? 0 : failed(err, "cannot return to", "the working directory");
}

static int place(int tree, const char *path, uint64_t set, int userns, struct error *err)
{
	struct mount_attr attr = {.attr_set = set, .propagation = MS_PRIVATE};

	if (userns >= 0)
		attr.userns_fd = (unsigned)userns;
	if (mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) != 0)
		return failed(err, "cannot set the attributes of", path);
	if (move_mount(tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) != 0)
		return failed(err, "cannot mount", path);
	return 0;
}

int mounts_bind_image(int source, const char *path, struct error *err)
{
	scoped_fd int tree =
	    open_tree(source, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

	if (tree < 0)
		return failed(err, "cannot clone the mount for", path);
	return place(tree, path, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, -1, err);
}

int mounts_view(const char *path, struct error *err)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
					      MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
	    .propagation = MS_PRIVATE};
	int tree =
	    open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);

	if (tree >= 0 && mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) == 0)
		return tree;
	failed(err, "cannot clone the mount of", path);
	if (tree >= 0)
		close(tree);
	return -1;
}

/* ---- secrets ---- */

static bool set_option(int fs, const char *name, uint64_t value, const char *format)
{
	char text[24];

	snprintf(text, sizeof(text), format[0] == 'o' ? "0%lo" : "%lu", (unsigned long)value);
	return fsconfig(fs, FSCONFIG_SET_STRING, name, text, 0) == 0;
}

int mounts_secrets(const char *path, uint64_t bytes, uint64_t files, uid_t owner, struct error *err)
{
	scoped_fd int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	struct statfs about;

	if (fs < 0 || !set_option(fs, "size", bytes, "u") ||
	    !set_option(fs, "nr_inodes", files, "u") || !set_option(fs, "mode", 0500, "o") ||
	    !set_option(fs, "uid", owner, "u") || !set_option(fs, "gid", owner, "u"))
		return failed(err, "cannot set up", path);
	fsconfig(fs, FSCONFIG_SET_STRING, "source", "multiclaw-secrets", 0);
	/* from Linux 6.4 on; before that, the host has no swap or the start warned of it */
	fsconfig(fs, FSCONFIG_SET_FLAG, "noswap", NULL, 0);
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0)
		return failed(err, "cannot make", path);
	int tree =
	    fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	if (tree < 0)
		return failed(err, "cannot make", path);
	if (fstatfs(tree, &about) != 0 || about.f_type != TMPFS_MAGIC) {
		close(tree);
		return error_set(err, ERR_INTERNAL, "%s is no tmpfs", path);
	}
	if (move_mount(tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) != 0) {
		failed(err, "cannot mount", path);
		close(tree);
		return -1;
	}
	return tree;
}

/* ---- shifted ids ---- */

static bool write_map(pid_t pid, const char *file, uid_t uid_base)
{
	char path[64], map[48];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	int len = snprintf(map, sizeof(map), "0 %u 65536", uid_base);
	scoped_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd >= 0 && write(fd, map, (size_t)len) == len;
}

/* A user namespace lives by a process in it, or by a descriptor: a child makes it, and goes. */
static int make_userns(uid_t uid_base, struct error *err)
{
	char path[64];
	int ready[2], userns = -1;

	if (pipe2(ready, O_CLOEXEC) != 0)
		return failed(err, "cannot make a", "pipe");
	pid_t pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWUSER) == 0)
			(void)!write(ready[1], "", 1);
		close(ready[1]);
		pause();
		_exit(0);
	}
	close(ready[1]);
	char byte;
	bool is_made = pid > 0 && read(ready[0], &byte, 1) == 1 &&
		       write_map(pid, "uid_map", uid_base) && write_map(pid, "gid_map", uid_base);
	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	if (is_made)
		userns = open(path, O_RDONLY | O_CLOEXEC);
	if (userns < 0)
		failed(err, "cannot make a", "user namespace");
	close(ready[0]);
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	return userns;
}

int mounts_bind_shifted(const char *from, const char *to, uid_t uid_base, struct error *err)
{
	scoped_fd int userns = make_userns(uid_base, err);

	if (userns < 0)
		return -1;
	scoped_fd int tree = open_tree(AT_FDCWD, from, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		return failed(err, "cannot clone the mount of", from);
	if (place(tree, to, MOUNT_ATTR_IDMAP | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, userns, err) !=
	    0)
		return -1;
	int root = open(to, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return root >= 0 ? root : failed(err, "cannot open", to);
}
