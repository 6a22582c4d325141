#include "tests/devchain/demo.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>

#include "common/scoped.h"
#include "tests/devchain/core.h"
#include "tests/devchain/node.h"

#define SEED_SLOT 1 /* long final */
#define WALLET_LAMPORTS 10000000000u

struct wallet {
	const char *name;
	uint8_t key[PUBKEY_LEN];
};

/* The file of `solana-keygen new`: a JSON array of 64 numbers, seed then public key. */
static int write_keypair(const struct store *store, struct wallet *wallet, struct error *err)
{
	uint8_t keypair[crypto_sign_SECRETKEYBYTES];
	char text[sizeof(keypair) * 4 + 4] = "[", name[64];
	size_t len = 1;
	int result;

	crypto_sign_keypair(wallet->key, keypair);
	for (size_t i = 0; i < sizeof(keypair); i++)
		len += (size_t)snprintf(
		    text + len, sizeof(text) - len, "%s%u", i ? "," : "", keypair[i]);
	snprintf(text + len, sizeof(text) - len, "]\n");
	snprintf(name, sizeof(name), "wallets/%s.json", wallet->name);
	result = store_write(store, name, text, 0600, err);
	sodium_memzero(keypair, sizeof(keypair));
	sodium_memzero(text, sizeof(text));
	return result;
}

static int make_wallet(const struct store *store, struct chain *chain, struct wallet *wallet,
    json_t *wallets, struct error *err)
{
	struct account_state state = {.lamports = WALLET_LAMPORTS};
	char text[PUBKEY_TEXT_MAX + 1];

	if (write_keypair(store, wallet, err) != 0)
		return -1;
	chain_seed(chain, wallet->key, SEED_SLOT, &state);
	json_object_set_new(wallets, wallet->name,
	    json_pack("{s:s, s:o}", "address", pubkey_text(wallet->key, text), "keypair",
		json_sprintf("%s/wallets/%s.json", store->dir, wallet->name)));
	return 0;
}

static void random_address(uint8_t key[PUBKEY_LEN])
{
	uint8_t secret[crypto_sign_SECRETKEYBYTES];

	crypto_sign_keypair(key, secret);
	sodium_memzero(secret, sizeof(secret));
}

static json_t *make_asset(struct chain *chain, const uint8_t *collection,
    const struct wallet *owner, const char *name, const char *model)
{
	struct account_state scoped_state state = {0};
	char asset_text[PUBKEY_TEXT_MAX + 1], owner_text[PUBKEY_TEXT_MAX + 1];
	uint8_t address[PUBKEY_LEN];
	struct core_asset asset = {
	    .update = CORE_UPDATE_COLLECTION,
	    .name = name,
	    .uri = "https://example.org/claw.json",
	    .nattributes = 1,
	    .attributes = {{"model", model}},
	};

	random_address(address);
	memcpy(asset.owner, owner->key, PUBKEY_LEN);
	memcpy(asset.authority, collection, PUBKEY_LEN);
	core_asset_create(&asset, &state);
	chain_seed(chain, address, SEED_SLOT, &state);
	return json_pack("{s:s, s:s, s:s}", "asset", pubkey_text(address, asset_text), "name", name,
	    "owner", pubkey_text(owner->key, owner_text));
}

static json_t *make_assets(
    struct chain *chain, const uint8_t *collection, const struct wallet wallets[2])
{
	static const struct {
		const char *name, *model;
		size_t owner;
	} claws[] = {{"Claw #1", "opus", 0}, {"Claw #2", "sonnet", 0}, {"Claw #3", "haiku", 0},
	    {"Claw #4", "opus", 1}};
	struct account_state scoped_state state = {0};
	json_t *assets = json_array();
	uint8_t authority[PUBKEY_LEN];

	for (size_t i = 0; i < ARRAY_LEN(claws); i++)
		json_array_append_new(
		    assets, make_asset(chain, collection, &wallets[claws[i].owner], claws[i].name,
				claws[i].model));
	random_address(authority);
	core_collection_create(authority, "Claws", "https://example.org/claws.json", &state);
	bug_if(core_collection_count(&state, ARRAY_LEN(claws), ARRAY_LEN(claws), NULL) != 0);
	chain_seed(chain, collection, SEED_SLOT, &state);
	return assets;
}

bool demo_exists(const struct store *store)
{
	scoped_free char *path = store_path(store, "demo.json");

	return access(path, F_OK) == 0;
}

int demo_seed(struct store *store, struct chain *chain, struct error *err)
{
	struct wallet wallets[2] = {{.name = "alice"}, {.name = "bob"}};
	scoped_free char *folder = store_path(store, "wallets");
	scoped_json json_t *shown = json_object(), *demo = NULL;
	scoped_free char *text = NULL;
	char collection_text[PUBKEY_TEXT_MAX + 1];
	uint8_t collection[PUBKEY_LEN];

	if (mkdir(folder, 0700) != 0 && errno != EEXIST)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", folder, strerror(errno));
	for (size_t i = 0; i < ARRAY_LEN(wallets); i++)
		if (make_wallet(store, chain, &wallets[i], shown, err) != 0)
			return -1;
	random_address(collection);
	demo = json_pack("{s:s, s:o, s:O}", "collection", pubkey_text(collection, collection_text),
	    "assets", make_assets(chain, collection, wallets), "wallets", shown);
	text = json_dumps(demo, JSON_INDENT(2));
	bug_if(!text);
	return store_write(store, "demo.json", text, 0600, err);
}
