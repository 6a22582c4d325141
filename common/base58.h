/* base58 - Bitcoin alphabet, as Solana writes keys (32 bytes) and signatures (64 bytes). Strict: no other characters, no
 * white space. The text form of given bytes is unique, so comparing text and comparing bytes agree. */
#ifndef COMMON_BASE58_H
#define COMMON_BASE58_H

#include <stddef.h>
#include <stdint.h>

#define PUBKEY_LEN 32
#define PUBKEY_TEXT_MAX 44
#define SIGNATURE_LEN 64
#define SIGNATURE_TEXT_MAX 88

/* Encodes up to 128 bytes; text must hold base58_text_size(len) bytes. Returns the text's length. */
size_t base58_encode(const uint8_t *bytes, size_t len, char *text, size_t size);
/* Decodes text (NUL-terminated) into exactly len bytes (at most 128). Returns 0, or -1 if it is not that. */
int base58_decode(const char *text, uint8_t *bytes, size_t len);

static inline size_t base58_text_size(size_t len)
{
	return len * 138 / 100 + 2;
}
/* A key's text: 32..44 characters plus NUL. */
static inline char *pubkey_text(const uint8_t key[PUBKEY_LEN], char text[PUBKEY_TEXT_MAX + 1])
{
	base58_encode(key, PUBKEY_LEN, text, PUBKEY_TEXT_MAX + 1);
	return text;
}
static inline int pubkey_parse(const char *text, uint8_t key[PUBKEY_LEN])
{
	return base58_decode(text, key, PUBKEY_LEN);
}

#endif
