/* offchain - what a wallet may have put around a text before it signed it (solana-wire.md 1.6), and whether a signature says that a key signed
 * our text. A signature is always checked over the whole buffer that was signed.
 *
 *	v0	domain, 0, application domain [32], format, signers, length, text	Ledger, @solana/kit
 *	legacy	domain, 0, format, length, text						solana-sdk, the solana command line
 *	v1	domain, 1, signers in ascending order, text				@solana/kit, wallet-standard
 * Versions 0 and legacy share their version byte: told apart by which layout the whole buffer fits.
 */
#ifndef AUTH_OFFCHAIN_H
#define AUTH_OFFCHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base58.h"

#define OFFCHAIN_HEADER_MAX 85 /* with one signer */
#define OFFCHAIN_BODY_MAX 1232 /* what formats 0 and 1 may carry */

enum offchain_form {
	OFFCHAIN_RAW,      /* signMessage: nothing around it */
	OFFCHAIN_V0_ASCII, /* format 0; the Ledger app takes line feeds in it, @solana/kit does not */
	OFFCHAIN_V0_UTF8, /* format 1 */
	OFFCHAIN_LEGACY,  /* format 1, because the text has line feeds */
	OFFCHAIN_V1,
	OFFCHAIN_FORMS
};

/* Writes the buffer that this signer, alone, signs for a text of at most OFFCHAIN_BODY_MAX bytes. Returns its length. */
size_t offchain_wrap(enum offchain_form form, const uint8_t signer[PUBKEY_LEN], const void *text,
    size_t len, uint8_t buf[OFFCHAIN_HEADER_MAX + OFFCHAIN_BODY_MAX]);

/* Is the buffer one of the envelopes, strictly, with this signer among those it names, around exactly this text? */
bool offchain_holds(const uint8_t *buf, size_t buf_len, const uint8_t signer[PUBKEY_LEN],
    const void *text, size_t len);

/* Ed25519 by libsodium: refuses small-order keys, s not below L, points not in canonical form. */
bool offchain_signature_is_good(const uint8_t signature[SIGNATURE_LEN],
    const uint8_t signer[PUBKEY_LEN], const void *buf, size_t len);
/* Did the signer sign the text in any of the forms above? At most OFFCHAIN_FORMS verifications. */
bool offchain_is_signed(const uint8_t signature[SIGNATURE_LEN], const uint8_t signer[PUBKEY_LEN],
    const void *text, size_t len);

#endif
