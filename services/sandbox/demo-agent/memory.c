#include "services/sandbox/demo-agent/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "services/sandbox/demo-agent/answer.h"

#define NEW_FILE MEMORY_FILE ".new"

int memory_read(int folder, char *bytes, size_t *len_r)
{
	int fd = openat(folder, MEMORY_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	*len_r = 0;
	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	ssize_t n = -1;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		n = read(fd, bytes, MEMORY_MAX);
	close(fd);
	if (n < 0)
		return -1;
	*len_r = (size_t)n;
	return 0;
}

static int write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		bytes += n;
		len -= (size_t)n;
	}
	return fsync(fd);
}

int memory_write(int folder, const char *bytes, size_t len)
{
	unlinkat(folder, NEW_FILE, 0); /* of a write that was cut short */
	int fd = openat(folder, NEW_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	int rc = write_all(fd, bytes, len), why = errno;
	close(fd);
	if (rc == 0) {
		rc = renameat(folder, NEW_FILE, folder, MEMORY_FILE);
		if (rc == 0)
			rc = fsync(folder); /* or the old one is there again after a crash */
		why = errno;
	}
	if (rc != 0)
		unlinkat(folder, NEW_FILE, 0);
	errno = why;
	return rc;
}
