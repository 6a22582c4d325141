/* fields - bytes as the API's texts write them: keys and signatures in base58, everything else in base64 with padding. Refusals name the field. */
#ifndef ROUTER_FIELDS_H
#define ROUTER_FIELDS_H

#include "common/base58.h"
#include "common/error.h"

/* A text that holds this many bytes in base64, and its NUL. */
#define FIELDS_BASE64_SIZE(bytes) (((bytes) + 2) / 3 * 4 + 1)

/* 32 bytes in base58? ERR_INVALID with this reason, which begins with the field's name. */
int fields_key(const char *text, const char *reason, struct error *err);
/* An X25519 key that an answer is to be sealed to: 32 bytes in base58, as the signed text names it, or in base64, whose padding tells them apart.
 * ERR_INVALID recipient_invalid. */
int fields_recipient(const char *text, uint8_t key[PUBKEY_LEN], struct error *err);
/* ERR_INVALID body_invalid. */
int fields_signature(const char *text, uint8_t signature[SIGNATURE_LEN], struct error *err);
int fields_base64(const char *name, const char *text, uint8_t *bytes, size_t size, size_t *len_r,
    struct error *err);
/* A number in decimal, below 10^18, without sign and without zeros before it. */
bool fields_number(const char *text, uint64_t *number_r);

#endif
