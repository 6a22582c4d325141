#include "services/warden/peer.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/packet_server.h"
#include "services/warden/packet.h"

#define QUEUE_MAX 8192

struct peer {
	struct peer_hooks hooks;
	struct packet_server *server;
	struct event *gone;
};

/* Later: whoever says something is in the middle of its own work. */
static void on_leave(void *arg)
{
	const struct peer *peer = arg;

	event_active(peer->gone, EV_TIMEOUT, 0);
}

static void on_gone(evutil_socket_t fd, short what, void *arg)
{
	const struct peer *peer = arg;

	(void)fd, (void)what;
	if (!packet_server_is_connected(peer->server))
		peer->hooks.on_gone(peer->hooks.arg);
}

static void on_connect(void *arg)
{
	const struct peer *peer = arg;

	peer->hooks.on_connect(peer->hooks.arg);
}

static void on_packet(void *arg, void *bytes, const int *fds, size_t nfds)
{
	const struct peer *peer = arg;
	struct warden_packet *packet = bytes;
	struct error err = {0};

	if (packet_check(packet, nfds, &err) == 0) {
		peer->hooks.on_request(peer->hooks.arg, packet, fds, nfds);
		return;
	}
	for (size_t i = 0; i < nfds; i++)
		close(fds[i]);
	packet_server_cut(peer->server, err.text);
}

struct peer *peer_new(struct event_base *base, const char *path, uid_t uid, gid_t gid,
    const struct peer_hooks *hooks, struct error *err)
{
	struct peer *peer = calloc(1, sizeof(*peer));

	bug_if(!peer);
	const struct packet_server_config config = {.path = path,
	    .peer = "sandbox",
	    .own = "warden",
	    .packet_size = sizeof(struct warden_packet),
	    .queue_max = QUEUE_MAX,
	    .uid = uid,
	    .gid = gid};
	const struct packet_server_hooks through = {on_connect, on_leave, on_packet, peer};
	peer->hooks = *hooks;
	peer->gone = evtimer_new(base, on_gone, peer);
	bug_if(!peer->gone);
	peer->server = packet_server_new(base, &config, &through, err);
	if (peer->server)
		packet_server_listen(peer->server);
	else
		peer_destroy(&peer);
	return peer;
}

void peer_destroy(struct peer **peer)
{
	if (!*peer)
		return;
	packet_server_destroy(&(*peer)->server);
	event_free((*peer)->gone);
	free(*peer);
	*peer = NULL;
}

void peer_close_fds(const struct peer *peer)
{
	if (peer)
		packet_server_close_fds(peer->server);
}

void peer_send(struct peer *peer, struct warden_packet *packet, int fd)
{
	if (!peer)
		return;
	packet->version = WARDEN_VERSION;
	packet_server_send(peer->server, packet, fd);
}
