#include "services/router/fields.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

int fields_key(const char *text, const char *reason, struct error *err)
{
	uint8_t key[PUBKEY_LEN];
	if (pubkey_parse(text, key) == 0)
		return 0;
	return error_refuse(err, ERR_INVALID, reason, "%.*s is not 32 bytes in base58",
	    (int)strcspn(reason, "_"), reason);
}

int fields_recipient(const char *text, uint8_t key[PUBKEY_LEN], struct error *err)
{
	size_t len;
	if (pubkey_parse(text, key) == 0)
		return 0;
	if (sodium_base642bin(key, PUBKEY_LEN, text, strlen(text), NULL, &len, NULL,
		sodium_base64_VARIANT_ORIGINAL) == 0 &&
	    len == PUBKEY_LEN)
		return 0;
	return error_refuse(
	    err, ERR_INVALID, "recipient_invalid", "recipient is not 32 bytes in base58 or base64");
}

int fields_signature(const char *text, uint8_t signature[SIGNATURE_LEN], struct error *err)
{
	if (base58_decode(text, signature, SIGNATURE_LEN) == 0)
		return 0;
	return error_refuse(
	    err, ERR_INVALID, "body_invalid", "signature is not 64 bytes in base58");
}

int fields_base64(const char *name, const char *text, uint8_t *bytes, size_t size, size_t *len_r,
    struct error *err)
{
	if (sodium_base642bin(bytes, size, text, strlen(text), NULL, len_r, NULL,
		sodium_base64_VARIANT_ORIGINAL) == 0)
		return 0;
	return error_refuse(
	    err, ERR_INVALID, "body_invalid", "%s is not base64 of at most %zu bytes", name, size);
}

bool fields_number(const char *text, uint64_t *number_r)
{
	size_t len = strspn(text, "0123456789");
	if (len == 0 || len > 18 || text[len] != '\0' || (text[0] == '0' && len > 1))
		return false;
	*number_r = strtoull(text, NULL, 10);
	return true;
}
