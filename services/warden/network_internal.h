/* network_internal - what the files of the network layer share.
 *
 * libnftables loads rules in process (0.3 ms, where exec of nft(8) costs 3); rtnetlink and sock_diag are spoken through libmnl, which libnftables brings
 * along anyway: half a dozen messages do not pay for libnl-route; conntrack's entries go through libnetfilter_conntrack, whose objects spare us its nested
 * attributes.
 */
#ifndef WARDEN_NETWORK_INTERNAL_H
#define WARDEN_NETWORK_INTERNAL_H

#include <stdio.h>

#include "services/warden/network.h"

struct nft_ctx;

struct network {
	char prefix[5];
	uint32_t group; /* interface group of the host's ends; of this prefix alone */
	struct cidr pool;
	uint16_t agent_port, gateway_port;
	uid_t *callers;
	size_t ncallers;
	struct cidr *denied; /* IPv4 only: no IPv6 passes */
	size_t ndenied;
	struct nft_ctx *
	    lister; /* of the process that opened the network; kept, since closing one may wait for the kernel, some 20 ms after a removal */
	char *table; /* the host's table as nft lists it once loaded, without what sets hold */
};

/* network_table.c: the rules as text for nft; the caller frees. NULL: out of memory. */
char *network_table_host(const struct network *network);
void network_table_range(FILE *f, const char *before, struct cidr range);
/* What no container may reach, as the beginning of a rule: the built-in ranges, the configured ones, the pool and these. */
void network_table_denied(
    FILE *f, const struct network *network, const struct in_addr *local, size_t nlocal);
char *network_table_finish(FILE *f, char **text);

/* network_table_inside.c */
struct network_inside {
	struct network_link link;
	struct network_limits limits;
	const struct in_addr *local; /* the host's own addresses */
	size_t nlocal;
};
char *network_table_inside(const struct network *network, const struct network_inside *inside);

/* network_nft.c: runs commands as one transaction in the calling process's network namespace. */
int network_nft_run(const char *commands, struct error *err);
/* A context is for the process and the namespace that opened it: the kernel's end is a socket. */
struct nft_ctx *network_nft_open(struct error *err);
void network_nft_close(struct nft_ctx **nft);
/* Lists the host's table into *text_r (the caller frees); ERR_NOT_FOUND: there is none. */
int network_nft_list(struct nft_ctx *nft, const char *prefix, char **text_r, struct error *err);

/* network_namespace.c: both leave the caller in the namespace that it was in. */
typedef int network_work(const void *arg, struct error *err);
int network_namespace_new(network_work *work, const void *arg, int *netns_fd_r, struct error *err);
int network_namespace_do(int netns_fd, network_work *work, const void *arg, struct error *err);
/* /proc/sys/net/<path>; a kernel without IPv6 has none of its files, which is as good. */
int network_namespace_sysctl(const char *path, const char *value, struct error *err);

/* network_rtnl.c: in the calling process's namespace; -1 sets *err, ERR_CONFLICT: is there already, ERR_NOT_FOUND: is not. */
struct network_veth {
	const char *ifname, *peer;
	uint32_t group;
	int peer_netns_fd;
};
int network_rtnl_veth(const struct network_veth *veth, struct error *err);
int network_rtnl_up(const char *ifname, struct error *err);
int network_rtnl_delete(const char *ifname, struct error *err);
int network_rtnl_address(const char *ifname, struct cidr address, struct error *err);
int network_rtnl_no_address(const char *ifname, struct cidr address, struct error *err);
int network_rtnl_default_route(const char *ifname, struct in_addr via, struct error *err);

/* This host's own IPv4 addresses but those of the pool, which the caller frees. They are denied inside as well, where fib does not know them. */
int network_local_addresses(
    const struct network *network, struct in_addr **local_r, size_t *n_r, struct error *err);

/* network_sockets.c: as network_reset(), and those to llm-gateway. */
int network_reset_all(const struct network *network, uint32_t slot, struct error *err);

/* network_conntrack.c: deletes every entry that has the address at either end. */
int network_conntrack_forget(struct in_addr address, struct error *err);

/* "10.213.0.1", in a buffer of the caller's. */
struct network_text {
	char s[INET_ADDRSTRLEN];
};
struct network_text network_text_of(struct in_addr address);

#endif
