#include "common/pubkey.h"

#include <sodium.h>
#include <string.h>

/* CoREENxT6tW1HoK8ypY1SxRMZTcVPm7R94rH4PZNhX7d */
static const uint8_t core_program[PUBKEY_LEN] = {0xaf, 0x54, 0xab, 0x10, 0xbd, 0x97, 0xa5, 0x42,
    0xa0, 0x9e, 0xf7, 0xb3, 0x98, 0x89, 0xdd, 0x0c, 0xd3, 0x94, 0xa4, 0xcc, 0xe9, 0xdf, 0xa6, 0xcd,
    0xc9, 0x7e, 0xbe, 0x2d, 0x23, 0x5b, 0xa7, 0x48};

bool pubkey_is_on_curve(const uint8_t key[PUBKEY_LEN])
{
	static const uint8_t identity[PUBKEY_LEN] = {1};
	uint8_t sum[PUBKEY_LEN];

	return crypto_core_ed25519_add(sum, key, identity) == 0;
}

static void derive(const uint8_t asset[PUBKEY_LEN], uint8_t bump, uint8_t pda[PUBKEY_LEN])
{
	static const char prefix[] = "mpl-core-execute", marker[] = "ProgramDerivedAddress";
	crypto_hash_sha256_state state;

	crypto_hash_sha256_init(&state);
	crypto_hash_sha256_update(&state, (const uint8_t *)prefix, sizeof(prefix) - 1);
	crypto_hash_sha256_update(&state, asset, PUBKEY_LEN);
	crypto_hash_sha256_update(&state, &bump, 1);
	crypto_hash_sha256_update(&state, core_program, PUBKEY_LEN);
	crypto_hash_sha256_update(&state, (const uint8_t *)marker, sizeof(marker) - 1);
	crypto_hash_sha256_final(&state, pda);
}

int pubkey_asset_signer(const uint8_t asset[PUBKEY_LEN], uint8_t pda_r[PUBKEY_LEN], uint8_t *bump_r)
{
	uint8_t pda[PUBKEY_LEN];

	/* down to 1, where Solana's own search ends */
	for (uint8_t bump = 255; bump > 0; bump--) {
		derive(asset, bump, pda);
		if (pubkey_is_on_curve(pda))
			continue;
		memcpy(pda_r, pda, PUBKEY_LEN);
		if (bump_r)
			*bump_r = bump;
		return 0;
	}
	return -1;
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
