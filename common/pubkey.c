#include "common/pubkey.h"

#include <sodium.h>
#include <string.h>

#include "common/error.h"
#include "common/solana_pda.h"
#include "common/solana_program.h"

bool pubkey_is_on_curve(const uint8_t key[PUBKEY_LEN])
{
	static const uint8_t identity[PUBKEY_LEN] = {1};
	uint8_t sum[PUBKEY_LEN];

	return crypto_core_ed25519_add(sum, key, identity) == 0;
}

int pubkey_asset_signer(const uint8_t asset[PUBKEY_LEN], uint8_t pda_r[PUBKEY_LEN], uint8_t *bump_r)
{
	static const char prefix[] = "mpl-core-execute";
	const struct solana_seed seeds[] = {{prefix, sizeof(prefix) - 1}, {asset, PUBKEY_LEN}};

	return solana_pda_find(
	    solana_program_key(SOLANA_PROGRAM_CORE), seeds, ARRAY_LEN(seeds), pda_r, bump_r);
}

void agent_id(const uint8_t asset[PUBKEY_LEN], char text[AGENT_ID_LEN + 1])
{
	static const char label[] = "multiclaw sandbox id v1";
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
	uint8_t hash[AGENT_ID_LEN * 5 / 8];
	crypto_generichash_state state;

	crypto_generichash_init(&state, NULL, 0, sizeof(hash));
	crypto_generichash_update(&state, (const uint8_t *)label, sizeof(label) - 1);
	crypto_generichash_update(&state, asset, PUBKEY_LEN);
	crypto_generichash_final(&state, hash, sizeof(hash));
	for (size_t i = 0; i < AGENT_ID_LEN; i++) {
		size_t bit = i * 5, byte = bit / 8;
		unsigned pair =
		    (unsigned)hash[byte] << 8 | (byte + 1 < sizeof(hash) ? hash[byte + 1] : 0U);
		text[i] = alphabet[pair >> (11 - bit % 8) & 31];
	}
	text[AGENT_ID_LEN] = '\0';
}
