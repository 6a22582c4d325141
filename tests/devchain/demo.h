/* demo - what `make run` shows: two wallets as Solana CLI key files, a collection, a few assets, all named in DIR/demo.json. */
#ifndef DEVCHAIN_DEMO_H
#define DEVCHAIN_DEMO_H

#include "tests/devchain/store.h"

bool demo_exists(const struct store *store);
/* Makes them anew: final from the first slot on. */
int demo_seed(struct store *store, struct chain *chain, struct error *err);

#endif
