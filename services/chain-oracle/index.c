#include "services/chain-oracle/index.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/error.h"

struct item {
	TAILQ_ENTRY(item) link; /* of its owner */
	uint8_t asset[PUBKEY_LEN];
	uint64_t slot;
	uint64_t scan; /* in which it was last shown */
	struct holder *holder;
	char name[CORE_NAME_MAX + 1];
};
struct holder {
	uint8_t wallet[PUBKEY_LEN];
	TAILQ_HEAD(items, item) items;
};

struct index {
	void *assets;  /* tree of struct item, by asset */
	void *holders; /* tree of struct holder, by wallet; none is empty */
	size_t len, max;
	uint64_t scan;
	uint64_t left_out;
};

static int compare_assets(const void *a, const void *b)
{
	return memcmp(((const struct item *)a)->asset, ((const struct item *)b)->asset, PUBKEY_LEN);
}

static int compare_holders(const void *a, const void *b)
{
	return memcmp(
	    ((const struct holder *)a)->wallet, ((const struct holder *)b)->wallet, PUBKEY_LEN);
}

struct index *index_new(size_t max)
{
	struct index *index = calloc(1, sizeof(*index));
	bug_if(!index);
	index->max = max;
	return index;
}

void index_destroy(struct index **index)
{
	if (!*index)
		return;
	tdestroy((*index)->assets, free);
	tdestroy((*index)->holders, free);
	free(*index);
	*index = NULL;
}

static struct item *find(const struct index *index, const uint8_t asset[PUBKEY_LEN])
{
	struct item key;
	memcpy(key.asset, asset, PUBKEY_LEN);
	void *found = tfind(&key, &index->assets, compare_assets);
	return found ? *(struct item **)found : NULL;
}

static struct holder *find_holder(const struct index *index, const uint8_t wallet[PUBKEY_LEN])
{
	struct holder key;
	memcpy(key.wallet, wallet, PUBKEY_LEN);
	void *found = tfind(&key, &index->holders, compare_holders);
	return found ? *(struct holder **)found : NULL;
}

static void detach(struct index *index, struct item *item)
{
	struct holder *holder = item->holder;
	TAILQ_REMOVE(&holder->items, item, link);
	item->holder = NULL;
	if (!TAILQ_EMPTY(&holder->items))
		return;
	tdelete(holder, &index->holders, compare_holders);
	free(holder);
}

static void attach(struct index *index, struct item *item, const uint8_t wallet[PUBKEY_LEN])
{
	struct holder *holder = find_holder(index, wallet);
	if (!holder) {
		holder = calloc(1, sizeof(*holder));
		bug_if(!holder);
		memcpy(holder->wallet, wallet, PUBKEY_LEN);
		TAILQ_INIT(&holder->items);
		bug_if(!tsearch(holder, &index->holders, compare_holders));
	}
	item->holder = holder;
	TAILQ_INSERT_TAIL(&holder->items, item, link);
}

static void drop(struct index *index, struct item *item)
{
	detach(index, item);
	tdelete(item, &index->assets, compare_assets);
	free(item);
	index->len--;
}

static struct item *add(struct index *index, const uint8_t asset[PUBKEY_LEN])
{
	if (index->len == index->max) {
		index->left_out++;
		return NULL;
	}
	struct item *item = calloc(1, sizeof(*item));
	bug_if(!item);
	memcpy(item->asset, asset, PUBKEY_LEN);
	bug_if(!tsearch(item, &index->assets, compare_assets));
	index->len++;
	return item;
}

static void put(
    struct index *index, struct item *item, const struct core_asset *seen, uint64_t slot)
{
	item->slot = slot;
	item->scan = index->scan;
	memcpy(item->name, seen->name, sizeof(item->name));
	if (item->holder && memcmp(item->holder->wallet, seen->owner, PUBKEY_LEN) == 0)
		return;
	if (item->holder)
		detach(index, item);
	attach(index, item, seen->owner);
}

void index_see(struct index *index, const char *asset, const struct core_asset *seen, uint64_t slot)
{
	uint8_t key[PUBKEY_LEN];
	if (!index || pubkey_parse(asset, key) < 0)
		return;
	struct item *item = find(index, key);
	if (item && slot < item->slot)
		return;
	if (!core_verdict_has_owner(seen->verdict)) {
		if (item)
			drop(index, item);
		return;
	}
	if (!item)
		item = add(index, key);
	if (item)
		put(index, item, seen, slot);
}

void index_scan_begin(struct index *index)
{
	index->scan++;
}

struct unseen {
	uint64_t scan, slot;
	size_t len;
	struct item **item;
};

static void collect_unseen(const void *node, VISIT visit, void *arg)
{
	struct unseen *unseen = arg;
	struct item *item = *(struct item *const *)node;
	if ((visit == postorder || visit == leaf) && item->scan != unseen->scan &&
	    item->slot <= unseen->slot)
		unseen->item[unseen->len++] = item;
}

void index_scan_end(struct index *index, uint64_t slot)
{
	struct unseen unseen = {.scan = index->scan, .slot = slot};
	unseen.item = calloc(index->len + 1, sizeof(struct item *));
	bug_if(!unseen.item);
	twalk_r(index->assets, collect_unseen, &unseen);
	for (size_t i = 0; i < unseen.len; i++)
		drop(index, unseen.item[i]);
	free(unseen.item);
}

size_t index_list(
    const struct index *index, const char *wallet, size_t max, index_each each, void *arg)
{
	uint8_t key[PUBKEY_LEN];
	char asset[PUBKEY_TEXT_MAX + 1];
	const struct holder *holder =
	    pubkey_parse(wallet, key) == 0 ? find_holder(index, key) : NULL;
	const struct item *item = holder ? TAILQ_FIRST(&holder->items) : NULL;
	size_t n = 0;
	for (; item && n < max; item = TAILQ_NEXT(item, link), n++)
		each(arg, pubkey_text(item->asset, asset), item->name);
	return n;
}

size_t index_len(const struct index *index)
{
	return index->len;
}

uint64_t index_left_out(const struct index *index)
{
	return index->left_out;
}
