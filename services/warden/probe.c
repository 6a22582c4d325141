#include "services/warden/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/scoped.h"

#define TRY_MS 50 /* a packet that the link was not up for is not waited for */
#define PAUSE_MS_MAX 50

static bool accepts(const struct sockaddr_in *address)
{
	int error = 0;
	socklen_t len = sizeof(error);
	scoped_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct pollfd writable = {.fd = fd, .events = POLLOUT};
	const struct linger none = {1, 0};

	if (fd < 0)
		return false;
	/* reset at the end: nothing is left of it on either side */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
		return true;
	if (errno != EINPROGRESS || poll(&writable, 1, TRY_MS) != 1)
		return false;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0;
}

int probe_wait(
    struct in_addr address, uint16_t port, int pidfd, uint64_t timeout_ms, struct error *err)
{
	const struct sockaddr_in to = {
	    .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = address};
	uint64_t until = clock_boot_ms() + timeout_ms;
	struct pollfd end = {.fd = pidfd, .events = POLLIN};

	for (unsigned tries = 0;; tries++) {
		if (accepts(&to))
			return 0;
		unsigned pause = 1 + tries / 50;
		if (poll(&end, 1, (int)(pause < PAUSE_MS_MAX ? pause : PAUSE_MS_MAX)) > 0)
			return error_set(err, ERR_UNAVAILABLE,
			    "it ended before it accepted a connection on port %u", port);
		if (clock_boot_ms() >= until)
			return error_set(err, ERR_TIMEOUT,
			    "it did not accept a connection on port %u within %u s", port,
			    (unsigned)(timeout_ms / 1000));
	}
}
