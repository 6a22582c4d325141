#include "services/router/places.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/secret.h"

struct entry {
	uint64_t until_ms;    /* 0: empty */
	struct secret *token; /* with its NUL; NULL: none */
	uint8_t asset[PUBKEY_LEN];
	char upstream[UPSTREAM_MAX + 1];
	bool allows_workers;
};

struct places {
	uint8_t key[crypto_shorthash_KEYBYTES];
	uint64_t nsets;
	struct entry entry[];
};

struct places *places_new(uint64_t entries)
{
	uint64_t n = PLACES_WAYS;
	while (n < entries)
		n *= 2;
	struct places *places = calloc(1, sizeof(*places) + n * sizeof(struct entry));
	bug_if(!places);
	randombytes_buf(places->key, sizeof(places->key));
	places->nsets = n / PLACES_WAYS;
	return places;
}

static struct entry *set_of(struct places *places, const uint8_t asset[PUBKEY_LEN])
{
	uint8_t hash[crypto_shorthash_BYTES];
	uint64_t n;
	crypto_shorthash(hash, asset, PUBKEY_LEN, places->key);
	memcpy(&n, hash, sizeof(n));
	return &places->entry[(n & (places->nsets - 1)) * PLACES_WAYS];
}

static struct entry *find(struct places *places, const uint8_t asset[PUBKEY_LEN])
{
	struct entry *set = set_of(places, asset);
	for (size_t i = 0; i < PLACES_WAYS; i++)
		if (set[i].until_ms != 0 && memcmp(set[i].asset, asset, PUBKEY_LEN) == 0)
			return &set[i];
	return NULL;
}

static void empty(struct entry *entry)
{
	entry->until_ms = 0;
	secret_destroy(&entry->token);
}

bool places_find(
    struct places *places, const uint8_t asset[PUBKEY_LEN], uint64_t now_ms, struct place *place_r)
{
	struct entry *entry = find(places, asset);
	if (!entry)
		return false;
	if (entry->until_ms <= now_ms) {
		empty(entry);
		return false;
	}
	place_r->upstream = entry->upstream;
	place_r->token = entry->token ? (const char *)secret_bytes(entry->token) : "";
	place_r->allows_workers = entry->allows_workers;
	return true;
}

/* The asset's own entry, else an empty one, else the one that ends soonest: an empty one ended before all. */
static struct entry *victim(struct places *places, const uint8_t asset[PUBKEY_LEN])
{
	struct entry *same = find(places, asset), *set = set_of(places, asset), *soonest = set;
	for (size_t i = 1; i < PLACES_WAYS; i++)
		if (set[i].until_ms < soonest->until_ms)
			soonest = &set[i];
	return same ? same : soonest;
}

static int fill(void *arg, uint8_t *bytes, size_t len)
{
	const struct place *place = arg;
	memcpy(bytes, place->token, len);
	return 0;
}

void places_put(struct places *places, const uint8_t asset[PUBKEY_LEN], const struct place *place,
    uint64_t until_ms)
{
	struct entry *entry = victim(places, asset);
	struct place copy = *place;
	size_t len = strlen(place->token);
	bug_if(strlen(place->upstream) > UPSTREAM_MAX || len > AGENT_TOKEN_MAX);
	empty(entry);
	if (len > 0)
		entry->token = secret_make_brief(len + 1, fill, &copy);
	memcpy(entry->asset, asset, PUBKEY_LEN);
	memcpy(entry->upstream, place->upstream, strlen(place->upstream) + 1);
	entry->allows_workers = place->allows_workers;
	entry->until_ms = until_ms;
}

void places_drop(struct places *places, const uint8_t asset[PUBKEY_LEN])
{
	struct entry *entry;
	if (asset) {
		entry = find(places, asset);
		if (entry)
			empty(entry);
		return;
	}
	for (uint64_t i = 0; i < places->nsets * PLACES_WAYS; i++)
		empty(&places->entry[i]);
}

void places_destroy(struct places **places)
{
	if (!*places)
		return;
	places_drop(*places, NULL);
	sodium_memzero((*places)->key, sizeof((*places)->key));
	free(*places);
	*places = NULL;
}
