/* collection_scan - fills the index with getProgramAccounts, at the start and now and then. Many nodes refuse or meter it: then the index has what was
 * observed, and nothing else misses it. */
#ifndef CHAIN_ORACLE_COLLECTION_SCAN_H
#define CHAIN_ORACLE_COLLECTION_SCAN_H

#include <event2/event.h>

#include "services/chain-oracle/index.h"
#include "services/chain-oracle/rpc_nodes.h"

struct collection_scan {
	struct rpc_nodes *nodes;
	struct index *index;
	const uint8_t *collection;
	size_t assets_max;
	uint64_t interval_ms;
	struct event *timer; /* NULL: stopped */
	unsigned failures;
	bool was_tried; /* the index has what can be had */
};
/* Keeps the pointers. */
void collection_scan_open(struct collection_scan *scan, struct event_base *base,
    struct rpc_nodes *nodes, struct index *index, const uint8_t *collection, size_t assets_max,
    uint64_t interval_ms);
void collection_scan_close(struct collection_scan *scan);

#endif
