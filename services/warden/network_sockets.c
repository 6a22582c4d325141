#include "services/warden/network_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/scoped.h"

#define REQUEST_ROOM 128 /* of one SOCK_DESTROY */
#define CONNECTED \
	((1U << TCP_ESTABLISHED) | (1U << TCP_SYN_SENT) | (1U << TCP_SYN_RECV) | \
	    (1U << TCP_FIN_WAIT1) | (1U << TCP_FIN_WAIT2) | (1U << TCP_CLOSE_WAIT) | \
	    (1U << TCP_LAST_ACK) | (1U << TCP_CLOSING))

static void scoped_mnl_fn(struct mnl_socket **nl)
{
	if (*nl)
		mnl_socket_close(*nl);
}
#define scoped_mnl __attribute__((cleanup(scoped_mnl_fn)))

/* Sockets of one family and peer. Gathered whole before any is destroyed: the kernel's dump goes on by position, and would step over some. */
struct found {
	struct sockaddr_in spared; /* a listener of ours, whose own are left out; port 0: none */
	struct inet_diag_req_v2 *socket;
	size_t n, room;
};

static int on_socket(const struct nlmsghdr *message, void *arg)
{
	struct found *found = arg;
	const struct inet_diag_msg *socket = mnl_nlmsg_get_payload(message);

	/* with its address: a connection to the container may come from any port */
	if (found->spared.sin_port && socket->id.idiag_sport == found->spared.sin_port &&
	    socket->idiag_family == AF_INET &&
	    socket->id.idiag_src[0] == found->spared.sin_addr.s_addr)
		return MNL_CB_OK;
	if (found->n == found->room) {
		found->room = found->room ? 2 * found->room : 64;
		found->socket = reallocarray(found->socket, found->room, sizeof(*found->socket));
		bug_if(!found->socket);
	}
	found->socket[found->n++] = (struct inet_diag_req_v2){
	    .sdiag_family = socket->idiag_family, .sdiag_protocol = IPPROTO_TCP, .id = socket->id};
	return MNL_CB_OK;
}

/* A program for the kernel's filter: go on to its end if the peer is this address (mapped into IPv6 too), beyond it if not. */
static void put_peer(struct nlmsghdr *request, struct in_addr peer)
{
	struct inet_diag_hostcond cond = {.family = AF_INET, .prefix_len = 32, .port = -1};
	struct inet_diag_bc_op op = {.code = INET_DIAG_BC_D_COND};
	uint8_t filter[sizeof(op) + sizeof(cond) + sizeof(peer)];

	op.yes = sizeof(filter);
	op.no = sizeof(filter) + sizeof(op);
	memcpy(filter, &op, sizeof(op));
	memcpy(filter + sizeof(op), &cond, sizeof(cond));
	memcpy(filter + sizeof(op) + sizeof(cond), &peer, sizeof(peer));
	mnl_attr_put(request, INET_DIAG_REQ_BYTECODE, sizeof(filter), filter);
}

static int dump(struct mnl_socket *nl, const struct inet_diag_req_v2 *wanted, struct in_addr peer,
    struct found *found)
{
	_Alignas(struct nlmsghdr) char buffer[16384] = {0};
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	int more = MNL_CB_OK;

	request->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	memcpy(mnl_nlmsg_put_extra_header(request, sizeof(*wanted)), wanted, sizeof(*wanted));
	put_peer(request, peer);
	if (mnl_socket_sendto(nl, request, request->nlmsg_len) < 0)
		return -1;
	while (more == MNL_CB_OK) {
		ssize_t n = mnl_socket_recvfrom(nl, buffer, sizeof(buffer));
		if (n < 0)
			return -1;
		more = mnl_cb_run(buffer, (size_t)n, 0, 0, on_socket, found);
	}
	return more;
}

static int find(struct mnl_socket *nl, uint32_t states, struct in_addr peer, struct found *found)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};

	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		struct inet_diag_req_v2 wanted = {.sdiag_family = families[i],
		    .sdiag_protocol = IPPROTO_TCP,
		    .idiag_states = states};
		/* a kernel without IPv6 knows no such family */
		if (dump(nl, &wanted, peer, found) != 0 && (i == 0 || errno != ENOENT))
			return -1;
	}
	return 0;
}

/* Many at a call. Nobody reads the answers: a socket that ended meanwhile is as good as destroyed, and a second look follows. */
static int destroy(struct mnl_socket *nl, const struct found *found)
{
	_Alignas(struct nlmsghdr) char buffer[16384];

	for (size_t i = 0; i < found->n;) {
		size_t len = 0;
		for (; i < found->n && len + REQUEST_ROOM <= sizeof(buffer); i++) {
			struct nlmsghdr *request = mnl_nlmsg_put_header(buffer + len);
			request->nlmsg_type = SOCK_DESTROY;
			request->nlmsg_flags = NLM_F_REQUEST;
			memcpy(mnl_nlmsg_put_extra_header(request, sizeof(found->socket[i])),
			    &found->socket[i], sizeof(found->socket[i]));
			len += request->nlmsg_len;
		}
		if (mnl_socket_sendto(nl, buffer, len) < 0)
			return -1;
	}
	return 0;
}

static struct mnl_socket *open_diag(void)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);

	if (nl && mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		mnl_socket_close(nl);
		return NULL;
	}
	return nl;
}

static int fail(const struct network_link *link, struct error *err)
{
	return error_set(err, ERR_UNAVAILABLE, "sockets to %s: %s",
	    network_text_of(link->container).s, strerror(errno));
}

static struct sockaddr_in gateway(const struct network *network)
{
	return (struct sockaddr_in){
	    .sin_port = htons(network->gateway_port), .sin_addr = network_resolver(network)};
}

/* A second time because sockets that others close meanwhile shift the dump as well. */
static int reset(
    const struct network *network, uint32_t slot, struct sockaddr_in spared, struct error *err)
{
	scoped_mnl struct mnl_socket *lister = open_diag(), *destroyer = open_diag();
	struct network_link link;
	int done = lister && destroyer ? 0 : -1;

	network_link_of(network, slot, &link);
	for (int i = 0; i < 2 && done == 0; i++) {
		struct found found = {.spared = spared};
		done = find(lister, CONNECTED, link.container, &found);
		if (done == 0)
			done = destroy(destroyer, &found);
		i += found.n == 0;
		free(found.socket);
	}
	return done == 0 ? 0 : fail(&link, err);
}

int network_reset(const struct network *network, uint32_t slot, struct error *err)
{
	return reset(network, slot, gateway(network), err);
}

int network_reset_all(const struct network *network, uint32_t slot, struct error *err)
{
	return reset(network, slot, (struct sockaddr_in){0}, err);
}

int network_cut(const struct network *network, uint32_t slot, struct error *err)
{
	scoped_mnl struct mnl_socket *nl = open_diag();
	struct inet_diag_req_v2 wanted = {
	    .sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP, .idiag_states = CONNECTED};
	struct found found = {.spared = gateway(network)};
	struct network_link link;

	network_link_of(network, slot, &link);
	int done = nl ? dump(nl, &wanted, link.container, &found) : -1;
	if (done == 0)
		done = destroy(nl, &found);
	free(found.socket);
	return done == 0 ? 0 : fail(&link, err);
}

int network_count(const struct network *network, uint32_t slot, uint64_t *open_r, struct error *err)
{
	scoped_mnl struct mnl_socket *lister = open_diag();
	struct found found = {.spared = gateway(network)};
	struct network_link link;

	network_link_of(network, slot, &link);
	int done = lister ? find(lister, 1U << TCP_ESTABLISHED, link.container, &found) : -1;
	*open_r = found.n;
	free(found.socket);
	return done == 0 ? 0 : fail(&link, err);
}

int network_watch_socket(struct error *err)
{
	struct sockaddr_nl address = {
	    .nl_family = AF_NETLINK, .nl_groups = 1U << (NFNLGRP_NFTABLES - 1)};
	scoped_fd int fd =
	    socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		return error_set(err, ERR_UNAVAILABLE, "watching nftables: %s", strerror(errno));
	int kept = fd;
	fd = -1;
	return kept;
}
