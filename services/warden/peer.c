#include "services/warden/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "services/warden/packet.h"

#define QUEUE_MAX 8192 /* packets that wait to be read; a sandbox that reads nothing is cut off */
#define BATCH 16       /* requests in one go, then the rest of the loop has its turn */

struct waiting {
	STAILQ_ENTRY(waiting) next;
	struct warden_packet packet;
	int fd;
};

struct peer {
	struct event_base *base;
	struct peer_hooks hooks;
	char path[108];
	uid_t uid;
	int listener, connection;
	struct event *accepts, *reads, *writes, *gone;
	STAILQ_HEAD(, waiting) queue;
	size_t queued;
};

union control {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int) * 4)];
};

static void drop_first(struct peer *peer)
{
	struct waiting *first = STAILQ_FIRST(&peer->queue);

	STAILQ_REMOVE_HEAD(&peer->queue, next);
	peer->queued--;
	if (first->fd >= 0)
		close(first->fd);
	free(first);
}

static void hang_up(struct peer *peer, const char *why)
{
	if (peer->connection < 0)
		return;
	log_info("sandbox is gone", "why", why);
	event_free(peer->reads);
	event_free(peer->writes);
	close(peer->connection);
	peer->connection = -1;
	while (!STAILQ_EMPTY(&peer->queue))
		drop_first(peer);
	/* later: whoever says something is in the middle of its own work */
	event_active(peer->gone, EV_TIMEOUT, 0);
}

static void on_gone(evutil_socket_t fd, short what, void *arg)
{
	struct peer *peer = arg;

	(void)fd, (void)what;
	if (peer->connection < 0)
		peer->hooks.on_gone(peer->hooks.arg);
}

/* ---- what is sent ---- */

/* 1: sent, 0: not now, -1: never. */
static int send_one(int connection, struct warden_packet *packet, int fd)
{
	union control control = {.room = {0}};
	struct iovec part = {packet, sizeof(*packet)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (fd >= 0) {
		message.msg_control = control.room;
		message.msg_controllen = CMSG_SPACE(sizeof(int));
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &fd, sizeof(int));
	}
	if (sendmsg(connection, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
		return 1;
	return errno == EAGAIN || errno == ENOBUFS || errno == EINTR ? 0 : -1;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct peer *peer = arg;

	(void)fd, (void)what;
	while (!STAILQ_EMPTY(&peer->queue)) {
		struct waiting *first = STAILQ_FIRST(&peer->queue);
		int sent = send_one(peer->connection, &first->packet, first->fd);
		if (sent < 0) {
			hang_up(peer, strerror(errno));
			return;
		}
		if (sent == 0) {
			event_add(peer->writes, NULL);
			return;
		}
		drop_first(peer);
	}
}

void peer_send(struct peer *peer, struct warden_packet *packet, int fd)
{
	if (!peer || peer->connection < 0)
		return;
	if (peer->queued == QUEUE_MAX) {
		hang_up(peer, "it does not read");
		return;
	}
	struct waiting *last = calloc(1, sizeof(*last));
	bug_if(!last);
	packet->version = WARDEN_VERSION;
	last->packet = *packet;
	last->fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
	STAILQ_INSERT_TAIL(&peer->queue, last, next);
	peer->queued++;
	if (peer->queued == 1)
		on_writable(peer->connection, EV_WRITE, peer);
}

/* ---- what is received ---- */

static size_t take_fds(struct msghdr *message, int fds[4])
{
	size_t n = 0;

	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
	     header = CMSG_NXTHDR(message, header)) {
		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		size_t here = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < here && n < 4; i++)
			memcpy(&fds[n++], CMSG_DATA(header) + i * sizeof(int), sizeof(int));
	}
	return n;
}

static void refuse(struct peer *peer, const char *why, const int *fds, size_t nfds)
{
	for (size_t i = 0; i < nfds; i++)
		close(fds[i]);
	log_warn("a packet that is not as it should be", "why", why);
	hang_up(peer, "it does not keep to the protocol");
}

/* Returns whether there may be another one. */
static bool receive_one(struct peer *peer, struct warden_packet *packet)
{
	union control control;
	struct iovec part = {packet, sizeof(*packet)};
	struct msghdr message = {.msg_iov = &part,
	    .msg_iovlen = 1,
	    .msg_control = control.room,
	    .msg_controllen = sizeof(control.room)};
	struct error err = {0};
	int fds[4];

	ssize_t len = recvmsg(peer->connection, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (len <= 0) {
		hang_up(peer, len < 0 ? strerror(errno) : "it closed");
		return false;
	}
	size_t nfds = take_fds(&message, fds);
	if (len != (ssize_t)sizeof(*packet) || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		refuse(peer, "its size", fds, nfds);
		return false;
	}
	if (packet_check(packet, nfds, &err) != 0) {
		refuse(peer, err.text, fds, nfds);
		return false;
	}
	peer->hooks.on_request(peer->hooks.arg, packet, fds, nfds);
	return peer->connection >= 0;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct peer *peer = arg;
	struct warden_packet packet;

	(void)fd, (void)what;
	for (int i = 0; i < BATCH; i++)
		if (!receive_one(peer, &packet))
			break;
	sodium_memzero(&packet, sizeof(packet));
}

/* ---- who connects ---- */

static bool may_connect(const struct peer *peer, int fd)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0)
		return false;
	if (who.uid == 0 || (peer->uid && who.uid == peer->uid))
		return true;
	log_audit("warden refused a connection", "uid", log_u64(who.uid));
	return false;
}

static void on_connection(evutil_socket_t listener, short what, void *arg)
{
	struct peer *peer = arg;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	if (fd < 0)
		return;
	if (!may_connect(peer, fd)) {
		close(fd);
		return;
	}
	hang_up(peer, "a newer connection");
	peer->connection = fd;
	peer->reads = event_new(peer->base, fd, EV_READ | EV_PERSIST, on_readable, peer);
	peer->writes = event_new(peer->base, fd, EV_WRITE, on_writable, peer);
	bug_if(!peer->reads || !peer->writes || event_add(peer->reads, NULL) != 0);
	log_info("sandbox is here");
	peer->hooks.on_connect(peer->hooks.arg);
}

static int listen_at(struct peer *peer, gid_t gid, struct error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(peer->path) >= sizeof(address.sun_path))
		return error_set(err, ERR_INVALID, "%s: too long for a socket", peer->path);
	memcpy(address.sun_path, peer->path, strlen(peer->path) + 1);
	peer->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	unlink(peer->path);
	mode_t before = umask(0177);
	int status = peer->listener < 0
			 ? -1
			 : bind(peer->listener, (const struct sockaddr *)&address, sizeof(address));
	umask(before);
	if (status != 0 || (gid && chown(peer->path, 0, gid) != 0) ||
	    (gid && chmod(peer->path, 0660) != 0) || listen(peer->listener, 8) != 0)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", peer->path, strerror(errno));
	return 0;
}

struct peer *peer_new(struct event_base *base, const char *path, uid_t uid, gid_t gid,
    const struct peer_hooks *hooks, struct error *err)
{
	struct peer *peer = calloc(1, sizeof(*peer));

	bug_if(!peer);
	*peer = (struct peer){.base = base, .hooks = *hooks, .uid = uid, .listener = -1};
	peer->connection = -1;
	STAILQ_INIT(&peer->queue);
	packet_put(peer->path, sizeof(peer->path), path);
	peer->gone = evtimer_new(base, on_gone, peer);
	bug_if(!peer->gone);
	if (listen_at(peer, gid, err) != 0) {
		peer_destroy(&peer);
		return NULL;
	}
	peer->accepts = event_new(base, peer->listener, EV_READ | EV_PERSIST, on_connection, peer);
	bug_if(!peer->accepts || event_add(peer->accepts, NULL) != 0);
	return peer;
}

void peer_destroy(struct peer **peer)
{
	if (!*peer)
		return;
	hang_up(*peer, "warden stops");
	event_free((*peer)->gone);
	if ((*peer)->accepts) {
		event_free((*peer)->accepts);
		unlink((*peer)->path);
	}
	if ((*peer)->listener >= 0)
		close((*peer)->listener);
	free(*peer);
	*peer = NULL;
}

void peer_close_fds(const struct peer *peer)
{
	if (!peer)
		return;
	close(peer->listener);
	if (peer->connection >= 0)
		close(peer->connection);
	struct waiting *each;
	STAILQ_FOREACH(each, &peer->queue, next)
	if (each->fd >= 0)
		close(each->fd);
}
