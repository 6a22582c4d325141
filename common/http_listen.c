#include "common/http_listen.h"

#include <errno.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/scoped.h"

#define UNIX_PREFIX "unix:"

const char *http_listen_path(const char *address)
{
	size_t len = strlen(UNIX_PREFIX);

	return strncmp(address, UNIX_PREFIX, len) == 0 ? address + len : NULL;
}

static int stream_socket(int family)
{
	return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* Takes a descriptor out of its scope. */
static int keep(int *fd)
{
	int kept = *fd;

	*fd = -1;
	return kept;
}

/* Only a socket on which nobody listens any more is ours to remove. */
static int remove_stale(const struct sockaddr_un *at, struct error *err)
{
	struct stat st;

	if (lstat(at->sun_path, &st) != 0)
		return errno == ENOENT ? 0
				       : error_set(err, ERR_UNAVAILABLE, "%s: %s", at->sun_path,
					     strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return error_set(err, ERR_CONFLICT, "%s is not a socket", at->sun_path);

	scoped_fd int probe = stream_socket(AF_UNIX);
	if (probe < 0)
		return error_set(err, ERR_UNAVAILABLE, "socket: %s", strerror(errno));
	if (connect(probe, (const struct sockaddr *)at, sizeof(*at)) == 0 || errno != ECONNREFUSED)
		return error_set(err, ERR_CONFLICT, "%s is in use", at->sun_path);
	if (unlink(at->sun_path) != 0 && errno != ENOENT)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", at->sun_path, strerror(errno));
	return 0;
}

static int listen_unix(const char *path, struct error *err)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	if (!*path || strlen(path) >= sizeof(at.sun_path))
		return error_set(
		    err, ERR_INVALID, "unix socket path is empty or too long: %s", path);
	memcpy(at.sun_path, path, strlen(path));
	if (remove_stale(&at, err) != 0)
		return -1;
	scoped_fd int fd = stream_socket(AF_UNIX);
	/* nobody can connect between bind and chmod: it does not listen yet */
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || chmod(path, 0660) != 0)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", path, strerror(errno));
	return keep(&fd);
}

static bool has_port(const struct sockaddr_storage *at)
{
	if (at->ss_family == AF_INET)
		return ((const struct sockaddr_in *)at)->sin_port != 0;
	return ((const struct sockaddr_in6 *)at)->sin6_port != 0;
}

static int listen_inet(const char *address, bool is_early, struct error *err)
{
	struct sockaddr_storage at = {0};
	int len = sizeof(at);
	int on = 1, early = is_early;

	if (evutil_parse_sockaddr_port(address, (struct sockaddr *)&at, &len) != 0 ||
	    !has_port(&at))
		return error_set(
		    err, ERR_INVALID, "not unix:path or a numeric address:port: %s", address);
	scoped_fd int fd = stream_socket(at.ss_family);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    (at.ss_family == AF_INET &&
		setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &early, sizeof(early)) != 0) ||
	    bind(fd, (struct sockaddr *)&at, (socklen_t)len) != 0)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", address, strerror(errno));
	return keep(&fd);
}

int http_listen(const char *address, struct error *err)
{
	const char *path = http_listen_path(address);

	return path ? listen_unix(path, err) : listen_inet(address, false, err);
}

int http_listen_early(const char *address, struct error *err)
{
	return listen_inet(address, true, err);
}
