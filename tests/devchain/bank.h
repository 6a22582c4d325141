/* bank - where transactions come in: which blockhashes are good, what was there before, and the run on the chain as it is. What it takes belongs to
 * the next slot, like every other change.
 */
#ifndef DEVCHAIN_BANK_H
#define DEVCHAIN_BANK_H

#include "tests/devchain/run.h"

#define BANK_BLOCKHASH_LIFE 150u /* blocks */

struct bank {
	struct chain *chain;
	uint8_t genesis[PUBKEY_LEN];
	void (*changed)(void *arg); /* something landed, and is to be saved; may be NULL */
	void *arg;
};

void bank_blockhash(const struct bank *bank, uint64_t height, uint8_t hash_r[PUBKEY_LEN]);
/* Is it of one of the last 150 blocks up to tip? */
bool bank_is_recent(const struct bank *bank, const uint8_t hash[PUBKEY_LEN], uint64_t tip);

/* Runs it as of the block at that height; fresh: whatever its blockhash is. Caller closes run. */
void bank_simulate(const struct bank *bank, const struct solana_tx *tx, uint64_t height, bool fresh,
    struct run *run);
/* Runs it on the newest state and keeps what it did, if it pays and its signatures are good. True if it landed, also as a failure. */
bool bank_send(struct bank *bank, const struct solana_tx *tx);

#endif
