/* signature - does what came back prove that the wallet signed the text we stored? */
#ifndef AUTH_SIGNATURE_H
#define AUTH_SIGNATURE_H

#include "common/error.h"
#include "services/auth/nonce.h"

/* What came back: from a request, borrowed. */
struct signed_text {
	const char *wallet;       /* base58 */
	const uint8_t *signature; /* SIGNATURE_LEN bytes */
	const uint8_t *bytes;     /* that were signed, if they were sent along */
	size_t len;
};

/* message_mismatch: another wallet than the challenge's, or other bytes than its text, bare or in an envelope that names the wallet;
 * signature_invalid: the right bytes, not signed by the wallet. Both UNAUTHENTICATED. */
int signature_check(
    const struct nonce_record *record, const struct signed_text *came, struct error *err);

#endif
