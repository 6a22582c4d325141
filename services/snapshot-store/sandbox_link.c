#include "services/snapshot-store/sandbox_link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"

#define QUEUE_MAX 1024 /* packets that wait to be read; a sandbox that reads nothing is cut off */
#define BATCH 16       /* requests in one go, then the rest of the loop has its turn */
#define FDS_MAX 4

struct waiting {
	STAILQ_ENTRY(waiting) next;
	struct store_packet packet;
};

struct sandbox_link {
	struct event_base *base;
	struct sandbox_link_hooks hooks;
	char path[108];
	uid_t uid;
	int listener, connection;
	struct event *accepts, *reads, *writes;
	STAILQ_HEAD(, waiting) queue;
	size_t queued;
};

static void drop_first(struct sandbox_link *link)
{
	struct waiting *first = STAILQ_FIRST(&link->queue);

	STAILQ_REMOVE_HEAD(&link->queue, next);
	link->queued--;
	free(first);
}

static void hang_up(struct sandbox_link *link, const char *why)
{
	if (link->connection < 0)
		return;
	log_info("sandbox is gone", "why", why);
	event_free(link->reads);
	event_free(link->writes);
	close(link->connection);
	link->connection = -1;
	while (!STAILQ_EMPTY(&link->queue))
		drop_first(link);
	link->hooks.on_leave(link->hooks.arg);
}

void sandbox_link_cut(struct sandbox_link *link, const char *why)
{
	log_warn("a packet that is not as it should be", "why", why);
	hang_up(link, "it does not keep to the protocol");
}

/* ---- what is sent ---- */

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct sandbox_link *link = arg;

	(void)fd, (void)what;
	while (!STAILQ_EMPTY(&link->queue)) {
		const struct store_packet *packet = &STAILQ_FIRST(&link->queue)->packet;
		ssize_t n =
		    send(link->connection, packet, sizeof(*packet), MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == EINTR)) {
			event_add(link->writes, NULL);
			return;
		}
		if (n < 0) {
			hang_up(link, strerror(errno));
			return;
		}
		drop_first(link);
	}
}

void sandbox_link_send(
    struct sandbox_link *link, const struct store_packet *packet, bool is_worth_waiting)
{
	if (!link || link->connection < 0 || (link->queued && !is_worth_waiting))
		return;
	if (link->queued == QUEUE_MAX) {
		hang_up(link, "it does not read");
		return;
	}
	struct waiting *last = calloc(1, sizeof(*last));
	bug_if(!last);
	last->packet = *packet;
	last->packet.version = STORE_VERSION;
	STAILQ_INSERT_TAIL(&link->queue, last, next);
	link->queued++;
	if (link->queued == 1)
		on_writable(link->connection, EV_WRITE, link);
}

/* ---- what is received ---- */

static size_t take_fds(struct msghdr *message, int fds[FDS_MAX])
{
	size_t n = 0;

	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
	     header = CMSG_NXTHDR(message, header)) {
		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		size_t here = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < here && n < FDS_MAX; i++)
			memcpy(&fds[n++], CMSG_DATA(header) + i * sizeof(int), sizeof(int));
	}
	return n;
}

static const char *wrong_with(
    const struct store_packet *packet, ssize_t len, int flags, size_t nfds)
{
	if (len != (ssize_t)sizeof(*packet) || (flags & (MSG_TRUNC | MSG_CTRUNC)))
		return "its size";
	if (packet->version != STORE_VERSION)
		return "its version";
	if (packet->what < STORE_PUT || packet->what > STORE_CANCEL)
		return "what it asks";
	if (nfds != (packet->what == STORE_PUT || packet->what == STORE_GET))
		return "how many files are with it";
	return NULL;
}

/* Returns whether there may be another one. */
static bool receive_one(struct sandbox_link *link)
{
	struct store_packet packet;
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int) * FDS_MAX)];
	} control;
	struct iovec part = {&packet, sizeof(packet)};
	struct msghdr message = {.msg_iov = &part,
	    .msg_iovlen = 1,
	    .msg_control = control.room,
	    .msg_controllen = sizeof(control.room)};
	int fds[FDS_MAX];

	ssize_t len = recvmsg(link->connection, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (len <= 0) {
		hang_up(link, len < 0 ? strerror(errno) : "it closed");
		return false;
	}
	size_t nfds = take_fds(&message, fds);
	const char *wrong = wrong_with(&packet, len, message.msg_flags, nfds);
	if (wrong) {
		for (size_t i = 0; i < nfds; i++)
			close(fds[i]);
		sandbox_link_cut(link, wrong);
		return false;
	}
	link->hooks.on_request(link->hooks.arg, &packet, nfds ? fds[0] : -1);
	return link->connection >= 0;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct sandbox_link *link = arg;

	(void)fd, (void)what;
	for (int i = 0; i < BATCH; i++)
		if (!receive_one(link))
			break;
}

/* ---- who connects ---- */

static bool may_connect(const struct sandbox_link *link, int fd)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0)
		return false;
	if (who.uid == 0 || who.uid == geteuid() || (link->uid && who.uid == link->uid))
		return true;
	log_audit("snapshot-store refused a connection", "uid", log_u64(who.uid));
	return false;
}

static void on_connection(evutil_socket_t listener, short what, void *arg)
{
	struct sandbox_link *link = arg;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	if (fd < 0)
		return;
	if (!may_connect(link, fd)) {
		close(fd);
		return;
	}
	hang_up(link, "a newer connection");
	link->connection = fd;
	link->reads = event_new(link->base, fd, EV_READ | EV_PERSIST, on_readable, link);
	link->writes = event_new(link->base, fd, EV_WRITE, on_writable, link);
	bug_if(!link->reads || !link->writes || event_add(link->reads, NULL) != 0);
	log_info("sandbox is here");
	link->hooks.on_connect(link->hooks.arg);
}

/* In a folder that is sticky, the owner alone can take it away again. */
static int bind_at(struct sandbox_link *link, const struct sandbox_link_who *who, struct error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(link->path) >= sizeof(address.sun_path))
		return error_set(err, ERR_INVALID, "%s: too long for a socket", link->path);
	memcpy(address.sun_path, link->path, strlen(link->path) + 1);
	link->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	unlink(link->path);
	mode_t before = umask(0177);
	int status = link->listener < 0
			 ? -1
			 : bind(link->listener, (const struct sockaddr *)&address, sizeof(address));
	umask(before);
	if (status != 0 ||
	    ((who->owner || who->gid) && lchown(link->path, who->owner ? who->owner : (uid_t)-1,
					     who->gid ? who->gid : (gid_t)-1) != 0) ||
	    (who->gid && chmod(link->path, 0660) != 0))
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", link->path, strerror(errno));
	return 0;
}

struct sandbox_link *sandbox_link_new(struct event_base *base, const char *path,
    const struct sandbox_link_who *who, const struct sandbox_link_hooks *hooks, struct error *err)
{
	struct sandbox_link *link = calloc(1, sizeof(*link));

	bug_if(!link);
	*link = (struct sandbox_link){
	    .base = base, .hooks = *hooks, .uid = who->uid, .listener = -1, .connection = -1};
	STAILQ_INIT(&link->queue);
	snprintf(link->path, sizeof(link->path), "%s", path);
	if (bind_at(link, who, err) != 0)
		sandbox_link_destroy(&link);
	return link;
}

void sandbox_link_listen(struct sandbox_link *link)
{
	bug_if(listen(link->listener, 8) != 0);
	link->accepts =
	    event_new(link->base, link->listener, EV_READ | EV_PERSIST, on_connection, link);
	bug_if(!link->accepts || event_add(link->accepts, NULL) != 0);
}

void sandbox_link_destroy(struct sandbox_link **link)
{
	if (!*link)
		return;
	hang_up(*link, "snapshot-store stops");
	if ((*link)->accepts) {
		event_free((*link)->accepts);
		unlink((*link)->path);
	}
	if ((*link)->listener >= 0)
		close((*link)->listener);
	free(*link);
	*link = NULL;
}
