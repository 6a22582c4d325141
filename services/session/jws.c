#include "services/session/jws.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define MAC_LEN crypto_auth_hmacsha256_BYTES
#define VARIANT sodium_base64_VARIANT_URLSAFE_NO_PADDING

static void compute_mac(
    const struct secret *key, const char *text, size_t len, uint8_t mac_r[MAC_LEN])
{
	crypto_auth_hmacsha256_state state;
	crypto_auth_hmacsha256_init(&state, secret_bytes(key), secret_len(key));
	crypto_auth_hmacsha256_update(&state, (const uint8_t *)text, len);
	crypto_auth_hmacsha256_final(&state, mac_r);
	sodium_memzero(&state, sizeof(state));
}

size_t jws_encode(const void *bytes, size_t len, char *text, size_t size)
{
	bug_if(size < sodium_base64_encoded_len(len, VARIANT));
	sodium_bin2base64(text, size, bytes, len, VARIANT);
	return strlen(text);
}

/* libsodium refuses padding, other alphabets, unused bits that are not zero, and white space. */
static int decode(const char *text, size_t len, uint8_t *bytes_r, size_t size, size_t *len_r)
{
	return sodium_base642bin(bytes_r, size, text, len, NULL, len_r, NULL, VARIANT);
}

int jws_split(const char *text, struct jws *jws_r)
{
	size_t len = strnlen(text, JWS_MAX + 1);
	if (len > JWS_MAX)
		return -1;
	const char *first = memchr(text, '.', len);
	const char *second = first ? strchr(first + 1, '.') : NULL;
	if (!second || strchr(second + 1, '.'))
		return -1;
	*jws_r = (struct jws){
	    .header = text,
	    .header_len = (size_t)(first - text),
	    .payload = first + 1,
	    .payload_len = (size_t)(second - first - 1),
	    .mac = second + 1,
	    .mac_len = len - (size_t)(second + 1 - text),
	};
	return jws_r->header_len && jws_r->payload_len && jws_r->mac_len ? 0 : -1;
}

bool jws_header_is(const struct jws *jws, const char *header)
{
	return strlen(header) == jws->header_len &&
	       memcmp(jws->header, header, jws->header_len) == 0;
}

int jws_open(const struct jws *jws, const struct secret *key, uint8_t payload_r[JWS_PAYLOAD_MAX],
    size_t *len_r)
{
	uint8_t given[MAC_LEN], expected[MAC_LEN];
	size_t given_len;
	if (decode(jws->mac, jws->mac_len, given, sizeof(given), &given_len) != 0 ||
	    given_len != sizeof(given))
		return -1;
	compute_mac(key, jws->header, jws->header_len + 1 + jws->payload_len, expected);
	if (crypto_verify_32(given, expected) != 0)
		return -1;
	return decode(jws->payload, jws->payload_len, payload_r, JWS_PAYLOAD_MAX, len_r) == 0 ? 0
											      : -1;
}

int jws_sign(const struct secret *key, const char *header, const void *payload, size_t len,
    char text[JWS_MAX + 1])
{
	size_t at = strlen(header);
	size_t mac_text = sodium_base64_encoded_len(MAC_LEN, VARIANT);
	if (len > JWS_PAYLOAD_MAX ||
	    at + 1 + sodium_base64_encoded_len(len, VARIANT) + mac_text > JWS_MAX + 1)
		return -1;
	memcpy(text, header, at);
	text[at++] = '.';
	at += jws_encode(payload, len, text + at, JWS_MAX + 1 - at);
	uint8_t mac[MAC_LEN];
	compute_mac(key, text, at, mac);
	text[at++] = '.';
	jws_encode(mac, sizeof(mac), text + at, JWS_MAX + 1 - at);
	return 0;
}
