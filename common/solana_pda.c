#include "common/solana_pda.h"

#include <sodium.h>
#include <string.h>

#include "common/error.h"
#include "common/pubkey.h"
#include "common/solana_program.h"

#define TEXT_SEED(text) \
	{ \
		(text), sizeof(text) - 1 \
	}
#define KEY_SEED(key) \
	{ \
		(key), PUBKEY_LEN \
	}

static void derive(const uint8_t program[PUBKEY_LEN], const struct solana_seed *seeds, size_t n,
    uint8_t bump, uint8_t pda[PUBKEY_LEN])
{
	static const char marker[] = "ProgramDerivedAddress";
	crypto_hash_sha256_state state;

	crypto_hash_sha256_init(&state);
	for (size_t i = 0; i < n; i++)
		crypto_hash_sha256_update(&state, seeds[i].bytes, seeds[i].len);
	crypto_hash_sha256_update(&state, &bump, 1);
	crypto_hash_sha256_update(&state, program, PUBKEY_LEN);
	crypto_hash_sha256_update(&state, (const uint8_t *)marker, sizeof(marker) - 1);
	crypto_hash_sha256_final(&state, pda);
}

int solana_pda_find(const uint8_t program[PUBKEY_LEN], const struct solana_seed *seeds, size_t n,
    uint8_t pda_r[PUBKEY_LEN], uint8_t *bump_r)
{
	uint8_t pda[PUBKEY_LEN];

	/* down to 1, where Solana's own search ends */
	for (uint8_t bump = 255; bump > 0; bump--) {
		derive(program, seeds, n, bump, pda);
		if (pubkey_is_on_curve(pda))
			continue;
		memcpy(pda_r, pda, PUBKEY_LEN);
		if (bump_r)
			*bump_r = bump;
		return 0;
	}
	return -1;
}

int solana_pda_associated_token(const uint8_t wallet[PUBKEY_LEN],
    const uint8_t token_program[PUBKEY_LEN], const uint8_t mint[PUBKEY_LEN],
    uint8_t pda_r[PUBKEY_LEN])
{
	const struct solana_seed seeds[] = {
	    KEY_SEED(wallet), KEY_SEED(token_program), KEY_SEED(mint)};

	return solana_pda_find(solana_program_key(SOLANA_PROGRAM_ASSOCIATED_TOKEN), seeds,
	    ARRAY_LEN(seeds), pda_r, NULL);
}

int solana_pda_executive_profile(const uint8_t authority[PUBKEY_LEN], uint8_t pda_r[PUBKEY_LEN])
{
	const struct solana_seed seeds[] = {TEXT_SEED("executive_profile"), KEY_SEED(authority)};

	return solana_pda_find(
	    solana_program_key(SOLANA_PROGRAM_AGENT_TOOLS), seeds, ARRAY_LEN(seeds), pda_r, NULL);
}

int solana_pda_execution_delegate_record(
    const uint8_t profile[PUBKEY_LEN], const uint8_t asset[PUBKEY_LEN], uint8_t pda_r[PUBKEY_LEN])
{
	const struct solana_seed seeds[] = {
	    TEXT_SEED("execution_delegate_record"), KEY_SEED(profile), KEY_SEED(asset)};

	return solana_pda_find(
	    solana_program_key(SOLANA_PROGRAM_AGENT_TOOLS), seeds, ARRAY_LEN(seeds), pda_r, NULL);
}

int solana_pda_agent_identity(const uint8_t asset[PUBKEY_LEN], uint8_t pda_r[PUBKEY_LEN])
{
	const struct solana_seed seeds[] = {TEXT_SEED("agent_identity"), KEY_SEED(asset)};

	return solana_pda_find(solana_program_key(SOLANA_PROGRAM_AGENT_IDENTITY), seeds,
	    ARRAY_LEN(seeds), pda_r, NULL);
}
