/* wall_clock - loaded before libc (LD_PRELOAD): CLOCK_REALTIME is what it is plus the seconds in the file WALL_CLOCKS/<name>, which may change at any time.
 *
 * <name> is MULTICLAW_REPLICA, or the program's own name. Without such a file nothing changes. No other clock is touched.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *shift;

__attribute__((constructor)) static void map_shift(void)
{
	const char *folder = getenv("WALL_CLOCKS"), *name = getenv("MULTICLAW_REPLICA");
	char path[256];

	if (!folder)
		return;
	snprintf(path, sizeof(path), "%s/%s", folder, name ? name : program_invocation_short_name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	void *mapped = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (mapped != MAP_FAILED)
		shift = mapped;
}

int clock_gettime(clockid_t id, struct timespec *now)
{
	long failed = syscall(SYS_clock_gettime, id, now);

	if (!failed && shift && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		now->tv_sec += *shift;
	return (int)failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec ts;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &ts);
	now->tv_sec = ts.tv_sec;
	now->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *now)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (now)
		*now = ts.tv_sec;
	return ts.tv_sec;
}
