#include "services/sandbox/store_link.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "services/sandbox/text.h"

#define AGAIN_MS 100
#define PACKETS_PER_TURN 64
#define STORE_USER "multiclaw-snapshot-store"

struct request {
	uint64_t ticket;
	enum store_what what;
	char key[STORE_KEY_MAX + 1];
	store_done done;
	void *arg;
	bool is_cancelled;
	TAILQ_ENTRY(request) link;
};
TAILQ_HEAD(requests, request);

struct store_link {
	struct event_base *base;
	const char *path;
	uid_t user;
	int fd; /* -1: none */
	bool is_ready, is_told;
	char storage[160];
	struct event *readable, *again;
	struct requests requests;
	size_t nrequests;
	uint64_t last;
};

static void look_again(struct store_link *link)
{
	const struct timeval wait = {.tv_usec = AGAIN_MS * 1000};
	evtimer_add(link->again, &wait);
}

/* ---- ends */

static void finish(
    struct store_link *link, struct request *request, const struct store_ended *ended)
{
	struct error err;
	TAILQ_REMOVE(&link->requests, request, link);
	link->nrequests--;
	if (request->is_cancelled && request->what == STORE_PUT && ended->is_done &&
	    !store_link_delete(link, request->key, NULL, NULL, &err))
		log_warn("an object could not be deleted", "why", err.text);
	if (!request->is_cancelled && request->done)
		request->done(request->arg, ended);
	free(request);
}

static void disconnect(struct store_link *link, const char *why)
{
	const struct store_ended lost = {
	    .failure = STORE_UNAVAILABLE, .text = "snapshot-store is gone"};
	struct requests over;
	struct request *request;
	if (link->fd < 0)
		return;
	event_free(link->readable);
	link->readable = NULL;
	close(link->fd);
	link->fd = -1;
	if (link->is_ready)
		log_warn("the connection to snapshot-store ended", "why", why);
	link->is_ready = false;
	look_again(link);
	/* what is asked for from inside a done belongs to the next connection, which is not there yet */
	TAILQ_INIT(&over);
	TAILQ_CONCAT(&over, &link->requests, link);
	while ((request = TAILQ_FIRST(&over))) {
		TAILQ_REMOVE(&over, request, link);
		TAILQ_INSERT_TAIL(&link->requests, request, link);
		finish(link, request, &lost);
	}
}

/* ---- packets in */

static bool is_text(const char *text, size_t size)
{
	return strnlen(text, size) < size;
}

static bool is_well_formed(const struct store_packet *packet)
{
	if (packet->version != STORE_VERSION)
		return false;
	switch (packet->what) {
	case STORE_READY:
		return is_text(packet->u.text, sizeof(packet->u.text));
	case STORE_FAILED:
		return is_text(packet->u.failed.text, sizeof(packet->u.failed.text));
	case STORE_DONE:
	case STORE_PROGRESS:
		return true;
	default:
		return false;
	}
}

/* They may be the storage service's: any bytes. */
static void mend_words(struct store_packet *packet)
{
	if (packet->what == STORE_READY)
		text_copy(packet->u.text, sizeof(packet->u.text), packet->u.text);
	else if (packet->what == STORE_FAILED)
		text_copy(
		    packet->u.failed.text, sizeof(packet->u.failed.text), packet->u.failed.text);
}

static struct request *find(const struct store_link *link, uint64_t ticket)
{
	struct request *request;
	TAILQ_FOREACH(request, &link->requests, link)
	if (request->ticket == ticket)
		return request;
	return NULL;
}

static void take(struct store_link *link, const struct store_packet *packet)
{
	struct request *request;
	struct store_ended ended = {0};
	if (packet->what == STORE_READY) {
		memcpy(link->storage, packet->u.text, sizeof(link->storage));
		link->is_ready = true;
		log_info("snapshot-store", "storage", link->storage);
		return;
	}
	request = find(link, packet->ticket);
	if (!request || packet->what == STORE_PROGRESS)
		return;
	ended.is_done = packet->what == STORE_DONE;
	if (ended.is_done) {
		ended.bytes = packet->u.done.bytes;
		ended.digest = packet->u.done.digest;
	} else {
		uint32_t failure = packet->u.failed.failure;
		ended.failure =
		    failure <= STORE_INVALID ? (enum store_failure)failure : STORE_UNAVAILABLE;
		ended.text = packet->u.failed.text;
	}
	finish(link, request, &ended);
}

/* No descriptor comes this way: one that does is closed by the kernel, as there is no room for it. */
static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct store_link *link = arg;
	struct store_packet packet;
	(void)fd, (void)what;
	for (int i = 0; i < PACKETS_PER_TURN && link->fd >= 0; i++) {
		ssize_t n = recv(link->fd, &packet, sizeof(packet), MSG_DONTWAIT | MSG_TRUNC);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n != sizeof(packet) || !is_well_formed(&packet)) {
			disconnect(link, n == 0  ? "closed"
					 : n < 0 ? strerror(errno)
						 : "a malformed packet");
			return;
		}
		mend_words(&packet);
		take(link, &packet);
	}
}

/* ---- connecting */

/* The folder of sockets is every daemon's: whoever listens there instead would say that it has stored what it has not. */
static bool is_store(const struct store_link *link, int fd)
{
	struct ucred who;
	socklen_t len = sizeof(who);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 &&
	    (who.uid == 0 || who.uid == geteuid() || who.uid == link->user))
		return true;
	errno = EPERM;
	return false;
}

static int connect_to(const struct store_link *link)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (strlen(link->path) >= sizeof(at.sun_path)) {
		errno = ENAMETOOLONG;
	} else {
		memcpy(at.sun_path, link->path, strlen(link->path) + 1);
		if (connect(fd, (const struct sockaddr *)&at, sizeof(at)) == 0 &&
		    is_store(link, fd))
			return fd;
	}
	int why = errno;
	close(fd);
	errno = why;
	return -1;
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	struct store_link *link = arg;
	(void)fd, (void)what;
	if (link->fd >= 0)
		return;
	link->fd = connect_to(link);
	if (link->fd < 0) {
		if (!link->is_told)
			log_warn("no snapshot-store: nothing is saved, and what only it has is not "
				 "started",
			    "socket", link->path, "why", strerror(errno));
		link->is_told = true;
		look_again(link);
		return;
	}
	link->is_told = false;
	link->readable = event_new(link->base, link->fd, EV_READ | EV_PERSIST, on_readable, link);
	bug_if(!link->readable || event_add(link->readable, NULL) != 0);
}

/* ---- packets out */

static int send_packet(
    struct store_link *link, struct store_packet *packet, int fd, struct error *err)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec bytes = {packet, sizeof(*packet)};
	struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};
	packet->version = STORE_VERSION;
	if (fd >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		struct cmsghdr *head = CMSG_FIRSTHDR(&message);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(head), &fd, sizeof(fd));
	}
	if (sendmsg(link->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof(*packet))
		return 0;
	error_refuse(
	    err, ERR_UNAVAILABLE, "service_unavailable", "snapshot-store: %s", strerror(errno));
	/* not from inside the call: whoever sends is in the middle of something */
	shutdown(link->fd, SHUT_RDWR);
	return -1;
}

static uint64_t ask(struct store_link *link, struct store_packet *packet, const char *key, int fd,
    store_done done, void *arg, struct error *err)
{
	struct request *request;
	if (!link || !link->is_ready) {
		error_refuse(err, ERR_UNAVAILABLE, "service_unavailable", "no snapshot-store");
		return 0;
	}
	if (link->nrequests >= STORE_REQUESTS_MAX) {
		error_refuse(err, ERR_BUSY, "store_busy", "snapshot-store has enough to do");
		return 0;
	}
	packet->ticket = ++link->last;
	bug_if(strlen(key) > STORE_KEY_MAX);
	memcpy(packet->key, key, strlen(key) + 1);
	if (send_packet(link, packet, fd, err) != 0)
		return 0;
	request = calloc(1, sizeof(*request));
	bug_if(!request);
	*request = (struct request){.ticket = packet->ticket,
	    .what = (enum store_what)packet->what,
	    .done = done,
	    .arg = arg};
	memcpy(request->key, packet->key, sizeof(request->key));
	TAILQ_INSERT_TAIL(&link->requests, request, link);
	link->nrequests++;
	return request->ticket;
}

uint64_t store_link_put(struct store_link *link, const char *key, int fd, uint64_t bytes_max,
    store_done done, void *arg, struct error *err)
{
	struct store_packet packet = {.what = STORE_PUT, .u.put.bytes_max = bytes_max};
	return ask(link, &packet, key, fd, done, arg, err);
}

uint64_t store_link_get(struct store_link *link, const char *key, int fd, uint64_t bytes_max,
    store_done done, void *arg, struct error *err)
{
	struct store_packet packet = {.what = STORE_GET, .u.get.bytes_max = bytes_max};
	return ask(link, &packet, key, fd, done, arg, err);
}

uint64_t store_link_delete(
    struct store_link *link, const char *key, store_done done, void *arg, struct error *err)
{
	struct store_packet packet = {.what = STORE_DELETE};
	return ask(link, &packet, key, -1, done, arg, err);
}

uint64_t store_link_sweep(
    struct store_link *link, const char *folder, store_done done, void *arg, struct error *err)
{
	struct store_packet packet = {.what = STORE_SWEEP};
	return ask(link, &packet, folder, -1, done, arg, err);
}

void store_link_cancel(struct store_link *link, uint64_t ticket)
{
	struct store_packet packet = {.what = STORE_CANCEL, .ticket = ticket};
	struct request *request = ticket && link ? find(link, ticket) : NULL;
	struct error err;
	if (!request || request->is_cancelled)
		return;
	request->is_cancelled = true;
	if (link->is_ready)
		send_packet(link, &packet, -1, &err);
}

int store_failed(const struct store_ended *ended, const char *what, struct error *err)
{
	return error_refuse(err,
	    ended->failure == STORE_NOT_FOUND ? ERR_NOT_FOUND
	    : ended->failure == STORE_BUSY    ? ERR_BUSY
					      : ERR_UNAVAILABLE,
	    "store_failed", "%s: %s", what, ended->text);
}

bool store_link_is_ready(const struct store_link *link, char *why, size_t size)
{
	bool is_ready = link && link->is_ready;
	snprintf(why, size, "%s", is_ready ? link->storage : "no connection to snapshot-store");
	return is_ready;
}

size_t store_link_busy(const struct store_link *link)
{
	return link->nrequests;
}

/* ---- life */

static uid_t user_of(const char *name)
{
	struct passwd user, *found = NULL;
	char text[4096];
	return getpwnam_r(name, &user, text, sizeof(text), &found) == 0 && found ? found->pw_uid
										 : geteuid();
}

struct store_link *store_link_new(struct event_base *base, const char *path)
{
	struct store_link *link = calloc(1, sizeof(*link));
	bug_if(!link);
	link->base = base;
	link->path = path;
	link->user = user_of(STORE_USER);
	link->fd = -1;
	TAILQ_INIT(&link->requests);
	link->again = evtimer_new(base, on_again, link);
	bug_if(!link->again);
	event_active(link->again, EV_TIMEOUT, 0);
	return link;
}

void store_link_destroy(struct store_link **link)
{
	struct store_link *l = *link;
	const struct store_ended stopping = {.failure = STORE_UNAVAILABLE, .text = "stopping"};
	struct request *request;
	if (!l)
		return;
	*link = NULL;
	l->is_ready = false;
	while ((request = TAILQ_FIRST(&l->requests)))
		finish(l, request, &stopping);
	if (l->readable)
		event_free(l->readable);
	if (l->fd >= 0)
		close(l->fd);
	event_free(l->again);
	free(l);
}
