#include "services/router/decision.h"

#include <sodium.h>
#include <string.h>
#include <sys/mman.h>

#include "common/error.h"
#include "common/pubkey.h"

struct decision_table {
	uint8_t token_key[crypto_generichash_KEYBYTES];
	uint8_t bucket_key[crypto_shorthash_KEYBYTES];
	uint64_t size; /* of the mapping */
	uint64_t nsets;
	uint32_t history, epoch;
	struct event_id all; /* mark of "*" */
	struct event_id mark[DECISION_BUCKETS];
	_Alignas(sizeof(struct decision_entry)) struct decision_entry entry[];
};

struct decision_table *decision_table_new(uint64_t entries)
{
	uint64_t n = DECISION_WAYS;
	while (n < entries)
		n *= 2;
	size_t size = sizeof(struct decision_table) + n * sizeof(struct decision_entry);
	void *mem = mmap(
	    NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mem == MAP_FAILED)
		return NULL;
	struct decision_table *table = mem;
	randombytes_buf(table->token_key, sizeof(table->token_key));
	randombytes_buf(table->bucket_key, sizeof(table->bucket_key));
	table->size = size;
	table->nsets = n / DECISION_WAYS;
	table->epoch = 1;
	return table;
}

void decision_table_destroy(struct decision_table **table)
{
	if (!*table)
		return;
	sodium_memzero((*table)->token_key, sizeof((*table)->token_key));
	munmap(*table, (*table)->size);
	*table = NULL;
}

uint64_t decision_table_entries(const struct decision_table *table)
{
	return table->nsets * DECISION_WAYS;
}

void decision_key(const struct decision_table *table, const char *token, size_t len,
    uint8_t key_r[DECISION_KEY_LEN])
{
	crypto_generichash(key_r, DECISION_KEY_LEN, (const uint8_t *)token, len, table->token_key,
	    sizeof(table->token_key));
}

static size_t bucket_of(const struct decision_table *table, const uint8_t asset[PUBKEY_LEN])
{
	uint8_t hash[crypto_shorthash_BYTES];
	crypto_shorthash(hash, asset, PUBKEY_LEN, table->bucket_key);
	return ((size_t)hash[0] << 8 | hash[1]) % DECISION_BUCKETS;
}

/* A keyed hash is evenly spread, so its own bytes choose the set. */
static struct decision_entry *set_of(struct decision_table *table, const uint8_t *key)
{
	uint64_t n;
	memcpy(&n, key, sizeof(n));
	return &table->entry[(n & (table->nsets - 1)) * DECISION_WAYS];
}

bool decision_is_void(
    const struct decision_table *table, const uint8_t asset[PUBKEY_LEN], struct event_id position)
{
	return event_id_compare(position, table->all) < 0 ||
	       event_id_compare(position, table->mark[bucket_of(table, asset)]) < 0;
}

/* Everything that can be said of an entry without knowing who asks. */
static bool holds(const struct decision_table *table, const struct decision_entry *entry,
    const struct decision_moment *now)
{
	return entry->epoch == table->epoch && now->unix_ms < (uint64_t)entry->exp_s * 1000 &&
	       now->boot_ms - (uint64_t)entry->checked_s * 1000 < DECISION_CHECKED_MAX_MS &&
	       !decision_is_void(table, entry->asset, entry->position);
}

static bool is_agent_of(const uint8_t asset[PUBKEY_LEN], const char *agent)
{
	char id[AGENT_ID_LEN + 1];
	agent_id(asset, id);
	return strcmp(id, agent) == 0;
}

static struct decision_entry *find(struct decision_table *table, const uint8_t *key)
{
	struct decision_entry *set = set_of(table, key);
	for (size_t i = 0; i < DECISION_WAYS; i++)
		if (set[i].epoch != 0 && memcmp(set[i].key, key, DECISION_KEY_LEN) == 0)
			return &set[i];
	return NULL;
}

enum decision_verdict decision_lookup(struct decision_table *table,
    const uint8_t key[DECISION_KEY_LEN], const char *agent, const struct decision_moment *now,
    const struct decision_entry **found_r)
{
	if (!now->has_lease || now->history == 0 || now->history != table->history)
		return DECISION_MISS;
	struct decision_entry *entry = find(table, key);
	if (!entry || !holds(table, entry, now))
		return DECISION_MISS;
	entry->used_s = (uint16_t)(now->boot_ms / 1000);
	*found_r = entry;
	return !agent || is_agent_of(entry->asset, agent) ? DECISION_ALLOW : DECISION_OTHER;
}

/* The entry of this key, else one that is worth nothing, else the one unused for longest. */
static struct decision_entry *victim(
    struct decision_table *table, const uint8_t *key, const struct decision_moment *now)
{
	struct decision_entry *same = find(table, key);
	if (same)
		return same;
	struct decision_entry *set = set_of(table, key), *oldest = NULL;
	uint16_t now_s = (uint16_t)(now->boot_ms / 1000), unused_s = 0;
	for (size_t i = 0; i < DECISION_WAYS; i++) {
		if (!holds(table, &set[i], now))
			return &set[i];
		uint16_t age = (uint16_t)(now_s - set[i].used_s);
		if (!oldest || age > unused_s) {
			oldest = &set[i];
			unused_s = age;
		}
	}
	return oldest;
}

bool decision_put(struct decision_table *table, const uint8_t key[DECISION_KEY_LEN],
    const struct decision_answer *answer, const struct decision_moment *now)
{
	if (answer->history == 0 || answer->history != table->history ||
	    decision_is_void(table, answer->asset, answer->position))
		return false;
	struct decision_entry *entry = victim(table, key, now);
	uint64_t exp_s = answer->exp_ms / 1000;
	*entry = (struct decision_entry){
	    .position = answer->position,
	    .epoch = table->epoch,
	    .exp_s = exp_s > UINT32_MAX ? UINT32_MAX : (uint32_t)exp_s,
	    .checked_s = (uint32_t)(now->boot_ms / 1000),
	    .used_s = (uint16_t)(now->boot_ms / 1000),
	    .audience = (uint8_t)answer->audience,
	};
	memcpy(entry->key, key, DECISION_KEY_LEN);
	memcpy(entry->asset, answer->asset, PUBKEY_LEN);
	memcpy(entry->wallet, answer->wallet, PUBKEY_LEN);
	memcpy(entry->jti, answer->jti, DECISION_JTI_LEN);
	return true;
}

void decision_forget(struct decision_table *table, const uint8_t key[DECISION_KEY_LEN])
{
	struct decision_entry *entry = find(table, key);
	if (entry)
		entry->epoch = 0;
}

static void raise_mark(struct event_id *mark, struct event_id id)
{
	if (event_id_compare(*mark, id) < 0)
		*mark = id;
}

void decision_mark(
    struct decision_table *table, const uint8_t asset[PUBKEY_LEN], struct event_id id)
{
	raise_mark(asset ? &table->mark[bucket_of(table, asset)] : &table->all, id);
}

void decision_restart(struct decision_table *table, uint32_t history, struct event_id head)
{
	if (history != table->history) {
		/* only what was written: an untouched page stays the kernel's zero page */
		for (size_t i = 0; i < DECISION_BUCKETS; i++)
			if (table->mark[i].ms | table->mark[i].seq)
				table->mark[i] = (struct event_id){0, 0};
		table->all = head;
		table->history = history;
	}
	raise_mark(&table->all, head);
	/* epoch 0 means empty; after a wrap, entries of the same epoch are 2^32 restarts old and void by their marks */
	if (++table->epoch == 0)
		table->epoch = 1;
}
