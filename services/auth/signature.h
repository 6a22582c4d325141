/* signature - does what came back prove that the wallet signed the text we stored? */
#ifndef AUTH_SIGNATURE_H
#define AUTH_SIGNATURE_H

#include "proto/auth.h"
#include "services/auth/nonce.h"

/* message_mismatch: another wallet than the challenge's, or other bytes than its text, bare or in an envelope that names the wallet;
 * signature_invalid: the right bytes, not signed by the wallet. Both UNAUTHENTICATED. */
int signature_check(
    const struct nonce_record *record, const struct auth_verify_req *req, struct error *err);

#endif
