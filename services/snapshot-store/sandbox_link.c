#include "services/snapshot-store/sandbox_link.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/packet_server.h"

#define QUEUE_MAX 1024

struct sandbox_link {
	struct sandbox_link_hooks hooks;
	struct packet_server *server;
};

static void on_connect(void *arg)
{
	const struct sandbox_link *link = arg;

	link->hooks.on_connect(link->hooks.arg);
}

static void on_leave(void *arg)
{
	const struct sandbox_link *link = arg;

	link->hooks.on_leave(link->hooks.arg);
}

static const char *wrong_with(const struct store_packet *packet, size_t nfds)
{
	if (packet->version != STORE_VERSION)
		return "its version";
	if (packet->what < STORE_PUT || packet->what > STORE_CANCEL)
		return "what it asks";
	if (nfds != (packet->what == STORE_PUT || packet->what == STORE_GET))
		return "how many files are with it";
	return NULL;
}

static void on_packet(void *arg, void *packet, const int *fds, size_t nfds)
{
	const struct sandbox_link *link = arg;
	const char *wrong = wrong_with(packet, nfds);

	if (!wrong) {
		link->hooks.on_request(link->hooks.arg, packet, nfds ? fds[0] : -1);
		return;
	}
	for (size_t i = 0; i < nfds; i++)
		close(fds[i]);
	packet_server_cut(link->server, wrong);
}

struct sandbox_link *sandbox_link_new(struct event_base *base, const char *path,
    const struct sandbox_link_who *who, const struct sandbox_link_hooks *hooks, struct error *err)
{
	struct sandbox_link *link = calloc(1, sizeof(*link));

	bug_if(!link);
	const struct packet_server_config config = {.path = path,
	    .peer = "sandbox",
	    .own = "snapshot-store",
	    .packet_size = sizeof(struct store_packet),
	    .queue_max = QUEUE_MAX,
	    .uid = who->uid,
	    .owner = who->owner,
	    .gid = who->gid};
	const struct packet_server_hooks through = {on_connect, on_leave, on_packet, link};
	link->hooks = *hooks;
	link->server = packet_server_new(base, &config, &through, err);
	if (!link->server)
		sandbox_link_destroy(&link);
	return link;
}

void sandbox_link_listen(struct sandbox_link *link)
{
	packet_server_listen(link->server);
}

void sandbox_link_destroy(struct sandbox_link **link)
{
	if (!*link)
		return;
	packet_server_destroy(&(*link)->server);
	free(*link);
	*link = NULL;
}

void sandbox_link_send(
    struct sandbox_link *link, const struct store_packet *packet, bool is_worth_waiting)
{
	if (!link || (packet_server_is_slow(link->server) && !is_worth_waiting))
		return;
	struct store_packet copy = *packet;
	copy.version = STORE_VERSION;
	packet_server_send(link->server, &copy, -1);
}

void sandbox_link_cut(struct sandbox_link *link, const char *why)
{
	packet_server_cut(link->server, why);
}
