/* store - the chain on disk, so that a restart goes on where its slots stopped. DIR/chain.json holds the accounts and is replaced
 * atomically before a change is reported; DIR/slot is a slot that has not been reached yet, written ahead of time, so that a killed
 * process comes back no lower. */
#ifndef DEVCHAIN_STORE_H
#define DEVCHAIN_STORE_H

#include "common/error.h"
#include "tests/devchain/chain.h"

struct store {
	char *dir;         /* owned, absolute */
	int lock_fd;       /* one process per folder */
	uint64_t reserved; /* what DIR/slot says */
};

struct genesis {
	uint8_t hash[PUBKEY_LEN];
	uint64_t started_ms;
};

/* Makes the folder (0700) if it is not there, and locks it. Caller closes. */
int store_open(struct store *store, const char *dir, struct error *err);
void store_close(struct store *store);

/* Gives the chain that was stored, or a new one with a random genesis hash; *found_r says which. Caller owns it. */
struct chain *store_load(struct store *store, uint64_t slot_ms, const uint64_t lags[COMMITMENTS],
    struct genesis *genesis_r, bool *found_r, struct error *err);
int store_save(struct store *store, const struct chain *chain, const struct genesis *genesis,
    struct error *err);
/* Writes a slot ahead of next_slot when the last one written is near; ahead: slots a second, at least. exact: next_slot itself, at the end. */
int store_reserve(
    struct store *store, uint64_t next_slot, uint64_t ahead, bool exact, struct error *err);

/* Replaces DIR/name by text, atomically. mode as for open. */
int store_write(const struct store *store, const char *name, const char *text, unsigned mode,
    struct error *err);
/* DIR/name; caller frees. */
char *store_path(const struct store *store, const char *name);

#endif
