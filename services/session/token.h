/* token - the session's JWT. Header exactly {"alg":"HS256","typ":"JWT","kid":...}; claims exactly iss aud sub iat exp jti wallet slot:
 * iss is the public URL's origin, aud "console" or "agent:<id of the subject>", sub the asset, times in whole seconds. exp = iat + 604800; for an agent it is
 * its parent's. A token proves only that we made it; it is good while its record in the ledger is.
 */
#ifndef SESSION_TOKEN_H
#define SESSION_TOKEN_H

#include "common/ledger.h"
#include "services/session/keys.h"

#define TOKEN_AUD "console"
#define TOKEN_AUD_MAX 47
#define TOKEN_SLOT_MAX \
	9007199254740991u /* the largest integer that every JSON reader keeps (RFC 8259, 6) */

struct token_claims {
	char asset[PUBKEY_TEXT_MAX + 1], wallet[PUBKEY_TEXT_MAX + 1], jti[JTI_LEN + 1];
	char aud[TOKEN_AUD_MAX + 1];
	uint64_t slot, iat_s, exp_s;
	char kid[KID_MAX + 1]; /* of the key that signed it; read only */
};

/* The audience of an agent's own origin. asset: base58. */
void token_agent_aud(const char *asset, char aud_r[TOKEN_AUD_MAX + 1]);
static inline bool token_is_console(const struct token_claims *claims)
{
	return strcmp(claims->aud, TOKEN_AUD) == 0;
}
void token_new_jti(char jti_r[JTI_LEN + 1]);
bool token_jti_is_valid(const char *jti); /* 32 lower-case hex characters */
/* Writes the token. Fails with ERR_INVALID if it would be too long. */
int token_compose(const struct signing_key *key, const char *iss, const struct token_claims *claims,
    char text[JWS_MAX + 1], struct error *err);
/* ERR_UNAUTHENTICATED with session_expired if it was ours and good once, else with session_invalid. */
int token_parse(const struct keys *keys, const char *iss, const char *text, uint64_t now_s,
    struct token_claims *claims_r, struct error *err);
/* The claims of a payload whose MAC was good: everything but the time. session_invalid. */
int token_parse_claims(const uint8_t *payload, size_t len, const char *iss,
    struct token_claims *claims_r, struct error *err);

#endif
