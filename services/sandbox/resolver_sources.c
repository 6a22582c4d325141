#include "services/sandbox/resolver_sources.h"

#include <stddef.h>

#include "common/clock.h"

#define ONE 1000 /* a question; a source is given back RESOLVER_PER_S of these a millisecond */
#define PLACES 8 /* that a source may have */

/* Addresses of a pool of /31s: the containers' differ in every second number. */
static uint32_t place_of(struct in_addr address, uint32_t i)
{
	return ((ntohl(address.s_addr) >> 1) + i) % RESOLVER_SOURCES;
}

static void give_back(struct resolver_source *source, uint64_t now_ms)
{
	uint64_t back = (now_ms - source->at_ms) * RESOLVER_PER_S;

	source->spent = back < source->spent ? source->spent - back : 0;
	source->at_ms = now_ms;
}

static struct resolver_source *find(
    struct resolver_sources *sources, struct in_addr address, uint64_t now_ms)
{
	struct resolver_source *unused = NULL;

	for (uint32_t i = 0; i < PLACES; i++) {
		struct resolver_source *source = &sources->at[place_of(address, i)];

		give_back(source, now_ms);
		if (source->address.s_addr == address.s_addr)
			return source;
		if (!unused && source->spent == 0 && source->outstanding == 0)
			unused = source;
	}
	if (unused)
		unused->address = address;
	return unused;
}

struct resolver_source *resolver_sources_take(
    struct resolver_sources *sources, struct in_addr address)
{
	struct resolver_source *source = find(sources, address, clock_boot_ms());

	if (!source || source->spent + ONE > RESOLVER_BURST * ONE)
		return NULL;
	source->spent += ONE;
	return source;
}
