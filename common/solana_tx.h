/* solana_tx - strict parser of a Solana transaction, legacy or v0 (solana-wire.md 3.3). Pure: bytes in, a bounded struct out, no
 * allocation. Whatever it accepts has exactly one meaning: lengths are minimal, nothing follows the end, no key occurs twice, every index
 * is in range, the header leaves the fee payer a writable signer. Lookup tables are refused: what they stand for is not in the bytes.
 *
 * Every failure is ERR_INVALID with a reason:
 *	tx_too_long tx_truncated tx_trailing_bytes tx_shortvec tx_version tx_header tx_signatures tx_too_many tx_duplicate_key
 *	tx_index tx_lookup_tables; tx_signature: not verified. */
#ifndef COMMON_SOLANA_TX_H
#define COMMON_SOLANA_TX_H

#include <stdbool.h>

#include "common/base58.h"
#include "common/error.h"

#define SOLANA_TX_MAX 1232 /* bytes, IPv6's smallest MTU less headers: what a node takes */
#define SOLANA_BLOCKHASH_LEN 32
#define SOLANA_SIGNATURES_MAX 12   /* what fits: 64 for the signature, 32 for its key */
#define SOLANA_KEYS_MAX 35         /* what fits besides one signature */
#define SOLANA_INSTRUCTIONS_MAX 64 /* the runtime's limit too (Agave, SIMD-0160) */

enum solana_version { SOLANA_LEGACY, SOLANA_V0 };

/* program and accounts are indexes into the transaction's keys */
struct solana_tx_instruction {
	uint8_t program;
	const uint8_t *accounts;
	size_t n_accounts;
	const uint8_t *data;
	size_t data_len;
};

/* Everything pointed to is borrowed from the bytes that were parsed. Key 0 is the fee payer. */
struct solana_tx {
	const uint8_t *signatures; /* one per signer, back to back; NULL of a message alone */
	size_t n_signers, n_readonly_signers, n_readonly_others;
	const uint8_t *message; /* what is signed */
	size_t message_len;
	enum solana_version version;
	const uint8_t *keys; /* back to back: solana_tx_key */
	size_t n_keys;
	const uint8_t *blockhash;
	struct solana_tx_instruction instructions[SOLANA_INSTRUCTIONS_MAX];
	size_t n_instructions;
};

/* Signatures and message; looks at no signature. */
int solana_tx_parse(const uint8_t *bytes, size_t len, struct solana_tx *tx_r, struct error *err);
/* The message alone. */
int solana_tx_parse_message(
    const uint8_t *bytes, size_t len, struct solana_tx *tx_r, struct error *err);

const uint8_t *solana_tx_key(const struct solana_tx *tx, size_t key);
/* The index of a key, n_keys if it is not there. */
size_t solana_tx_find(const struct solana_tx *tx, const uint8_t key[PUBKEY_LEN]);
bool solana_tx_is_signer(const struct solana_tx *tx, size_t key);
bool solana_tx_is_writable(const struct solana_tx *tx, size_t key);
/* Keys of an instruction: its i-th account, its program. */
const uint8_t *solana_tx_account(
    const struct solana_tx *tx, const struct solana_tx_instruction *instruction, size_t i);
const uint8_t *solana_tx_program(
    const struct solana_tx *tx, const struct solana_tx_instruction *instruction);

/* Did this signer sign? False of an index that is no signer's, and of a message parsed alone. */
bool solana_tx_signed_by(const struct solana_tx *tx, size_t signer);
/* All of them did, or ERR_INVALID with reason tx_signature and whose is wrong. */
int solana_tx_verify(const struct solana_tx *tx, struct error *err);

/* Writes the signature of one signer into the transaction's bytes. ERR_INVALID: they do not parse, the key is no signer's (reason
 * tx_signatures), or it did not sign this (tx_signature; nothing is written). */
int solana_tx_put_signature(uint8_t *bytes, size_t len, const uint8_t key[PUBKEY_LEN],
    const uint8_t signature[SIGNATURE_LEN], struct error *err);

#endif
