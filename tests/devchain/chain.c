#include "tests/devchain/chain.h"

#include <stdlib.h>
#include <string.h>

#include "common/error.h"

struct chain {
	uint64_t slot_ms, lags[COMMITMENTS];
	uint64_t next_slot;
	uint64_t base; /* height of blocks[0] */
	size_t nblocks, room;
	struct block *blocks;
	uint64_t confirmed; /* height; never falls, so a fork cannot take back what was confirmed */
	size_t npending, pending_room;
	struct account **pending;
	size_t naccounts, accounts_room;
	struct account **accounts;
	size_t nbuckets; /* a power of two */
	struct account **buckets;
	size_t nlanded, landed_room;
	struct landed *landed;
};

static void *grow(void *array, size_t *room, size_t len, size_t size)
{
	if (len < *room)
		return array;
	*room = *room ? *room * 2 : 8;
	array = reallocarray(array, *room, size);
	bug_if(!array);
	return array;
}

static uint64_t tip(const struct chain *chain)
{
	return chain->base + chain->nblocks - 1;
}

static uint64_t minus(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 1;
}

static void add_block(struct chain *chain, uint64_t slot, uint64_t now_ms)
{
	chain->blocks = grow(chain->blocks, &chain->room, chain->nblocks, sizeof(*chain->blocks));
	chain->blocks[chain->nblocks++] = (struct block){.slot = slot, .time_ms = now_ms};
}

struct chain *chain_new(
    uint64_t slot, uint64_t slot_ms, const uint64_t lags[COMMITMENTS], uint64_t now_ms)
{
	struct chain *chain = calloc(1, sizeof(*chain));

	bug_if(!chain);
	chain->slot_ms = slot_ms;
	memcpy(chain->lags, lags, sizeof(chain->lags));
	chain->base = slot;
	chain->next_slot = slot + 1;
	add_block(chain, slot, now_ms);
	chain->confirmed = minus(slot, lags[CONFIRMED]);
	chain->nbuckets = 1024;
	chain->buckets = calloc(chain->nbuckets, sizeof(struct account *));
	bug_if(!chain->buckets);
	return chain;
}

static void account_destroy(struct account *account)
{
	for (size_t i = 0; i < account->nversions; i++)
		account_state_clear(&account->versions[i].state);
	free(account->versions);
	free(account);
}

void chain_destroy(struct chain **chain)
{
	struct chain *c = *chain;

	if (!c)
		return;
	for (size_t i = 0; i < c->naccounts; i++)
		account_destroy(c->accounts[i]);
	for (size_t i = 0; i < c->nblocks; i++)
		free(c->blocks[i].changed);
	for (size_t i = 0; i < c->nlanded; i++)
		free(c->landed[i].keys);
	free(c->landed);
	free(c->accounts);
	free(c->blocks);
	free(c->pending);
	free(c->buckets);
	free(c);
	*chain = NULL;
}

/* ---- accounts ---- */

static size_t bucket_of(const struct chain *chain, const uint8_t *key)
{
	uint64_t hash;

	memcpy(&hash, key + 8, sizeof(hash));
	return (size_t)(hash * 0x9e3779b97f4a7c15u >> 20) & (chain->nbuckets - 1);
}

static void link_account(struct chain *chain, struct account *account)
{
	struct account **bucket = &chain->buckets[bucket_of(chain, account->key)];

	account->next_in_bucket = *bucket;
	*bucket = account;
}

static void grow_buckets(struct chain *chain)
{
	free(chain->buckets);
	chain->nbuckets *= 4;
	chain->buckets = calloc(chain->nbuckets, sizeof(struct account *));
	bug_if(!chain->buckets);
	for (size_t i = 0; i < chain->naccounts; i++)
		link_account(chain, chain->accounts[i]);
}

struct account *chain_find(const struct chain *chain, const uint8_t key[PUBKEY_LEN])
{
	struct account *account = chain->buckets[bucket_of(chain, key)];

	while (account && memcmp(account->key, key, PUBKEY_LEN) != 0)
		account = account->next_in_bucket;
	return account;
}

static struct account *find_or_add(struct chain *chain, const uint8_t *key)
{
	struct account *account = chain_find(chain, key);

	if (account)
		return account;
	account = calloc(1, sizeof(*account));
	bug_if(!account);
	memcpy(account->key, key, PUBKEY_LEN);
	chain->accounts = grow(
	    chain->accounts, &chain->accounts_room, chain->naccounts, sizeof(struct account *));
	chain->accounts[chain->naccounts++] = account;
	link_account(chain, account);
	if (chain->naccounts > chain->nbuckets)
		grow_buckets(chain);
	return account;
}

size_t chain_accounts(const struct chain *chain, struct account *const **accounts_r)
{
	*accounts_r = chain->accounts;
	return chain->naccounts;
}

const struct account_state *account_at(const struct account *account, uint64_t slot)
{
	for (size_t i = account ? account->nversions : 0; i-- > 0;)
		if (account->versions[i].slot <= slot)
			return account->versions[i].state.lamports ? &account->versions[i].state
								   : NULL;
	return NULL;
}

static void remove_versions(struct account *account, size_t from, size_t n)
{
	for (size_t i = from; i < from + n; i++)
		account_state_clear(&account->versions[i].state);
	memmove(account->versions + from, account->versions + from + n,
	    (account->nversions - from - n) * sizeof(struct version));
	account->nversions -= n;
}

/* what no view can reach any more */
static void prune(const struct chain *chain, struct account *account)
{
	uint64_t oldest = minus(chain->next_slot, CHAIN_HISTORY_BLOCKS);
	size_t n = 0;

	while (n + 1 < account->nversions && account->versions[n + 1].slot <= oldest)
		n++;
	if (n)
		remove_versions(account, 0, n);
}

static void add_version(struct account *account, uint64_t slot, const struct account_state *state)
{
	struct version *last =
	    account->nversions ? &account->versions[account->nversions - 1] : NULL;

	if (last && last->slot == slot) {
		account_state_clear(&last->state);
		account_state_copy(state, &last->state);
		return;
	}
	account->versions =
	    grow(account->versions, &account->room, account->nversions, sizeof(*account->versions));
	account->versions[account->nversions].slot = slot;
	account_state_copy(state, &account->versions[account->nversions++].state);
}

static void mark_pending(struct chain *chain, struct account *account)
{
	if (account->pending)
		return;
	account->pending = true;
	chain->pending =
	    grow(chain->pending, &chain->pending_room, chain->npending, sizeof(struct account *));
	chain->pending[chain->npending++] = account;
}

uint64_t chain_put(
    struct chain *chain, const uint8_t key[PUBKEY_LEN], const struct account_state *state)
{
	struct account *account = find_or_add(chain, key);

	add_version(account, chain->next_slot, state);
	prune(chain, account);
	mark_pending(chain, account);
	return chain->next_slot;
}

void chain_seed(struct chain *chain, const uint8_t key[PUBKEY_LEN], uint64_t slot,
    const struct account_state *state)
{
	struct account *account = find_or_add(chain, key);

	bug_if(account->nversions && account->versions[account->nversions - 1].slot > slot);
	add_version(account, slot, state);
}

/* ---- blocks ---- */

static void trim_blocks(struct chain *chain)
{
	size_t n = chain->nblocks - CHAIN_HISTORY_BLOCKS;

	if (chain->nblocks < 2 * CHAIN_HISTORY_BLOCKS)
		return;
	for (size_t i = 0; i < n; i++)
		free(chain->blocks[i].changed);
	memmove(chain->blocks, chain->blocks + n, CHAIN_HISTORY_BLOCKS * sizeof(struct block));
	chain->nblocks -= n;
	chain->base += n;
}

void chain_tick(struct chain *chain, uint64_t now_ms)
{
	struct block *block;
	uint64_t confirmed;

	add_block(chain, chain->next_slot++, now_ms);
	block = &chain->blocks[chain->nblocks - 1];
	block->changed = chain->pending;
	block->nchanged = chain->npending;
	for (size_t i = 0; i < block->nchanged; i++)
		block->changed[i]->pending = false;
	chain->pending = NULL;
	chain->npending = chain->pending_room = 0;
	confirmed = minus(tip(chain), chain->lags[CONFIRMED]);
	if (confirmed > chain->confirmed)
		chain->confirmed = confirmed;
	trim_blocks(chain);
}

static void forget_slot(struct account *account, uint64_t slot)
{
	for (size_t i = account->nversions; i-- > 0;)
		if (account->versions[i].slot == slot) {
			remove_versions(account, i, 1);
			return;
		}
}

/* ---- transactions ---- */

void chain_land(struct chain *chain, const struct landed *landed)
{
	if (chain->nlanded == 2 * LANDED_MAX) {
		for (size_t i = 0; i < LANDED_MAX; i++)
			free(chain->landed[i].keys);
		memmove(
		    chain->landed, chain->landed + LANDED_MAX, LANDED_MAX * sizeof(*chain->landed));
		chain->nlanded = LANDED_MAX;
	}
	chain->landed =
	    grow(chain->landed, &chain->landed_room, chain->nlanded, sizeof(*chain->landed));
	struct landed *copy = &chain->landed[chain->nlanded++];
	*copy = *landed;
	copy->keys = malloc(landed->nkeys * PUBKEY_LEN);
	bug_if(!copy->keys);
	memcpy(copy->keys, landed->keys, landed->nkeys * PUBKEY_LEN);
}

size_t chain_landed(const struct chain *chain, const struct landed **landed_r)
{
	*landed_r = chain->landed;
	return chain->nlanded;
}

const struct landed *chain_find_landed(
    const struct chain *chain, const uint8_t signature[SIGNATURE_LEN])
{
	for (size_t i = chain->nlanded; i-- > 0;)
		if (memcmp(chain->landed[i].signature, signature, SIGNATURE_LEN) == 0)
			return &chain->landed[i];
	return NULL;
}

static void forget_landed(struct chain *chain, uint64_t slot)
{
	size_t kept = 0;

	for (size_t i = 0; i < chain->nlanded; i++)
		if (chain->landed[i].slot == slot)
			free(chain->landed[i].keys);
		else
			chain->landed[kept++] = chain->landed[i];
	chain->nlanded = kept;
}

uint64_t chain_fork(struct chain *chain, uint64_t n)
{
	uint64_t dropped = 0;

	for (; dropped < n && chain->nblocks > 1 && tip(chain) > chain->confirmed; dropped++) {
		struct block *block = &chain->blocks[--chain->nblocks];

		for (size_t i = 0; i < block->nchanged; i++) {
			forget_slot(block->changed[i], block->slot);
			mark_pending(chain, block->changed[i]);
		}
		forget_landed(chain, block->slot);
		free(block->changed);
	}
	return dropped;
}

uint64_t chain_next_slot(const struct chain *chain)
{
	return chain->next_slot;
}

struct block chain_block(const struct chain *chain, uint64_t height)
{
	const struct block *oldest = &chain->blocks[0];
	uint64_t below;

	bug_if(height > tip(chain));
	if (height >= chain->base)
		return chain->blocks[height - chain->base];
	below = chain->base - height;
	return (struct block){
	    .slot = minus(oldest->slot, below),
	    .time_ms = minus(oldest->time_ms, below * chain->slot_ms),
	};
}

bool chain_has_slot(const struct chain *chain, uint64_t slot)
{
	if (slot < chain->blocks[0].slot)
		return true;
	for (size_t i = chain->nblocks; i-- > 0 && chain->blocks[i].slot >= slot;)
		if (chain->blocks[i].slot == slot)
			return true;
	return false;
}

void chain_view(const struct chain *chain, uint64_t lag, struct view *view_r)
{
	uint64_t behind = chain->lags[FINALIZED] - chain->lags[CONFIRMED];

	view_r->height[PROCESSED] = minus(tip(chain), lag);
	view_r->height[CONFIRMED] = minus(chain->confirmed, lag);
	view_r->height[FINALIZED] = minus(minus(chain->confirmed, behind), lag);
}
