/* solana_world - the keys of tests/vectors/solana-vectors.json and transactions composed of them, as an owner's wallet would get and return
 * them. */
#ifndef TESTS_SOLANA_WORLD_H
#define TESTS_SOLANA_WORLD_H

#include <sodium.h>
#include <string.h>

#include "common/pubkey.h"
#include "common/solana_ix_budget.h"
#include "common/solana_ix_core.h"
#include "common/solana_ix_system.h"
#include "common/solana_ix_token.h"
#include "common/solana_message.h"
#include "common/solana_pda.h"
#include "common/solana_program.h"

#define WORLD_LAMPORTS 10000000

struct world {
	uint8_t service[PUBKEY_LEN], owner[PUBKEY_LEN], collection[PUBKEY_LEN], asset[PUBKEY_LEN],
	    destination[PUBKEY_LEN], mallory[PUBKEY_LEN], standalone[PUBKEY_LEN], mint[PUBKEY_LEN];
	uint8_t pda[PUBKEY_LEN]; /* asset's */
	uint8_t blockhash[SOLANA_BLOCKHASH_LEN];
};

/* Raw bytes of a transaction. */
struct raw {
	uint8_t data[SOLANA_TX_MAX + 256]; /* room for what does not fit a transaction */
	size_t len;
};

static inline void world_pair(
    uint8_t seed, uint8_t key_r[PUBKEY_LEN], uint8_t secret_r[crypto_sign_SECRETKEYBYTES])
{
	uint8_t bytes[crypto_sign_SEEDBYTES];

	memset(bytes, seed, sizeof(bytes));
	crypto_sign_seed_keypair(key_r, secret_r, bytes);
}

static inline void world_open(struct world *world)
{
	static const uint8_t seeds[] = {1, 2, 4, 5, 6, 7, 10, 11};
	uint8_t *const keys[] = {world->service, world->owner, world->collection, world->asset,
	    world->destination, world->mallory, world->standalone, world->mint};
	uint8_t secret[crypto_sign_SECRETKEYBYTES];

	for (size_t i = 0; i < ARRAY_LEN(seeds); i++)
		world_pair(seeds[i], keys[i], secret);
	bug_if(pubkey_asset_signer(world->asset, world->pda, NULL) != 0);
	memset(world->blockhash, 9, sizeof(world->blockhash));
}

#define WORLD_SEEDS 16

/* Fills in the signature of every signer whose key comes from a seed below WORLD_SEEDS; the others stay as they are. */
static inline void world_sign(struct raw *raw)
{
	static uint8_t keys[WORLD_SEEDS][PUBKEY_LEN],
	    secrets[WORLD_SEEDS][crypto_sign_SECRETKEYBYTES];
	struct solana_tx tx;

	for (uint8_t seed = 1; seed < WORLD_SEEDS && sodium_is_zero(keys[seed], PUBKEY_LEN); seed++)
		world_pair(seed, keys[seed], secrets[seed]);
	if (solana_tx_parse(raw->data, raw->len, &tx, NULL) != 0)
		return;
	for (size_t i = 0; i < tx.n_signers; i++)
		for (size_t seed = 1; seed < WORLD_SEEDS; seed++)
			if (memcmp(keys[seed], solana_tx_key(&tx, i), PUBKEY_LEN) == 0)
				crypto_sign_detached(raw->data + 1 + i * SIGNATURE_LEN, NULL,
				    tx.message, tx.message_len, secrets[seed]);
}

static inline struct raw world_compose(const struct world *world, enum solana_version version,
    const uint8_t payer[PUBKEY_LEN], const struct solana_instruction *instructions, size_t n)
{
	const struct solana_message message = {version, payer, world->blockhash, instructions, n};
	struct raw raw = {.len = 0};
	struct error err = {.code = ERR_NONE};

	if (solana_message_compose(&message, raw.data, &raw.len, &err) != 0)
		fail_msg("%s", err.text);
	return raw;
}

static inline void world_execute(const struct world *world, const struct solana_instruction *inner,
    struct solana_instruction *ix_r)
{
	const struct solana_core_execute execute = {
	    .asset = world->asset, .collection = world->collection, .payer = world->owner};
	struct error err = {.code = ERR_NONE};

	if (solana_ix_core_execute(&execute, inner, ix_r, &err) != 0)
		fail_msg("%s", err.text);
}

#endif
