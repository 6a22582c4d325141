/* The session's JWT against everything RFC 8725 warns of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <string.h>

#include "common/clock.h"
#include "common/scoped.h"
#include "services/session/token.h"

#define ISS "https://claw.example:8443"
#define ASSET "6bHSMBYvDL1r8cNsdjmzjmAdyjbGSn8n5ydrdGRcKCVm"
#define WALLET "9hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu"
#define JTI "0123456789abcdef0123456789abcdef"
#define IAT 1767323045u
#define EXP 1767927845u /* IAT + 604800 */

static const char key_file[] = "old 1 1767323000 ZlVb8n2QmT5xwR0kJ7yPc4hGdEoLsA9iUfXqN1vB3ts=\n"
			       "k1 1 4000000000 rQ0o1yq1uVtW0bq1Yz3mW2o0m8V4t1m5yQ2x7l9zGkA=\n"
			       "k2 100 4000000000 0c5n3pYw9tJ3c0k7oZb2f1xk6a8sPqLr4uDvWgHhXyE=\n";
static struct keys *keys;
static const struct token_claims claims = {
    .asset = ASSET, .wallet = WALLET, 
    .jti = JTI, .aud = TOKEN_AUD, .slot = 250000000, .iat_s = IAT, .exp_s = EXP};

static int open_keys(void **state)
{
	(void)state;
	struct error err;
	keys = keys_parse(key_file, sizeof(key_file) - 1, &err);
	return keys ? 0 : -1;
}

static int close_keys(void **state)
{
	(void)state;
	keys_destroy(&keys);
	return 0;
}

static void compose(const struct token_claims *what, char text[JWS_MAX + 1])
{
	struct error err;
	assert_int_equal(token_compose(keys_signer(keys, IAT), ISS, what, text, &err), 0);
}

/* "" if accepted, else the reason. */
static const char *reason(const char *text, uint64_t now_s)
{
	static struct error err;
	struct token_claims parsed;
	err = (struct error){0};
	return token_parse(keys, ISS, text, now_s, &parsed, &err) == 0 ? "" : err.reason;
}

/* A token with this header and payload, signed well by key k2. */
static const char *forge(const char *header, const char *payload)
{
	static char text[JWS_MAX + 1];
	char encoded[JWS_MAX];
	jws_encode(header, strlen(header), encoded, sizeof(encoded));
	assert_int_equal(jws_sign(keys->key[2].secret, encoded, payload, strlen(payload), text), 0);
	return text;
}

#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"k2\"}"
#define CLAIMS_FROM(iss, aud, sub, iat, exp, jti, wallet, slot) \
	"{\"iss\":" iss ",\"aud\":" aud ",\"sub\":" sub ",\"iat\":" iat ",\"exp\":" exp \
	",\"jti\":" jti ",\"wallet\":" wallet ",\"slot\":" slot "}"
#define Q(text) "\"" text "\""
#define GOOD_CLAIMS \
	CLAIMS_FROM(Q(ISS), Q("console"), Q(ASSET), "1767323045", "1767927845", Q(JTI), Q(WALLET), \
	    "250000000")

static void what_it_composes_it_accepts(void **state)
{
	(void)state;
	char text[JWS_MAX + 1];
	struct token_claims parsed;
	struct error err;
	compose(&claims, text);
	assert_int_equal(token_parse(keys, ISS, text, IAT, &parsed, &err), 0);
	assert_string_equal(parsed.asset, ASSET);
	assert_string_equal(parsed.wallet, WALLET);
	assert_string_equal(parsed.jti, JTI);
	assert_int_equal(parsed.slot, 250000000);
	assert_int_equal(parsed.iat_s, IAT);
	assert_int_equal(parsed.exp_s, EXP);
	assert_string_equal(text, forge(HEADER, GOOD_CLAIMS));
}

static const char *const foreign_headers[] = {
    "{\"alg\":\"none\",\"typ\":\"JWT\",\"kid\":\"k2\"}",
    "{\"alg\":\"None\",\"typ\":\"JWT\",\"kid\":\"k2\"}",
    "{\"alg\":\"nOnE\",\"typ\":\"JWT\",\"kid\":\"k2\"}",
    "{\"alg\":\"\",\"typ\":\"JWT\",\"kid\":\"k2\"}",
    "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"k2\"}",
    "{\"alg\":\"HS384\",\"typ\":\"JWT\",\"kid\":\"k2\"}",
    "{\"alg\":\"hs256\",\"typ\":\"JWT\",\"kid\":\"k2\"}",
    "{\"alg\":[\"HS256\"],\"typ\":\"JWT\",\"kid\":\"k2\"}",
    "{\"alg\":\"none\",\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"k2\"}",
    "{\"alg\":\"HS256\",\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"k2\"}",
    "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"k1\",\"kid\":\"k2\"}",
    "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"k1\"}",
    "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"old\"}",
    "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"other\"}",
    "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"../../dev/null\"}",
    "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":2}",
    "{\"alg\":\"HS256\",\"typ\":\"JWT\"}",
    "{\"alg\":\"HS256\",\"kid\":\"k2\"}",
    "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"k2\"}",
    "{\"alg\":\"HS256\",\"typ\":\"jwt\",\"kid\":\"k2\"}",
    "{\"typ\":\"JWT\",\"alg\":\"HS256\",\"kid\":\"k2\"}",
    "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"k2\",\"crit\":[\"exp\"]}",
    "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"k2\",\"b64\":false,\"crit\":[\"b64\"]}",
    "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"k2\",\"jku\":\"https://evil.example/k\"}",
    "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"k2\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"}}",
    "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"k2\",\"x5u\":\"https://evil.example/c\"}",
    "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"k2\",\"zip\":\"DEF\"}",
    "{ \"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"k2\"}",
    "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"k2\"} ",
    "{}",
    "null",
};

static void refuses_every_other_header_though_well_signed(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(foreign_headers); i++) {
		if (strcmp(reason(forge(foreign_headers[i], GOOD_CLAIMS), IAT),
			"session_invalid") != 0)
			fail_msg("accepted %s", foreign_headers[i]);
	}
	assert_string_equal(reason(forge(HEADER, GOOD_CLAIMS), IAT), "");
}

#define VARY(what, iss, aud, sub, iat, exp, jti, wallet, slot) \
	{what, CLAIMS_FROM(iss, aud, sub, iat, exp, jti, wallet, slot)},
static const struct {
	const char *name, *claims;
} bad_claims[] = {
    VARY("iss with a path", Q(ISS "/"), Q("console"), Q(ASSET), "1767323045", "1767927845", Q(JTI),
	Q(WALLET), "1") VARY("iss of http", Q("http://claw.example:8443"), Q("console"), Q(ASSET),
	"1767323045", "1767927845", Q(JTI), Q(WALLET), "1") VARY("iss a list", "[" Q(ISS) "]",
	Q("console"), Q(ASSET), "1767323045", "1767927845", Q(JTI), Q(WALLET),
	"1") VARY("aud of an agent", Q(ISS), Q("agent:abc"), Q(ASSET), "1767323045", "1767927845",
	Q(JTI), Q(WALLET), "1") VARY("aud a list", Q(ISS), "[" Q("console") "]", Q(ASSET),
	"1767323045", "1767927845", Q(JTI), Q(WALLET), "1") VARY("aud with a NUL", Q(ISS),
	Q("console\\u0000"), Q(ASSET), "1767323045", "1767927845", Q(JTI), Q(WALLET),
	"1") VARY("sub no address", Q(ISS), Q("console"), Q("O0Il"), "1767323045", "1767927845",
	Q(JTI), Q(WALLET), "1") VARY("sub of 31 bytes", Q(ISS), Q("console"),
	Q("1111111111111111111111111111111"), "1767323045", "1767927845", Q(JTI), Q(WALLET),
	"1") VARY("sub empty", Q(ISS), Q("console"), Q(""), "1767323045", "1767927845", Q(JTI),
	Q(WALLET), "1") VARY("sub with a tail", Q(ISS), Q("console"), Q(ASSET " "), "1767323045",
	"1767927845", Q(JTI), Q(WALLET), "1") VARY("wallet no address", Q(ISS), Q("console"),
	Q(ASSET), "1767323045", "1767927845", Q(JTI), Q("x"), "1") VARY("wallet null", Q(ISS),
	Q("console"), Q(ASSET), "1767323045", "1767927845", Q(JTI), "null", "1") VARY("jti short",
	Q(ISS), Q("console"), Q(ASSET), "1767323045", "1767927845", Q("0123"), Q(WALLET),
	"1") VARY("jti upper case", Q(ISS), Q("console"), Q(ASSET), "1767323045", "1767927845",
	Q("0123456789ABCDEF0123456789ABCDEF"), Q(WALLET), "1") VARY("jti long", Q(ISS),
	Q("console"), Q(ASSET), "1767323045", "1767927845", Q(JTI "0"), Q(WALLET),
	"1") VARY("iat a text", Q(ISS), Q("console"), Q(ASSET), Q("1767323045"), "1767927845",
	Q(JTI), Q(WALLET), "1") VARY("iat a fraction", Q(ISS), Q("console"), Q(ASSET),
	"1767323045.5", "1767927845", Q(JTI), Q(WALLET), "1") VARY("iat an exponent", Q(ISS),
	Q("console"), Q(ASSET), "1767323045e0", "1767927845", Q(JTI), Q(WALLET),
	"1") VARY("iat negative", Q(ISS), Q("console"), Q(ASSET), "-1", "604799", Q(JTI), Q(WALLET),
	"1") VARY("exp a second late", Q(ISS), Q("console"), Q(ASSET), "1767323045", "1767927846",
	Q(JTI), Q(WALLET), "1") VARY("exp a second early", Q(ISS), Q("console"), Q(ASSET),
	"1767323045", "1767927844", Q(JTI), Q(WALLET), "1") VARY("exp zero", Q(ISS), Q("console"),
	Q(ASSET), "0", "0", Q(JTI), Q(WALLET), "1") VARY("exp that wraps", Q(ISS), Q("console"),
	Q(ASSET), "1767323045", "18446744073709551615", Q(JTI), Q(WALLET), "1")
	VARY("slot negative", Q(ISS), Q("console"), Q(ASSET), "1767323045", "1767927845", Q(JTI),
	    Q(WALLET), "-1") VARY("slot beyond 2^53", Q(ISS), Q("console"), Q(ASSET), "1767323045",
	    "1767927845", Q(JTI), Q(WALLET), "9007199254740992") VARY("slot u64 max", Q(ISS),
	    Q("console"), Q(ASSET), "1767323045", "1767927845", Q(JTI), Q(WALLET),
	    "18446744073709551615") VARY("slot true", Q(ISS), Q("console"), Q(ASSET), "1767323045",
	    "1767927845", Q(JTI), Q(WALLET), "true") VARY("a ninth claim", Q(ISS), Q("console"),
	    Q(ASSET), "1767323045", "1767927845", Q(JTI), Q(WALLET), "1,\"admin\":true")
	    VARY("a claim twice", Q(ISS), Q("console"), Q(ASSET), "1767323045", "1767927845",
		Q(JTI), Q(WALLET), "1,\"sub\":\"" ASSET "\"") VARY("an escaped claim twice", Q(ISS),
		Q("console"), Q(ASSET), "1767323045", "1767927845", Q(JTI), Q(WALLET),
		"1,\"su\\u0062\":\"" ASSET "\""){"no claims", "{}"},
    {"a list", "[]"},
    {"not JSON", "session"},
    {"JSON twice", "{}{}"},
    {"unfinished", "{\"iss\":"},
};

static void refuses_every_other_claim_though_well_signed(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_claims); i++) {
		if (strcmp(reason(forge(HEADER, bad_claims[i].claims), IAT), "session_invalid") !=
		    0)
			fail_msg("accepted: %s", bad_claims[i].name);
	}
}

static void refuses_another_number_of_parts(void **state)
{
	(void)state;
	char good[JWS_MAX + 1], text[2 * JWS_MAX];
	compose(&claims, good);
	const char *payload = strchr(good, '.') + 1, *mac = strchr(payload, '.') + 1;
	snprintf(text, sizeof(text), "%.*s", (int)(mac - 1 - good), good);
	assert_string_equal(reason(text, IAT), "session_invalid");
	snprintf(text, sizeof(text), "%.*s", (int)(mac - good), good);
	assert_string_equal(reason(text, IAT), "session_invalid");
	snprintf(text, sizeof(text), "%s.", good);
	assert_string_equal(reason(text, IAT), "session_invalid");
	snprintf(text, sizeof(text), "%s.%s", good, payload);
	assert_string_equal(reason(text, IAT), "session_invalid");
	snprintf(text, sizeof(text), " %s", good);
	assert_string_equal(reason(text, IAT), "session_invalid");
	snprintf(text, sizeof(text), "Bearer %s", good);
	assert_string_equal(reason(text, IAT), "session_invalid");
}

static void refuses_base64url_in_another_spelling(void **state)
{
	(void)state;
	char good[JWS_MAX + 1], text[JWS_MAX + 8];
	compose(&claims, good);
	snprintf(text, sizeof(text), "%s=", good);
	assert_string_equal(reason(text, IAT), "session_invalid");
	snprintf(text, sizeof(text), "%s\n", good);
	assert_string_equal(reason(text, IAT), "session_invalid");
	/* 32 bytes are 43 characters; the last one has two bits that say nothing and must be zero */
	static const char alphabet[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	size_t last = strlen(good) - 1;
	size_t value = (size_t)(strchr(alphabet, good[last]) - alphabet);
	assert_int_equal(value % 4, 0);
	for (size_t bits = 1; bits < 4; bits++) {
		snprintf(text, sizeof(text), "%s", good);
		text[last] = alphabet[value + bits];
		assert_string_equal(reason(text, IAT), "session_invalid");
	}
}

static void refuses_it_cut_anywhere_and_changed_anywhere(void **state)
{
	(void)state;
	char good[JWS_MAX + 1], text[JWS_MAX + 1];
	compose(&claims, good);
	size_t len = strlen(good);
	for (size_t i = 0; i < len; i++) {
		snprintf(text, sizeof(text), "%.*s", (int)i, good);
		assert_string_equal(reason(text, IAT), "session_invalid");
		for (unsigned bit = 0; bit < 8; bit++) {
			snprintf(text, sizeof(text), "%s", good);
			text[i] = (char)(text[i] ^ (1 << bit));
			assert_string_equal(reason(text, IAT), "session_invalid");
		}
	}
	assert_string_equal(reason(good, IAT), "");
}

static void times_are_judged_to_the_second(void **state)
{
	(void)state;
	char text[JWS_MAX + 1];
	compose(&claims, text);
	assert_string_equal(reason(text, EXP - 1), "");
	assert_string_equal(reason(text, EXP), "session_expired");
	assert_string_equal(reason(text, IAT - CLOCK_SKEW_S), "");
	assert_string_equal(reason(text, IAT - CLOCK_SKEW_S - 1), "session_invalid");
}

static void a_retired_key_verifies_nothing(void **state)
{
	(void)state;
	char text[JWS_MAX + 1];
	struct error err;
	assert_int_equal(token_compose(&keys->key[0], ISS, &claims, text, &err), 0);
	assert_string_equal(reason(text, IAT), "session_invalid");
	assert_int_equal(token_compose(&keys->key[1], ISS, &claims, text, &err), 0);
	assert_string_equal(reason(text, IAT), "");
}

static void a_megabyte_is_refused_unread(void **state)
{
	(void)state;
	size_t len = 1 << 20;
	scoped_free char *text = malloc(len + 1);
	memset(text, 'a', len);
	text[len] = '\0';
	uint64_t began = clock_boot_us();
	for (int i = 0; i < 1000; i++)
		assert_string_equal(reason(text, IAT), "session_invalid");
	assert_true(clock_boot_us() - began < 1000 * 1000);
}

static void refuses_to_compose_what_is_too_long(void **state)
{
	(void)state;
	char iss[JWS_MAX], text[JWS_MAX + 1];
	memset(iss, 'x', sizeof(iss) - 1);
	iss[sizeof(iss) - 1] = '\0';
	struct error err = {0};
	assert_int_equal(token_compose(keys_signer(keys, IAT), iss, &claims, text, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_it_composes_it_accepts),
	    cmocka_unit_test(refuses_every_other_header_though_well_signed),
	    cmocka_unit_test(refuses_every_other_claim_though_well_signed),
	    cmocka_unit_test(refuses_another_number_of_parts),
	    cmocka_unit_test(refuses_base64url_in_another_spelling),
	    cmocka_unit_test(refuses_it_cut_anywhere_and_changed_anywhere),
	    cmocka_unit_test(times_are_judged_to_the_second),
	    cmocka_unit_test(a_retired_key_verifies_nothing),
	    cmocka_unit_test(a_megabyte_is_refused_unread),
	    cmocka_unit_test(refuses_to_compose_what_is_too_long),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, open_keys, close_keys);
}
