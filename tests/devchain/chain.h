/* chain - slots, blocks and accounts with their history, shared by all nodes. It knows no sockets and no clock but the time it is given.
 *
 * A block is a slot that exists on the present branch; its height counts blocks. A node sees the chain through three heights, one for
 * each commitment: processed (its newest block, may vanish in a fork), confirmed (never vanishes), finalized. A change made now belongs to
 * the next slot; what an account holds at a slot is its newest version at or below it.
 */
#ifndef DEVCHAIN_CHAIN_H
#define DEVCHAIN_CHAIN_H

#include <stdbool.h>

#include "tests/devchain/state.h"

#define CHAIN_HISTORY_BLOCKS 20000u /* how far back a view may lie and still be true */

enum commitment { PROCESSED, CONFIRMED, FINALIZED };
#define COMMITMENTS 3

struct version {
	uint64_t slot;
	struct account_state state;
};

struct account {
	uint8_t key[PUBKEY_LEN];
	size_t nversions, room; /* versions are in order of their slots */
	struct version *versions;
	bool pending;                    /* changes in the next slot */
	uint64_t pushed_slot, pushed_us; /* first push of its newest change, Unix microseconds */
	struct account *next_in_bucket;
};

struct block {
	uint64_t slot, time_ms;
	size_t nchanged;
	struct account **changed; /* each at most once; owned array of borrowed accounts */
};

struct view {
	uint64_t height[COMMITMENTS];
};

struct chain;

/* The first slot produced is slot + 1. lags: how many blocks confirmed and finalized stay behind processed. */
struct chain *chain_new(
    uint64_t slot, uint64_t slot_ms, const uint64_t lags[COMMITMENTS], uint64_t now_ms);
void chain_destroy(struct chain **chain);

/* Produces the next slot. */
void chain_tick(struct chain *chain, uint64_t now_ms);
/* Drops the newest blocks that are not confirmed, at most n, with all changes in them. Returns how many were dropped. The accounts
 * concerned notify again in the next slot, as a real node repeats unchanged state after a fork. */
uint64_t chain_fork(struct chain *chain, uint64_t n);

uint64_t chain_next_slot(const struct chain *chain);
bool chain_has_slot(
    const struct chain *chain, uint64_t slot); /* false: dropped by a fork, or not produced yet */
/* What a node that is lag blocks behind sees. */
void chain_view(const struct chain *chain, uint64_t lag, struct view *view_r);
/* Blocks older than those kept are made up: every slot below them exists. changed is then empty. */
struct block chain_block(const struct chain *chain, uint64_t height);

/* Puts a new state (copied) in the next slot and returns that slot. Several in one slot collapse into the last. */
uint64_t chain_put(
    struct chain *chain, const uint8_t key[PUBKEY_LEN], const struct account_state *state);
/* Puts a version of the past: at the start only, notifies nobody. */
void chain_seed(struct chain *chain, const uint8_t key[PUBKEY_LEN], uint64_t slot,
    const struct account_state *state);

struct account *chain_find(
    const struct chain *chain, const uint8_t key[PUBKEY_LEN]); /* NULL: never existed */
/* Every account that ever existed, in order of appearance. */
size_t chain_accounts(const struct chain *chain, struct account *const **accounts_r);
/* A transaction that landed, whether it failed or not. */
#define LANDED_MAX 20000u /* the oldest are forgotten */
struct landed {
	uint8_t signature[SIGNATURE_LEN];
	uint64_t slot;
	char error[128]; /* TransactionError as JSON text; "": none */
	size_t nkeys;
	uint8_t *keys; /* that it names, back to back; owned by the chain */
};
/* Copies it. A fork takes it back with its slot. */
void chain_land(struct chain *chain, const struct landed *landed);
/* Oldest first. */
size_t chain_landed(const struct chain *chain, const struct landed **landed_r);
/* NULL: it did not. */
const struct landed *chain_find_landed(
    const struct chain *chain, const uint8_t signature[SIGNATURE_LEN]);

/* The state at the end of a slot, pending changes with UINT64_MAX; NULL if the account does not exist then. */
const struct account_state *account_at(const struct account *account, uint64_t slot);

#endif
