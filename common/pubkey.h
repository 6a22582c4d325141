/* pubkey - facts about 32-byte Solana addresses. */
#ifndef COMMON_PUBKEY_H
#define COMMON_PUBKEY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base58.h"

/* Can a private key for this address exist? The point decompresses (solana-wire.md 3.6: libsodium's add with the identity,
 * which agrees with Solana's own check; is_valid_point does not). Off-curve addresses are PDAs and cannot sign. */
bool pubkey_is_on_curve(const uint8_t key[PUBKEY_LEN]);

/* The address that Metaplex Core's ExecuteV1 signs with for an asset; bump_r may be NULL. Returns 0, -1 if none exists. */
int pubkey_asset_signer(
    const uint8_t asset[PUBKEY_LEN], uint8_t pda_r[PUBKEY_LEN], uint8_t *bump_r);

#define AGENT_ID_LEN 32
/* Sandbox id: lower-case base32 (RFC 4648 alphabet, a-z2-7) of BLAKE2b-160 over the label "multiclaw sandbox id v1" and the
 * 32 asset bytes; 32 characters, a DNS label. Always computed by the server. */
void agent_id(const uint8_t asset[PUBKEY_LEN], char text[AGENT_ID_LEN + 1]);

#endif
