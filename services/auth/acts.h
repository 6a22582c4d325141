/* acts - what a wallet can be asked to sign for instead of signing in (security rule 33): a closed table from names to sentences. */
#ifndef AUTH_ACTS_H
#define AUTH_ACTS_H

#include "common/base58.h"
#include "common/error.h"
#include "common/role.h"
#include "services/auth/siws.h"

#define RECIPIENT_LEN 32 /* X25519 */

/* Whom and what the sentence names. */
struct act_for {
	const char *act, *asset, *ip;
	const uint8_t *recipient; /* whom the answer is sealed to; NULL: nobody */
};

/* The sentence that the wallet shows. ERR_INVALID: act_unknown, or recipient_invalid for a key that anybody can open. */
int act_statement(
    const struct act_for *act, char statement[SIWS_STATEMENT_MAX + 1], struct error *err);
/* Each act is one service's: another that was taken over uses up none of its nonces. True of an act that nobody knows. */
bool act_is_confirmed_by(const char *act, unsigned roles);

#endif
