#include "services/warden/network_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "common/scoped.h"

static int own_namespace(struct error *err)
{
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return error_set(
		    err, ERR_UNAVAILABLE, "own network namespace: %s", strerror(errno));
	return fd;
}

/* A process that cannot go home would go on in a container's network and take it for the host's. */
static void go_home(int home)
{
	bug_if(setns(home, CLONE_NEWNET) != 0);
}

int network_namespace_new(network_work *work, const void *arg, int *netns_fd_r, struct error *err)
{
	scoped_fd int home = own_namespace(err);

	if (home < 0)
		return -1;
	if (unshare(CLONE_NEWNET) != 0)
		return error_set(
		    err, ERR_UNAVAILABLE, "new network namespace: %s", strerror(errno));
	scoped_fd int made = own_namespace(err);
	int worked = made < 0 ? -1 : work(arg, err);
	go_home(home);
	if (worked != 0)
		return -1;
	*netns_fd_r = made;
	made = -1;
	return 0;
}

int network_namespace_do(int netns_fd, network_work *work, const void *arg, struct error *err)
{
	scoped_fd int home = own_namespace(err);

	if (home < 0)
		return -1;
	if (setns(netns_fd, CLONE_NEWNET) != 0)
		return error_set(
		    err, ERR_UNAVAILABLE, "container's network namespace: %s", strerror(errno));
	int worked = work(arg, err);
	go_home(home);
	return worked;
}

int network_namespace_sysctl(const char *path, const char *value, struct error *err)
{
	char whole[96];

	snprintf(whole, sizeof(whole), "/proc/sys/net/%s", path);
	scoped_fd int fd = open(whole, O_WRONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && strncmp(path, "ipv6/", 5) == 0)
		return 0;
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", whole, strerror(errno));
	return 0;
}
