/* index - which wallet owns what in the collection, in memory: for discovery, never for deciding. Filled by a scan of the collection where
 * a node serves one, kept up by everything that is observed. Bounded. */
#ifndef CHAIN_ORACLE_INDEX_H
#define CHAIN_ORACLE_INDEX_H

#include "services/chain-oracle/core_account.h"

struct index;
struct index *index_new(size_t max);
void index_destroy(struct index **index);

/* The asset as it was at the end of slot; older than what is known: nothing. */
void index_see(
    struct index *index, const char *asset, const struct core_asset *seen, uint64_t slot);

/* A scan of the whole collection at slot: begin, index_see of each, end. What it did not show, and nobody saw later, is gone. */
void index_scan_begin(struct index *index);
void index_scan_end(struct index *index, uint64_t slot);

/* Calls each for at most max of the wallet's assets, oldest known first. Returns how many. */
typedef void (*index_each)(void *arg, const char *asset, const char *name);
size_t index_list(
    const struct index *index, const char *wallet, size_t max, index_each each, void *arg);
size_t index_len(const struct index *index);
/* Assets that there was no room for. */
uint64_t index_left_out(const struct index *index);

#endif
