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
    const struct nonce_record *record, const struct auth_verify_req *req, struct error *err)
{
	uint8_t wallet[PUBKEY_LEN];
	/* the text of a key is unique, so comparing text compares keys */
	if (strcmp(record->wallet, req->wallet) != 0)
		return mismatch(err, "the challenge was for another wallet");
	if (pubkey_parse(req->wallet, wallet) != 0 || !pubkey_is_on_curve(wallet))
		return mismatch(err, "the wallet is not a public key that can sign");

	const uint8_t *bytes = req->signed_message.data;
	size_t len = req->signed_message.len, text_len = strlen(record->text);
	bool is_good;
	if (len == 0)
		is_good = offchain_is_signed(req->signature.data, wallet, record->text, text_len);
	else if (is_text_itself(record, bytes, len) ||
		 offchain_holds(bytes, len, wallet, record->text, text_len))
		is_good = offchain_signature_is_good(req->signature.data, wallet, bytes, len);
	else
		return mismatch(err, "the signed bytes are not the text that was issued");
	if (!is_good)
		return error_refuse(
		    err, ERR_UNAUTHENTICATED, "signature_invalid", "the wallet did not sign this");
	return 0;
}
