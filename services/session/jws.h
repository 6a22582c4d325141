/* jws - JSON Web Signature in compact form, HS256 and nothing else (RFC 7515, RFC 7518 3.2). What is decoded has been authenticated before:
 * the encoded header is compared with the one the key signs with, the MAC is checked over the raw bytes, and only then is anything read.
 * So there is no algorithm to choose, no critical extension to understand, no second spelling of a good token.
 */
#ifndef SESSION_JWS_H
#define SESSION_JWS_H

#include "common/secret.h"

#define JWS_MAX 2048 /* characters of a token; longer ones are refused unread */
#define JWS_HEADER_MAX 128
#define JWS_PAYLOAD_MAX 1400

struct jws { /* a token's three parts; they point into it */
	const char *header, *payload, *mac;
	size_t header_len, payload_len, mac_len;
};

/* base64url without padding. text holds at least len * 4 / 3 + 2 bytes. Returns the text's length. */
size_t jws_encode(const void *bytes, size_t len, char *text, size_t size);
/* Exactly three parts, none empty, JWS_MAX at most. text is borrowed. Returns 0 or -1. */
int jws_split(const char *text, struct jws *jws_r);
/* The encoded header, byte by byte. */
bool jws_header_is(const struct jws *jws, const char *header);
/* Checks the MAC (constant time), then decodes the payload: canonical base64url only. Returns 0 or -1. */
int jws_open(const struct jws *jws, const struct secret *key, uint8_t payload_r[JWS_PAYLOAD_MAX],
    size_t *len_r);
/* Writes header.payload.mac. Returns 0, or -1 if it does not fit. */
int jws_sign(const struct secret *key, const char *header, const void *payload, size_t len,
    char text[JWS_MAX + 1]);

#endif
