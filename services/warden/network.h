/* network - one link for each container, and the rules that keep it from everybody but the public internet and the host's proxy.
 *
 * A container's slot decides its addresses (a /31 of the pool: the host's end is even, the container's is odd) and the name of the host's end. Its rules stand
 * twice: in a table inside its network namespace, which belongs to the host's user namespace, so that no agent can change it and no `flush ruleset` on the
 * host opens it; and in the host's table `inet <prefix>_agents`, loaded before any container, to which a container only adds its (interface, address).
 * Without that element nothing of it passes. IPv6 does not leave a container at all.
 *
 * What another table on this host drops stays dropped: an accept of ours does not overrule it (docker, ufw: their FORWARD has to let the pool pass).
 *
 * Everything here is called by root. "Job" marks what may block for tens of milliseconds and is called in a forked job; the rest is fit for the loop.
 */
#ifndef WARDEN_NETWORK_H
#define WARDEN_NETWORK_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cidr.h"
#include "common/error.h"

#define NETWORK_ALLOW_TTL_MAX_S 600 /* no longer than an address rests before it is used again */
#define NETWORK_RANGES_MAX 100
#define NETWORK_IFNAME "eth0" /* inside the container */

struct network;

struct network_config {
	const char *prefix; /* 1-4 of [a-z0-9]: table <prefix>_agents, interfaces <prefix>-<slot> */
	struct in_addr pool; /* first address */
	unsigned pool_bits;  /* 8-30; the last /31 is the resolver's */
	uint16_t agent_port; /* at least 1024 */
	/* of the host's llm-gateway: each container reaches it at the resolver's address; 0: there is none */
	uint16_t gateway_port;
	const uid_t *
	    callers; /* who may connect to agents: nginx's workers; root always may, for readiness probes */
	size_t ncallers;
	const char *const *denied; /* CIDRs, IPv4 or IPv6, besides the built-in ranges */
	size_t ndenied;
};

/* Loads the host's table whole, in one transaction, in place of one that was left of this prefix; ip_forward on; resolver's address on lo. Containers that
 * still live are cut off until network_link_adopt. Copies the configuration. ERR_INVALID: the configuration; ERR_UNAVAILABLE: the kernel refused. */
int network_open(
    const struct network_config *config, struct network **network_r, struct error *err);

/* Forgets; the table, the resolver's address and the links of living containers stay. */
void network_close(struct network **network);
/* Job. No container is left, and warden goes for good: takes the table and the resolver's address off the host. */
void network_leave(const struct network *network);

struct network_link {
	uint32_t slot;
	struct in_addr host, container;
	char ifname[16]; /* the host's end */
};

/* Derived from the slot alone; slot < network_slots(). */
void network_link_of(const struct network *network, uint32_t slot, struct network_link *link_r);
uint32_t network_slots(const struct network *network);
struct in_addr network_resolver(const struct network *network);

/* UDP socket bound to the resolver's port 53, CLOEXEC, non-blocking; the caller closes it. -1 and *err if there is none. */
int network_resolver_socket(const struct network *network, struct error *err);

struct network_limits {
	uint64_t connections;     /* at one time, in each direction */
	bool is_narrowed;         /* reaches only these, and what network_allow names */
	const struct cidr *range; /* borrowed; what is denied to all stays denied */
	size_t nranges;           /* at most NETWORK_RANGES_MAX */
};

/* Job. A new network namespace with its rules, then the link, then the host's element; *netns_fd_r is CLOEXEC and the caller's, and the link goes with the
 * last reference to that namespace. The calling process needs one thread and keeps its own namespaces. Failing leaves nothing new behind; ERR_CONFLICT: the
 * slot has a link already, which stays as it is. */
int network_link_make(const struct network *network, uint32_t slot,
    const struct network_limits *limits, int *netns_fd_r, struct error *err);

/* Gives a link that was found alive after network_open its place in the host's table again. ERR_NOT_FOUND: there is no such link. */
int network_link_adopt(const struct network *network, uint32_t slot,
    const struct network_limits *limits, struct error *err);

/* Job. limits: those that it was made with. Host's sockets to it destroyed, its elements removed, conntrack's entries of its address deleted, its link deleted if it is still there. Idempotent;
 * does every step it can and tells the first failure. */
int network_link_forget(const struct network *network, uint32_t slot,
    const struct network_limits *limits, struct error *err);

/* Destroys every TCP socket of this host whose peer is the container: both ends learn it at once. But for those that it has to llm-gateway,
 * which ends them itself when the agent's owner is another. */
int network_reset(const struct network *network, uint32_t slot, struct error *err);

/* As network_reset(), once and quickly: IPv4 sockets, one look. For one that is being killed: what looks thoroughly is network_link_forget(), later. */
int network_cut(const struct network *network, uint32_t slot, struct error *err);

/* Established TCP connections from the host to it; those to the llm-gateway are its own and do not count. */
int network_count(
    const struct network *network, uint32_t slot, uint64_t *open_r, struct error *err);

struct network_allowed {
	struct in_addr address;
	uint32_t
	    ttl_s; /* cut to NETWORK_ALLOW_TTL_MAX_S; an address allowed before gets the new one */
};

/* Job. A narrowed container may begin connections to these addresses, each of them named once, for so long (to none that is denied to all). netns_fd: its
 * namespace (or a pidfd of a process in it), whose own rules are told first: they bound how many there may be. */
int network_allow(const struct network *network, uint32_t slot, int netns_fd,
    const struct network_allowed *allowed, size_t n, struct error *err);

/* Is the host's table there, and every rule of it as it was loaded? If not: error; the caller stops all containers (rule 25), then closes and opens anew. */
int network_check(const struct network *network, struct error *err);

/* Netlink socket (CLOEXEC, non-blocking; the caller's) that becomes readable when anybody changes nftables on this host: drain it and network_check. Reading
 * may say ENOBUFS, which means the same. -1 and *err if there is none. */
int network_watch_socket(struct error *err);

#endif
