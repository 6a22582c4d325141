#include "services/warden/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/scoped.h"

#define TRIES 64 /* somebody else may take the free one first */

static int open_device(int control, char device[32])
{
	int number = ioctl(control, LOOP_CTL_GET_FREE);

	if (number < 0)
		return -1;
	snprintf(device, 32, "/dev/loop%d", number);
	return open(device, O_RDWR | O_CLOEXEC);
}

int loop_make(int file, char device[32], unsigned *major_r, unsigned *minor_r, struct error *err)
{
	struct loop_config config = {
	    .fd = (uint32_t)file, .block_size = 4096, .info = {.lo_flags = LO_FLAGS_AUTOCLEAR}};
	scoped_fd int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	struct stat about;

	for (int i = 0; control >= 0 && i < TRIES; i++) {
		int fd = open_device(control, device);
		if (fd < 0)
			continue;
		if (ioctl(fd, LOOP_CONFIGURE, &config) == 0 && fstat(fd, &about) == 0) {
			*major_r = major(about.st_rdev);
			*minor_r = minor(about.st_rdev);
			return fd;
		}
		int why = errno;
		close(fd);
		errno = why;
		if (why != EBUSY)
			break;
	}
	return error_set(
	    err, ERR_UNAVAILABLE, "no loop device for the volume: %s", strerror(errno));
}
