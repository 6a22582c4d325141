/* resolver - answers the names that containers of this host ask for, on the socket that warden bound (rule 26).
 *
 * It tells addresses of hosts (A) and nothing else: AAAA and other types are there but empty (containers have no IPv6), so libc, node and Go go on with A. Of an
 * upstream's answer only the addresses remain, at the end of its CNAMEs, without those in special_addresses and those that is_denied says (a name that leads to nothing but those does not exist:
 * rebinding), for 1-300 s. An agent whose owner named hosts gets REFUSED for others, which are not asked upstream either: a question is a message too.
 *
 * Why not libevent's evdns, client and server (2.1.12, read): it asks everything from one port for all its life; it asks without EDNS and discards an answer that was
 * cut; names of broken zones (SERVFAIL and silence alike, a few in a row; REFUSED at once), which any agent can ask for, set the upstreams of all agents aside and have it
 * ask for google.com; its queues have no bound; it hands names over as text, in which a label with a dot in it reads like another name; it sets no RA of its own, without which
 * libc and Go take an empty answer for a lame server's. The little of the format that is needed here is in resolver_wire, under a fuzz target.
 *
 * Nothing that is asked or answered goes to the log; metrics count.
 */
#ifndef SANDBOX_RESOLVER_H
#define SANDBOX_RESOLVER_H

#include <event2/event.h>

#include "common/error.h"
#include "common/metrics.h"
#include "services/sandbox/egress.h"

#define RESOLVER_TTL_MAX_S 300
#define RESOLVER_PATIENCE_MS 5000 /* then SERVFAIL */
#define RESOLVER_LOOKUPS_MAX 512  /* of all containers together; each has a socket */
/* How much longer than the answer may be kept its addresses are let through: who was told one at the last moment still has to connect. */
#define RESOLVER_ALLOW_MORE_S 30

struct resolver;

/* What a narrowed agent is about to be told. */
struct resolver_allowing {
	const char *agent;
	const struct in_addr *address;
	size_t n; /* 1-32 */
	uint32_t ttl_s;
	uint64_t ticket;
};

/* Called from the loop; none of them may destroy the resolver. */
struct resolver_hooks {
	/* Which agent has this container's address, and what may it reach? Borrowed for the moment. NULL: nobody's, the packet is dropped.
	 * The agent is named to allow; another one when the answer comes than when it was asked for: it is dropped. */
	const struct egress *(*policy)(void *arg, struct in_addr source, const char **agent_r);
	/* Let it through, then say resolver_allowed(ticket), at once or later: only then the answer leaves. Never said: SERVFAIL. */
	void (*allow)(void *arg, const struct resolver_allowing *allowing);
	/* Is this one, besides special_addresses, not to be told to anybody? NULL: none is. */
	bool (*is_denied)(void *arg, struct in_addr address);
	void *arg;
};

/* fd: UDP socket, taken over (closed also if this fails). upstreams: comma list of addresses[:port], or the path of a file like resolv.conf; "": /etc/resolv.conf. hooks is copied;
 * sodium_init() has run. NULL and ERR_INVALID: no upstream. Caller owns the result. */
struct resolver *resolver_new(struct event_base *base, int fd, const char *upstreams,
    const struct resolver_hooks *hooks, struct metrics *metrics, struct error *err);
void resolver_destroy(struct resolver **resolver);

/* The addresses of that ticket are let through. One that is over is no error. */
void resolver_allowed(struct resolver *resolver, uint64_t ticket);

#endif
