#include "services/session/token.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "common/pubkey.h"
#include "common/scoped.h"

static int invalid(struct error *err, const char *why)
{
	return error_refuse(err, ERR_UNAUTHENTICATED, "session_invalid", "token: %s", why);
}

void token_new_jti(char jti_r[JTI_LEN + 1])
{
	uint8_t random[JTI_LEN / 2];
	randombytes_buf(random, sizeof(random));
	sodium_bin2hex(jti_r, JTI_LEN + 1, random, sizeof(random));
}

bool token_jti_is_valid(const char *jti)
{
	return strspn(jti, "0123456789abcdef") == JTI_LEN && jti[JTI_LEN] == '\0';
}

void token_agent_aud(const char *asset, char aud_r[TOKEN_AUD_MAX + 1])
{
	static const char prefix[] = "agent:";
	uint8_t key[PUBKEY_LEN];
	bug_if(pubkey_parse(asset, key) != 0);
	memcpy(aud_r, prefix, sizeof(prefix));
	agent_id(key, aud_r + strlen(prefix));
}

int token_compose(const struct signing_key *key, const char *iss, const struct token_claims *claims,
    char text[JWS_MAX + 1], struct error *err)
{
	char json[JWS_PAYLOAD_MAX];
	int len = snprintf(json, sizeof(json),
	    "{\"iss\":\"%s\",\"aud\":\"%s\",\"sub\":\"%s\",\"iat\":%" PRIu64 ",\"exp\":%" PRIu64
	    ",\"jti\":\"%s\",\"wallet\":\"%s\",\"slot\":%" PRIu64 "}",
	    iss, claims->aud, claims->asset, claims->iat_s, claims->exp_s, claims->jti,
	    claims->wallet, claims->slot);
	if (len < 0 || (size_t)len >= sizeof(json) ||
	    jws_sign(key->secret, key->header, json, (size_t)len, text) != 0)
		return error_set(err, ERR_INVALID, "the token would be longer than %d", JWS_MAX);
	return 0;
}

/* The member's text if it has at most max bytes, else "". */
static const char *text_of(const json_t *claims, const char *name, size_t max)
{
	const json_t *member = json_object_get(claims, name);
	return json_is_string(member) && json_string_length(member) <= max
		   ? json_string_value(member)
		   : "";
}

static int number_of(const json_t *claims, const char *name, uint64_t *number_r)
{
	const json_t *member = json_object_get(claims, name);
	if (!json_is_integer(member) || json_integer_value(member) < 0)
		return -1;
	*number_r = (uint64_t)json_integer_value(member);
	return 0;
}

static int read_key(const json_t *claims, const char *name, char text_r[PUBKEY_TEXT_MAX + 1])
{
	uint8_t key[PUBKEY_LEN];
	snprintf(text_r, PUBKEY_TEXT_MAX + 1, "%s", text_of(claims, name, PUBKEY_TEXT_MAX));
	return pubkey_parse(text_r, key);
}

/* Of the console, or of the subject's own agent: no other agent's origin takes it for its own. */
static int read_aud(const json_t *claims, struct token_claims *claims_r)
{
	char agent[TOKEN_AUD_MAX + 1];
	token_agent_aud(claims_r->asset, agent);
	snprintf(claims_r->aud, sizeof(claims_r->aud), "%s", text_of(claims, "aud", TOKEN_AUD_MAX));
	return strcmp(claims_r->aud, TOKEN_AUD) == 0 || strcmp(claims_r->aud, agent) == 0 ? 0 : -1;
}

/* An agent's session begins later than its parent and ends with it. */
static bool life_is_right(const struct token_claims *claims)
{
	uint64_t life_s = claims->exp_s - claims->iat_s;
	if (claims->exp_s < claims->iat_s)
		return false;
	return token_is_console(claims) ? life_s == SESSION_SECONDS : life_s <= SESSION_SECONDS;
}

int token_parse_claims(const uint8_t *payload, size_t len, const char *iss,
    struct token_claims *claims_r, struct error *err)
{
	scoped_json json_t *claims =
	    json_loadb((const char *)payload, len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(claims) || json_object_size(claims) != 8)
		return invalid(err, "the claims are not one JSON object of eight members");
	if (strcmp(text_of(claims, "iss", SIZE_MAX), iss) != 0)
		return invalid(err, "issued by somebody else");
	if (read_key(claims, "sub", claims_r->asset) != 0 ||
	    read_key(claims, "wallet", claims_r->wallet) != 0)
		return invalid(err, "sub or wallet is not an address");
	if (read_aud(claims, claims_r) != 0)
		return invalid(err, "for another audience");
	snprintf(claims_r->jti, sizeof(claims_r->jti), "%s", text_of(claims, "jti", JTI_LEN));
	if (!token_jti_is_valid(claims_r->jti))
		return invalid(err, "jti is not 128 bits in hex");
	if (number_of(claims, "iat", &claims_r->iat_s) != 0 ||
	    number_of(claims, "exp", &claims_r->exp_s) != 0 ||
	    number_of(claims, "slot", &claims_r->slot) != 0 || claims_r->slot > TOKEN_SLOT_MAX)
		return invalid(err, "iat, exp or slot is not a whole number");
	if (!life_is_right(claims_r))
		return invalid(err, "exp is not 7 days after iat");
	return 0;
}

int token_parse(const struct keys *keys, const char *iss, const char *text, uint64_t now_s,
    struct token_claims *claims_r, struct error *err)
{
	struct jws jws;
	if (jws_split(text, &jws) != 0)
		return invalid(err, "not three parts of base64url, or too long");
	const struct signing_key *key = keys_match(keys, &jws, now_s);
	if (!key)
		return invalid(err, "the header is not that of a key in use");
	uint8_t payload[JWS_PAYLOAD_MAX];
	size_t len;
	if (jws_open(&jws, key->secret, payload, &len) != 0)
		return invalid(err, "the signature is wrong");
	memcpy(claims_r->kid, key->kid, sizeof(claims_r->kid));
	if (token_parse_claims(payload, len, iss, claims_r, err) != 0)
		return -1;
	if (claims_r->iat_s > now_s + CLOCK_SKEW_S)
		return invalid(err, "issued in the future");
	if (now_s >= claims_r->exp_s)
		return error_refuse(
		    err, ERR_UNAUTHENTICATED, "session_expired", "the session is 7 days old");
	return 0;
}
