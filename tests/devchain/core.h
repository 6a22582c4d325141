/* core - the account bytes of Metaplex Core (program CoREENxT6tW1HoK8ypY1SxRMZTcVPm7R94rH4PZNhX7d) and what its instructions do to
 * them: borsh, little-endian, no discriminator. Layouts and effects were compared with accounts the real program wrote:
 * github.com/metaplex-foundation/mpl-core, programs/mpl-core/src/state.
 */
#ifndef DEVCHAIN_CORE_H
#define DEVCHAIN_CORE_H

#include <stdbool.h>

#include "common/error.h"
#include "tests/devchain/state.h"

#define CORE_PROGRAM "CoREENxT6tW1HoK8ypY1SxRMZTcVPm7R94rH4PZNhX7d"
#define CORE_TEXT_MAX 1024
#define CORE_ATTRIBUTES_MAX 32

enum core_update { CORE_UPDATE_NONE, CORE_UPDATE_ADDRESS, CORE_UPDATE_COLLECTION };

struct core_attribute {
	const char *key, *value;
};

struct core_asset {
	uint8_t owner[PUBKEY_LEN];
	enum core_update update; /* NONE: no authority bytes at all */
	uint8_t authority[PUBKEY_LEN];
	const char *name, *uri;
	bool has_seq;
	uint64_t seq;
	size_t nattributes; /* 0: no Attributes plugin */
	struct core_attribute attributes[CORE_ATTRIBUTES_MAX];
	bool has_delegate; /* TransferDelegate plugin, held by delegate until the next transfer */
	uint8_t delegate[PUBKEY_LEN];
};

/* Plugins that decide here; their numbers are the program's. */
enum core_plugin {
	CORE_FREEZE_DELEGATE = 1,
	CORE_TRANSFER_DELEGATE = 3,
	CORE_PERMANENT_FREEZE_DELEGATE = 5,
	CORE_PERMANENT_TRANSFER_DELEGATE = 7,
	CORE_FREEZE_EXECUTE = 16,
	CORE_PERMANENT_FREEZE_EXECUTE = 17,
};

/* Each fills *state_r (caller clears it), with the lamports the real program leaves there. */
void core_collection_create(const uint8_t authority[PUBKEY_LEN], const char *name, const char *uri,
    struct account_state *state_r);
void core_asset_create(const struct core_asset *asset, struct account_state *state_r);

bool core_is_asset(const struct account_state *state);
bool core_is_collection(const struct account_state *state);
/* False if it is no asset. */
bool core_asset_owner(const struct account_state *asset, uint8_t owner_r[PUBKEY_LEN]);
/* The collection in the asset's update authority; false if it has none. */
bool core_asset_collection(const struct account_state *asset, uint8_t collection_r[PUBKEY_LEN]);

/* Has the asset that plugin, with its flag set; with that authority's address? (The collection's plugins are not looked at.) */
bool core_asset_is_set(const struct account_state *asset, enum core_plugin plugin);
bool core_asset_is_held_by(const struct account_state *asset, enum core_plugin plugin,
    const uint8_t authority[PUBKEY_LEN]);
/* Has it an AgentIdentity that may approve Execute? The second makes it one. */
bool core_asset_lets_agents_execute(const struct account_state *asset);
int core_asset_add_identity(struct account_state *asset, const char *uri, struct error *err);

/* Effects of Transfer, Burn, UpdateV2 (of the update authority) on an asset's account. ERR_INVALID: not an asset, or its plugin
 * registry cannot be read. The account is then unchanged. */
int core_transfer(struct account_state *asset, const uint8_t to[PUBKEY_LEN], struct error *err);
int core_burn(struct account_state *asset, struct error *err);
int core_move(struct account_state *asset, enum core_update update,
    const uint8_t authority[PUBKEY_LEN], struct error *err);
/* Adds to num_minted and current_size (never below 0). */
int core_collection_count(
    struct account_state *collection, int minted, int size, struct error *err);

#endif
