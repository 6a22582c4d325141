/* solana_pda - addresses that programs derive and sign with (solana-wire.md 3.6): SHA-256 over seeds, bump, program and a marker, with the
 * highest bump whose hash is off the curve. Each returns 0, or -1 if no bump gives one. */
#ifndef COMMON_SOLANA_PDA_H
#define COMMON_SOLANA_PDA_H

#include <stddef.h>
#include <stdint.h>

#include "common/base58.h"

struct solana_seed {
	const void *bytes;
	size_t len; /* at most 32 */
};

/* bump_r may be NULL. */
int solana_pda_find(const uint8_t program[PUBKEY_LEN], const struct solana_seed *seeds, size_t n,
    uint8_t pda_r[PUBKEY_LEN], uint8_t *bump_r);

/* Where a wallet keeps its tokens of a mint; token_program is SPL Token or Token-2022, whichever owns the mint. */
int solana_pda_associated_token(const uint8_t wallet[PUBKEY_LEN],
    const uint8_t token_program[PUBKEY_LEN], const uint8_t mint[PUBKEY_LEN],
    uint8_t pda_r[PUBKEY_LEN]);

/* Of the agent programs (mpl-agent 326b76a, solana-wire.md 3.5): an executive's profile, the record that lets it execute for an asset, and
 * the identity of an asset. */
int solana_pda_executive_profile(const uint8_t authority[PUBKEY_LEN], uint8_t pda_r[PUBKEY_LEN]);
int solana_pda_execution_delegate_record(
    const uint8_t profile[PUBKEY_LEN], const uint8_t asset[PUBKEY_LEN], uint8_t pda_r[PUBKEY_LEN]);
int solana_pda_agent_identity(const uint8_t asset[PUBKEY_LEN], uint8_t pda_r[PUBKEY_LEN]);

#endif
