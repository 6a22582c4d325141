#include "common/packet_server.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"

#define BATCH 16 /* packets in one go, then the rest of the loop has its turn */

struct waiting {
	STAILQ_ENTRY(waiting) next;
	int fd;
	uint8_t packet[];
};

struct packet_server {
	struct event_base *base;
	struct packet_server_config config;
	struct packet_server_hooks hooks;
	char path[108];
	int listener, connection;
	struct event *accepts, *reads, *writes;
	STAILQ_HEAD(, waiting) queue;
	size_t queued;
	void *packet; /* that is being read */
};

union control {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int) * PACKET_SERVER_FDS_MAX)];
};

static void drop_first(struct packet_server *server)
{
	struct waiting *first = STAILQ_FIRST(&server->queue);

	STAILQ_REMOVE_HEAD(&server->queue, next);
	server->queued--;
	if (first->fd >= 0)
		close(first->fd);
	free(first);
}

static void hang_up(struct packet_server *server, const char *why)
{
	if (server->connection < 0)
		return;
	log_info("a peer is gone", "peer", server->config.peer, "why", why);
	event_free(server->reads);
	event_free(server->writes);
	close(server->connection);
	server->connection = -1;
	while (!STAILQ_EMPTY(&server->queue))
		drop_first(server);
	server->hooks.on_leave(server->hooks.arg);
}

void packet_server_cut(struct packet_server *server, const char *why)
{
	log_warn("a packet that is not as it should be", "peer", server->config.peer, "why", why);
	hang_up(server, "it does not keep to the protocol");
}

bool packet_server_is_connected(const struct packet_server *server)
{
	return server->connection >= 0;
}

bool packet_server_is_slow(const struct packet_server *server)
{
	return server->queued > 0;
}

/* ---- what is sent ---- */

/* 1: sent, 0: not now, -1: never. */
static int send_one(const struct packet_server *server, struct waiting *waiting)
{
	union control control = {.room = {0}};
	struct iovec part = {waiting->packet, server->config.packet_size};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (waiting->fd >= 0) {
		message.msg_control = control.room;
		message.msg_controllen = CMSG_SPACE(sizeof(int));
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &waiting->fd, sizeof(int));
	}
	if (sendmsg(server->connection, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
		return 1;
	return errno == EAGAIN || errno == ENOBUFS || errno == EINTR ? 0 : -1;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct packet_server *server = arg;

	(void)fd, (void)what;
	while (!STAILQ_EMPTY(&server->queue)) {
		int sent = send_one(server, STAILQ_FIRST(&server->queue));
		if (sent < 0) {
			hang_up(server, strerror(errno));
			return;
		}
		if (sent == 0) {
			event_add(server->writes, NULL);
			return;
		}
		drop_first(server);
	}
}

void packet_server_send(struct packet_server *server, const void *packet, int fd)
{
	if (server->connection < 0)
		return;
	if (server->queued == server->config.queue_max) {
		hang_up(server, "it does not read");
		return;
	}
	struct waiting *last = malloc(sizeof(*last) + server->config.packet_size);
	bug_if(!last);
	memcpy(last->packet, packet, server->config.packet_size);
	last->fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
	STAILQ_INSERT_TAIL(&server->queue, last, next);
	server->queued++;
	if (server->queued == 1)
		on_writable(server->connection, EV_WRITE, server);
}

/* ---- what is received ---- */

static size_t take_fds(struct msghdr *message, int fds[PACKET_SERVER_FDS_MAX])
{
	size_t n = 0;

	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
	     header = CMSG_NXTHDR(message, header)) {
		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		size_t here = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < here && n < PACKET_SERVER_FDS_MAX; i++)
			memcpy(&fds[n++], CMSG_DATA(header) + i * sizeof(int), sizeof(int));
	}
	return n;
}

/* Returns whether there may be another one. */
static bool receive_one(struct packet_server *server)
{
	union control control;
	struct iovec part = {server->packet, server->config.packet_size};
	struct msghdr message = {.msg_iov = &part,
	    .msg_iovlen = 1,
	    .msg_control = control.room,
	    .msg_controllen = sizeof(control.room)};
	int fds[PACKET_SERVER_FDS_MAX];

	ssize_t len = recvmsg(server->connection, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (len <= 0) {
		hang_up(server, len < 0 ? strerror(errno) : "it closed");
		return false;
	}
	size_t nfds = take_fds(&message, fds);
	if ((size_t)len == server->config.packet_size &&
	    !(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		server->hooks.on_packet(server->hooks.arg, server->packet, fds, nfds);
		return server->connection >= 0;
	}
	for (size_t i = 0; i < nfds; i++)
		close(fds[i]);
	packet_server_cut(server, "its size");
	return false;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct packet_server *server = arg;

	(void)fd, (void)what;
	for (int i = 0; i < BATCH; i++)
		if (!receive_one(server))
			break;
	sodium_memzero(server->packet, server->config.packet_size);
}

/* ---- who connects ---- */

static bool may_connect(const struct packet_server *server, int fd)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0)
		return false;
	if (who.uid == 0 || who.uid == geteuid() ||
	    (server->config.uid && who.uid == server->config.uid))
		return true;
	log_audit("a connection is refused", "by", server->config.own, "uid", log_u64(who.uid));
	return false;
}

static void on_connection(evutil_socket_t listener, short what, void *arg)
{
	struct packet_server *server = arg;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	if (fd < 0)
		return;
	if (!may_connect(server, fd)) {
		close(fd);
		return;
	}
	hang_up(server, "a newer connection");
	server->connection = fd;
	server->reads = event_new(server->base, fd, EV_READ | EV_PERSIST, on_readable, server);
	server->writes = event_new(server->base, fd, EV_WRITE, on_writable, server);
	bug_if(!server->reads || !server->writes || event_add(server->reads, NULL) != 0);
	log_info("a peer is here", "peer", server->config.peer);
	server->hooks.on_connect(server->hooks.arg);
}

/* ---- opened and closed ---- */

static int give_away(const struct packet_server *server)
{
	const struct packet_server_config *config = &server->config;

	if ((config->owner || config->gid) &&
	    lchown(server->path, config->owner ? config->owner : (uid_t)-1,
		config->gid ? config->gid : (gid_t)-1) != 0)
		return -1;
	return config->gid ? chmod(server->path, 0660) : 0;
}

/* In a folder that is sticky, the owner alone can take it away again. */
static int bind_at(struct packet_server *server, struct error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(server->config.path) >= sizeof(address.sun_path))
		return error_set(
		    err, ERR_INVALID, "%s: too long for a socket", server->config.path);
	memcpy(address.sun_path, server->path, strlen(server->path) + 1);
	server->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	unlink(server->path);
	mode_t before = umask(0177);
	int status = server->listener < 0 ? -1
					  : bind(server->listener,
						(const struct sockaddr *)&address, sizeof(address));
	umask(before);
	if (status != 0 || give_away(server) != 0)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", server->path, strerror(errno));
	return 0;
}

struct packet_server *packet_server_new(struct event_base *base,
    const struct packet_server_config *config, const struct packet_server_hooks *hooks,
    struct error *err)
{
	struct packet_server *server = calloc(1, sizeof(*server));

	bug_if(!server);
	*server = (struct packet_server){.base = base,
	    .config = *config,
	    .hooks = *hooks,
	    .listener = -1,
	    .connection = -1,
	    .packet = calloc(1, config->packet_size)};
	bug_if(!server->packet);
	STAILQ_INIT(&server->queue);
	snprintf(server->path, sizeof(server->path), "%s", config->path);
	if (bind_at(server, err) != 0)
		packet_server_destroy(&server);
	return server;
}

void packet_server_listen(struct packet_server *server)
{
	bug_if(listen(server->listener, 8) != 0);
	server->accepts =
	    event_new(server->base, server->listener, EV_READ | EV_PERSIST, on_connection, server);
	bug_if(!server->accepts || event_add(server->accepts, NULL) != 0);
}

void packet_server_destroy(struct packet_server **server)
{
	if (!*server)
		return;
	hang_up(*server, "this side stops");
	if ((*server)->accepts) {
		event_free((*server)->accepts);
		unlink((*server)->path);
	}
	if ((*server)->listener >= 0)
		close((*server)->listener);
	free((*server)->packet);
	free(*server);
	*server = NULL;
}

void packet_server_close_fds(const struct packet_server *server)
{
	struct waiting *each;

	close(server->listener);
	if (server->connection >= 0)
		close(server->connection);
	STAILQ_FOREACH(each, &server->queue, next)
	if (each->fd >= 0)
		close(each->fd);
}
