#include "services/auth/nonce.h"

#include <sodium.h>
#include <string.h>

PROTO_DEFINE_MESSAGE(nonce_record, "stored challenge", nonce_record_FIELDS)

void nonce_new(char nonce[NONCE_LEN + 1])
{
	uint8_t bytes[NONCE_LEN / 2];
	randombytes_buf(bytes, sizeof(bytes));
	sodium_bin2hex(nonce, NONCE_LEN + 1, bytes, sizeof(bytes));
}

bool nonce_is_valid(const char *nonce)
{
	return strspn(nonce, "0123456789abcdef") == NONCE_LEN && nonce[NONCE_LEN] == '\0';
}

int nonce_encode(const struct nonce_record *record, msgpack_sbuffer *buf, struct error *err)
{
	return codec_encode(&nonce_record_message, record, buf, err);
}

int nonce_decode(const void *bytes, size_t len, struct nonce_record *record_r, struct error *err)
{
	struct wire wire;
	wire_init(&wire, bytes, len);
	if (codec_decode(&nonce_record_message, &wire, record_r, err) != 0)
		return -1;
	if (!wire_at_end(&wire))
		return error_set(err, ERR_INVALID, "stored challenge: something follows it");
	return 0;
}
