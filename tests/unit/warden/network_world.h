/* network_world - a whole host of its own in network namespaces: the test's process is the host, beside it a "world" that holds public, private and
 * metadata addresses, and containers' links as the network layer makes them. Something answers TCP, UDP and ICMP everywhere.
 *
 * Probes run as root inside a container's namespace, which is more than any agent is.
 */
#ifndef TESTS_UNIT_WARDEN_NETWORK_WORLD_H
#define TESTS_UNIT_WARDEN_NETWORK_WORLD_H

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <cmocka.h>

#include "services/warden/network_internal.h"

#define WORLD_CONTAINERS 5
#define WORLD_PORT 18789 /* the agents' */
#define WORLD_GATEWAY_PORT 18790
#define WORLD_OTHER 7777     /* TCP and UDP, everywhere */
#define WORLD_CALLER 33      /* a uid that may connect to agents */
#define WORLD_HOST "5.5.5.1" /* uplink; the world's end is 5.5.5.2 */
#define WORLD_LAN "192.168.77.1"

/* What holds of the rules: a test takes layers away to see that the other one is enough, and both to see that its probes can reach at all. */
enum world_rules { WORLD_BOTH, WORLD_HOST_ONLY, WORLD_INSIDE_ONLY, WORLD_NONE };

struct world_container {
	int netns_fd;
	struct network_link link;
	pid_t server;
};

struct world {
	struct network *network;
	int home, host, outside; /* network namespaces */
	pid_t server, outside_server;
	struct world_container container[WORLD_CONTAINERS];
};

/* Group fixtures. Without root, *state stays NULL and each test says skip() by world_of(). */
int world_open(void **state);
int world_close(void **state);
struct world *world_of(void **state);

struct network *world_network(void);
void world_make(struct world *world, size_t container, const struct network_limits *limits);
void world_make_all(struct world *world, enum world_rules rules);
/* Every container ends, as if its cgroup were killed, and is forgotten; the host's table stands again. */
void world_forget_all(struct world *world);

int world_clean(void **state); /* the same, as the teardown of a test */

enum world_kind { WORLD_TCP, WORLD_UDP, WORLD_ICMP };
struct world_probe {
	int netns_fd; /* from where */
	enum world_kind kind;
	const char *to; /* IPv4 or IPv6 */
	uint16_t port;
	uid_t uid;
	bool reached; /* filled in */
};
/* All at once; each waits so long for an answer. */
void world_try(struct world_probe *probe, size_t n, unsigned wait_ms);
bool world_reaches(struct world_probe probe, unsigned wait_ms);

/* Runs a shell command in a namespace; fails the test if it fails. */
void world_sh(int netns_fd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* UDP datagrams that were read from sockets of a namespace so far. */
uint64_t world_datagrams(int netns_fd);
/* Starts a process in a namespace; returns 0 in it and its id in the caller. */
pid_t world_fork(int netns_fd);
void world_end(pid_t *child);
/* Answers everywhere in a namespace until it is ended. */
pid_t world_serve(int netns_fd);
void world_address(
    const char *text, uint16_t port, struct sockaddr_storage *address_r, socklen_t *len_r);

#define MUST(expression) \
	do { \
		if ((expression) < 0) \
			fail_msg("%s: %s %s", #expression, strerror(errno), err.text); \
	} while (0)

#endif
