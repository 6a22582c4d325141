/* chain - a few assets, who owned them in which slot, and the nodes that say so: late, or wrongly. */
#ifndef SIM_CHAIN_H
#define SIM_CHAIN_H

#include "common/ledger.h"
#include "tests/sim/world.h"

#define CHAIN_ASSETS 3
#define CHAIN_WALLETS 4
#define CHAIN_GENESIS "SimuLationGenesis"

struct chain_view {
	uint64_t slot;
	const char *owner;
};

void chain_begin(void);
unsigned chain_nassets(void);
const char *chain_asset(unsigned asset);
const char *chain_agent(unsigned asset); /* id */
const char *chain_wallet(unsigned wallet);
const char *chain_owner(unsigned asset); /* now */
void chain_transfer(unsigned asset, unsigned wallet);
/* What some node says, at least of that slot. False: it has not come so far. */
bool chain_read(unsigned asset, uint64_t least_slot, struct chain_view *view_r);
/* By how many slots nodes are behind at most; how often one says what was so, as of now. */
void chain_trouble(unsigned behind, unsigned lies_percent);

#endif
