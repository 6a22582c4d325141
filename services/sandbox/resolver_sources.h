/* resolver_sources - how much each container may ask. A table of a fixed size: what is not known to have asked lately takes no place in it. */
#ifndef SANDBOX_RESOLVER_SOURCES_H
#define SANDBOX_RESOLVER_SOURCES_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#define RESOLVER_PER_S 50
#define RESOLVER_BURST 200
#define RESOLVER_OUTSTANDING_MAX 100
#define RESOLVER_SOURCES 4096

struct resolver_source {
	struct in_addr address;
	uint32_t
	    outstanding; /* the caller's to count; while it is not 0 the place stays this source's */
	uint64_t at_ms;
	uint64_t
	    spent; /* thousandths of a question, as of at_ms; 0: what is written here is of no use any more */
};

struct resolver_sources {
	struct resolver_source at[RESOLVER_SOURCES];
};

/* One question of a source more. NULL: it asks too often, or too many ask at one time. */
struct resolver_source *resolver_sources_take(
    struct resolver_sources *sources, struct in_addr address);

#endif
