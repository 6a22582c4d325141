#include "services/warden/adopt_mounts.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/scoped.h"
#include "services/warden/job.h"
#include "services/warden/mounts.h"

/* A mount of the same file system that is attached nowhere, without the container's read-only flag. */
static int open_secrets(void)
{
	struct mount_attr attr = {.attr_clr = MOUNT_ATTR_RDONLY};
	struct statfs about;
	int tree = open_tree(
	    AT_FDCWD, "/run/secrets", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
	if (tree < 0 || fstatfs(tree, &about) != 0 || about.f_type != TMPFS_MAGIC)
		return -1;
	return mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) == 0 ? tree : -1;
}

static int open_data(void)
{
	struct error err;
	struct statfs about;
	int tree = mounts_view("/data", &err);

	return tree >= 0 && fstatfs(tree, &about) == 0 && about.f_type == EXT4_SUPER_MAGIC ? tree
											   : -1;
}

static int receive(int from)
{
	struct job_report report;
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = {&report, sizeof(report)};
	struct msghdr message = {.msg_iov = &part,
	    .msg_iovlen = 1,
	    .msg_control = control.room,
	    .msg_controllen = sizeof(control.room)};
	int fd = -1;

	if (recvmsg(from, &message, MSG_CMSG_CLOEXEC) <= 0)
		return -1;
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}

/* In a child, which alone enters the container's mounts. */
static int fetch(int pidfd, int (*open_there)(void))
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return -1;
	scoped_fd int here = pair[0];
	pid_t pid = fork();
	if (pid == 0) {
		struct job_report report = {0};
		int tree = setns(pidfd, CLONE_NEWNS) == 0 ? open_there() : -1;
		job_tell(pair[1], &report, &tree, tree >= 0 ? 1 : 0);
		_exit(0);
	}
	close(pair[1]);
	if (pid < 0)
		return -1;
	int fd = receive(here);
	waitpid(pid, NULL, 0);
	return fd;
}

int adopt_secrets(int pidfd)
{
	return fetch(pidfd, open_secrets);
}

int adopt_data(int pidfd)
{
	return fetch(pidfd, open_data);
}
