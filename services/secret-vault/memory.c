#include "services/secret-vault/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "common/log.h"
#include "common/scoped.h"

/* The first bytes of a file of /proc, as text; "" if it cannot be read. */
static const char *read_start(const char *path, char *buf, size_t size)
{
	scoped_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? 0 : read(fd, buf, size - 1);
	buf[len > 0 ? len : 0] = '\0';
	return buf;
}

/* The first line of /proc/swaps is a heading (proc(5)). */
static bool has_swap(void)
{
	char text[1024];
	const char *line = strchr(read_start("/proc/swaps", text, sizeof(text)), '\n');
	return line && line[1] != '\0';
}

/* With a limit, memory that is locked from now on would make a later allocation fail instead of being swapped: only without one. */
static bool lock_all(void)
{
	const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
	struct rlimit now;
	if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 &&
	    (getrlimit(RLIMIT_MEMLOCK, &now) != 0 || now.rlim_cur != RLIM_INFINITY))
		return false;
	return mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0;
}

void memory_guard(bool sanitized)
{
	char pattern[256];
	if (!sanitized && !lock_all() && has_swap())
		log_warn("this machine swaps and memory cannot be locked as a whole: give it "
			 "MemorySwapMax=0 or LimitMEMLOCK=infinity",
		    "why", strerror(errno));
	if (read_start("/proc/sys/kernel/core_pattern", pattern, sizeof(pattern))[0] == '|')
		log_warn("core dumps of this machine go to a program; this process makes none",
		    "core_pattern", pattern);
}
