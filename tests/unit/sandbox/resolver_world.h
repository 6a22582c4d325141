/* resolver_world - a resolver on loopback, containers that ask it (127.0.0.1: an open agent, .2: a narrowed one, others: nobody), and an upstream that
 * says what the first label of a name tells it to. Packets are made and read here by code that is not the resolver's. */
#ifndef TESTS_SANDBOX_RESOLVER_WORLD_H
#define TESTS_SANDBOX_RESOLVER_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "services/sandbox/resolver.h"

#define OPEN "127.0.0.1"
#define NARROWED "127.0.0.2"
#define NOBODY "127.0.0.9"

struct packet {
	size_t len;
	uint8_t bytes[2048];
};

/* One reply as a container sees it. */
struct reply {
	bool has_come;
	uint16_t id, flags, counts[4];
	unsigned rcode;
	struct packet packet;
	size_t naddresses;
	struct in_addr address[64];
	uint32_t ttl_s;
};

struct world {
	struct event_base *base;
	struct metrics *metrics;
	struct resolver *resolver;
	struct egress open, narrowed;
	uint16_t port;

	/* upstream */
	int upstream;
	struct event *upstream_readable;
	unsigned asked, asked_plain; /* questions that came, those without EDNS */
	uint8_t names[64][256];      /* as they came */
	uint16_t ports[64];

	/* hook */
	bool is_gone, allows_later;
	const char *denied; /* one address, besides the special ones */
	unsigned nallowed;
	char allowed_agent[40];
	struct in_addr allowed[64];
	size_t allowed_n;
	uint32_t allowed_ttl_s;
	uint64_t ticket;
};

/* upstreams: NULL: the fake one. */
void world_open(struct world *world, const char *upstreams);
/* On that address and port, 0: any. */
void world_open_at(struct world *world, const char *upstreams, const char *address, uint16_t port);
void world_close(struct world *world);
uint64_t world_count(struct world *world, const char *result);
uint64_t world_counter(struct world *world, const char *name);

struct packet question_of(const char *name, uint16_t type);
void add_opt(struct packet *packet);
/* Socket of a container; the caller closes it. */
int container_at(struct world *world, const char *address);
void put_question(int container, const struct packet *packet);
/* Runs the loop until something comes, or ms are over. */
struct reply wait_reply(struct world *world, int container, unsigned ms);
/* All three; silence fails the test. */
struct reply ask(struct world *world, const char *from, const char *name, uint16_t type);

#endif
