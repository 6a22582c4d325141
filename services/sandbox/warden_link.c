#include "services/sandbox/warden_link.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "services/sandbox/text.h"

#define AGAIN_MS 100
#define PACKETS_PER_TURN 64
#define SEND_BUFFER (4 << 20) /* of packets that warden has not taken yet */

struct warden_link {
	struct event_base *base;
	const char *path;
	struct warden_link_hooks hooks;
	int fd; /* -1: none */
	struct event *readable, *again;
	bool is_told, is_warned; /* that there is no warden; that somebody poses as it */
};

union control {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

static void look_again(struct warden_link *link)
{
	const struct timeval wait = {.tv_usec = AGAIN_MS * 1000};
	evtimer_add(link->again, &wait);
}

static void disconnect(struct warden_link *link, const char *why)
{
	if (link->fd < 0)
		return;
	event_free(link->readable);
	link->readable = NULL;
	close(link->fd);
	link->fd = -1;
	log_warn("the connection to warden ended", "why", why);
	look_again(link);
	link->hooks.down(link->hooks.arg);
}

/* ---- packets in */

static bool is_text(const char *text, size_t size)
{
	size_t len = strnlen(text, size);
	for (size_t i = len; i < size; i++)
		if (text[i] != '\0')
			return false;
	return len < size;
}

#define IS_TEXT(array) is_text(array, sizeof(array))
static bool is_well_formed(const struct warden_packet *packet)
{
	if (packet->version != WARDEN_VERSION || !IS_TEXT(packet->agent) || !IS_TEXT(packet->boot))
		return false;
	switch (packet->what) {
	case WARDEN_FOUND:
		return IS_TEXT(packet->u.found.image) && IS_TEXT(packet->u.found.wallet);
	case WARDEN_READY:
		return IS_TEXT(packet->u.ready.runtime) && IS_TEXT(packet->u.ready.warning);
	case WARDEN_EXECED:
		return IS_TEXT(packet->u.execed.why);
	case WARDEN_FAILED:
		return IS_TEXT(packet->u.failed.text);
	case WARDEN_SNAPSHOTTED:
		return IS_TEXT(packet->u.snapshotted.path) && IS_TEXT(packet->u.snapshotted.kind) &&
		       IS_TEXT(packet->u.snapshotted.text);
	case WARDEN_GONE:
	case WARDEN_ERASED:
	case WARDEN_RESETTED:
		return IS_TEXT(packet->u.text);
	case WARDEN_SAVING:
	case WARDEN_STARTING:
	case WARDEN_ALLOWED:
	case WARDEN_STARTED:
	case WARDEN_ENDED:
	case WARDEN_COUNTED:
		return true;
	default:
		return false;
	}
}

/* Words of the runtime, and names of files, may be an agent's: any bytes. */
#define MEND(array) text_copy(array, sizeof(array), array)
static void mend_words(struct warden_packet *packet)
{
	if (packet->what == WARDEN_READY) {
		MEND(packet->u.ready.runtime);
		MEND(packet->u.ready.warning);
	} else if (packet->what == WARDEN_EXECED) {
		MEND(packet->u.execed.why);
	} else if (packet->what == WARDEN_FAILED) {
		MEND(packet->u.failed.text);
	} else if (packet->what == WARDEN_SNAPSHOTTED) {
		MEND(packet->u.snapshotted.path);
		MEND(packet->u.snapshotted.kind);
		MEND(packet->u.snapshotted.text);
	} else if (packet->what == WARDEN_GONE || packet->what == WARDEN_ERASED ||
		   packet->what == WARDEN_RESETTED) {
		MEND(packet->u.text);
	}
}

static int take_fd(struct msghdr *message)
{
	struct cmsghdr *head = CMSG_FIRSTHDR(message);
	int fd = -1;
	if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS &&
	    head->cmsg_len >= CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(head), sizeof(fd));
	return fd;
}

/* 1: a packet; 0: none now; -1: over (why_r). */
static int receive(
    const struct warden_link *link, struct warden_packet *packet_r, int *fd_r, const char **why_r)
{
	union control control;
	struct iovec bytes = {packet_r, sizeof(*packet_r)};
	struct msghdr message = {.msg_iov = &bytes,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof(control.bytes)};
	ssize_t n = recvmsg(link->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	*fd_r = -1;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	*why_r = n == 0 ? "closed" : strerror(errno);
	if (n <= 0)
		return -1;
	*fd_r = take_fd(&message);
	if (n == sizeof(*packet_r) && !(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) &&
	    is_well_formed(packet_r)) {
		mend_words(packet_r);
		return 1;
	}
	if (*fd_r >= 0)
		close(*fd_r);
	*why_r = "a malformed packet";
	return -1;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct warden_link *link = arg;
	struct warden_packet packet;
	const char *why;
	(void)fd, (void)what;
	for (int i = 0; i < PACKETS_PER_TURN && link->fd >= 0; i++) {
		int rights, rc = receive(link, &packet, &rights, &why);
		if (rc == 0)
			return;
		if (rc < 0) {
			disconnect(link, why);
			return;
		}
		link->hooks.packet(link->hooks.arg, &packet, rights);
	}
}

/* ---- connecting */

/* The folder of sockets is every daemon's: whoever listens there while warden is away would be told keys of volumes and owners' secrets. */
static bool is_warden(int fd)
{
	struct ucred who;
	socklen_t len = sizeof(who);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 &&
	    (who.uid == 0 || who.uid == geteuid()))
		return true;
	errno = EPERM;
	return false;
}

static int connect_to(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	const int buffer = SEND_BUFFER;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
	if (strlen(path) >= sizeof(at.sun_path)) {
		errno = ENAMETOOLONG;
	} else {
		memcpy(at.sun_path, path, strlen(path) + 1);
		if (connect(fd, (const struct sockaddr *)&at, sizeof(at)) == 0 && is_warden(fd))
			return fd;
	}
	int why = errno;
	close(fd);
	errno = why;
	return -1;
}

static void tell_none(struct warden_link *link, int why)
{
	bool is_impostor = why == EPERM;
	if (is_impostor && !link->is_warned)
		log_audit("who listens in warden's place is not root", "socket", link->path);
	else if (!is_impostor && !link->is_told)
		log_warn("no warden", "socket", link->path, "why", strerror(why));
	link->is_warned |= is_impostor;
	link->is_told |= !is_impostor;
}

static void connect_now(struct warden_link *link)
{
	link->fd = connect_to(link->path);
	if (link->fd < 0) {
		tell_none(link, errno);
		look_again(link);
		return;
	}
	link->is_told = link->is_warned = false;
	link->readable = event_new(link->base, link->fd, EV_READ | EV_PERSIST, on_readable, link);
	bug_if(!link->readable || event_add(link->readable, NULL) != 0);
	link->hooks.up(link->hooks.arg);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	struct warden_link *link = arg;
	(void)fd, (void)what;
	if (link->fd < 0)
		connect_now(link);
}

/* ---- packets out */

int warden_link_send(struct warden_link *link, struct warden_packet *packet,
    const int fds[WARDEN_FDS_MAX], struct error *err)
{
	union {
		char bytes[CMSG_SPACE(WARDEN_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	size_t nfds = 0;
	struct iovec bytes = {packet, sizeof(*packet)};
	struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};
	packet->version = WARDEN_VERSION;
	if (link->fd < 0)
		return error_refuse(err, ERR_UNAVAILABLE, "service_unavailable", "no warden");
	while (fds && nfds < WARDEN_FDS_MAX && fds[nfds] >= 0)
		nfds++;
	if (nfds > 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		struct cmsghdr *head = CMSG_FIRSTHDR(&message);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(head), fds, nfds * sizeof(int));
	}
	if (sendmsg(link->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof(*packet))
		return 0;
	error_refuse(err, ERR_UNAVAILABLE, "service_unavailable", "warden: %s", strerror(errno));
	/* not from inside the call: whoever sends is in the middle of something */
	shutdown(link->fd, SHUT_RDWR);
	return -1;
}

/* ---- life */

struct warden_link *warden_link_new(
    struct event_base *base, const char *path, const struct warden_link_hooks *hooks)
{
	struct warden_link *link = calloc(1, sizeof(*link));
	bug_if(!link);
	link->base = base;
	link->path = path;
	link->hooks = *hooks;
	link->fd = -1;
	link->again = evtimer_new(base, on_again, link);
	bug_if(!link->again);
	event_active(link->again, EV_TIMEOUT, 0);
	return link;
}

void warden_link_destroy(struct warden_link **link)
{
	struct warden_link *l = *link;
	if (!l)
		return;
	*link = NULL;
	if (l->readable)
		event_free(l->readable);
	if (l->fd >= 0)
		close(l->fd);
	event_free(l->again);
	free(l);
}
