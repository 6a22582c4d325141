#include "services/auth/signature.h"

#include <string.h>

#include "common/pubkey.h"
#include "services/auth/offchain.h"

static int mismatch(struct error *err, const char *why)
{
	return error_refuse(err, ERR_UNAUTHENTICATED, "message_mismatch", "%s", why);
}

static bool is_text_itself(const struct nonce_record *record, const uint8_t *bytes, size_t len)
{
	return len == strlen(record->text) && memcmp(bytes, record->text, len) == 0;
}

int signature_check(
    const struct nonce_record *record, const struct signed_text *came, struct error *err)
{
	uint8_t wallet[PUBKEY_LEN];
	/* the text of a key is unique, so comparing text compares keys */
	if (strcmp(record->wallet, came->wallet) != 0)
		return mismatch(err, "the challenge was for another wallet");
	if (pubkey_parse(came->wallet, wallet) != 0 || !pubkey_is_on_curve(wallet))
		return mismatch(err, "the wallet is not a public key that can sign");

	const uint8_t *bytes = came->bytes;
	size_t len = came->len, text_len = strlen(record->text);
	bool is_good;
	if (len == 0)
		is_good = offchain_is_signed(came->signature, wallet, record->text, text_len);
	else if (is_text_itself(record, bytes, len) ||
		 offchain_holds(bytes, len, wallet, record->text, text_len))
		is_good = offchain_signature_is_good(came->signature, wallet, bytes, len);
	else
		return mismatch(err, "the signed bytes are not the text that was issued");
	if (!is_good)
		return error_refuse(
		    err, ERR_UNAUTHENTICATED, "signature_invalid", "the wallet did not sign this");
	return 0;
}
