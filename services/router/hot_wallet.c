#include "services/router/hot_wallet.h"

#include <sodium.h>
#include <string.h>

#include "common/codec.h"
#include "proto/auth.h"
#include "services/router/fields.h"
#include "services/router/signin.h"
#include "services/router/vaults.h"

#define RECIPIENT_TEXT_SIZE FIELDS_BASE64_SIZE(PUBKEY_LEN) /* base58 is no longer */
#define SECRET_LEN 64 /* Ed25519 seed and public key, as Solana's tools write it */

static void on_show(void *arg, const void *rsp, const struct error *err)
{
	struct api_call *call = arg;
	const struct vault_hot_rsp *hot = rsp;
	if (err)
		api_refuse(call, err);
	else if (!hot->address[0])
		api_refuse_named(call, "not_found");
	else
		api_reply(call, 200,
		    json_pack("{s:s, s:o}", "address", hot->address, "created_at",
			api_time(hot->created_ms)));
}

void hot_wallet_show(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	vaults_ask(call, &vault_hot_call, &(struct vault_hot_req){0}, VAULTS_MS, on_show);
}

/* Only one that is left out is none: a client that meant to have the answer sealed must not get it open. */
static int read_recipient(const struct api_call *call, const char *text,
    uint8_t recipient[PUBKEY_LEN], size_t *len_r, struct error *err)
{
	if (!json_object_get(call->body, "recipient"))
		return 0;
	*len_r = PUBKEY_LEN;
	return fields_recipient(text, recipient, err);
}

void hot_wallet_challenge(struct api_call *call, const struct session_check_rsp *session)
{
	struct auth_challenge_req req = {.act = "hot_wallet"};
	struct error err;
	char recipient[RECIPIENT_TEXT_SIZE] = "";
	const struct api_field field = {"recipient", recipient, sizeof(recipient), true};
	if (api_fields(call, &field, 1, &err) != 0 ||
	    read_recipient(call, recipient, req.recipient.data, &req.recipient.len, &err) != 0) {
		api_refuse(call, &err);
		return;
	}
	memcpy(req.wallet, session->wallet, sizeof(req.wallet));
	memcpy(req.asset, session->asset, sizeof(req.asset));
	signin_ask(call, &req);
}

/* Exactly one of the two is there: the key, or the key sealed to whom it is for. */
static json_t *made_json(const struct vault_generate_rsp *made)
{
	char secret[SIGNATURE_TEXT_MAX + 1], sealed[FIELDS_BASE64_SIZE(sizeof(made->sealed.data))];
	const char *name = "sealed_secret_key", *text = sealed;
	if (made->secret.len == SECRET_LEN) {
		base58_encode(made->secret.data, SECRET_LEN, secret, sizeof(secret));
		name = "secret_key";
		text = secret;
	} else {
		sodium_bin2base64(sealed, sizeof(sealed), made->sealed.data, made->sealed.len,
		    sodium_base64_VARIANT_ORIGINAL);
	}
	json_t *json = json_pack("{s:s, s:s}", "address", made->address, name, text);
	sodium_memzero(secret, sizeof(secret));
	return json;
}

static void on_make(void *arg, const void *rsp, const struct error *err)
{
	struct api_call *call = arg;
	if (err)
		api_refuse(call, err);
	else
		api_reply(call, 201, made_json(rsp));
}

static int read_make(const struct api_call *call, struct vault_generate_req *req, struct error *err)
{
	char signature[SIGNATURE_TEXT_MAX + 1] = "", recipient[RECIPIENT_TEXT_SIZE] = "";
	char message[FIELDS_BASE64_SIZE(sizeof(req->signed_message.data))] = "";
	const struct api_field fields[] = {
	    {"nonce", req->nonce, sizeof(req->nonce), false},
	    {"signature", signature, sizeof(signature), false},
	    {"signed_message", message, sizeof(message), true},
	    {"recipient", recipient, sizeof(recipient), true},
	};
	if (api_fields(call, fields, ARRAY_LEN(fields), err) != 0 ||
	    fields_signature(signature, req->signature.data, err) != 0 ||
	    fields_base64("signed_message", message, req->signed_message.data,
		sizeof(req->signed_message.data), &req->signed_message.len, err) != 0 ||
	    read_recipient(call, recipient, req->recipient.data, &req->recipient.len, err) != 0)
		return -1;
	req->signature.len = SIGNATURE_LEN;
	memcpy(req->ip, call->ip, sizeof(req->ip));
	if (req->nonce[0] == '\0')
		return error_refuse(err, ERR_UNAUTHENTICATED, "nonce_unknown", "no nonce");
	return 0;
}

void hot_wallet_make(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	struct vault_generate_req req = {0};
	struct error err;
	if (read_make(call, &req, &err) != 0)
		api_refuse(call, &err);
	else
		vaults_ask(call, &vault_generate_call, &req, VAULTS_GENERATE_MS, on_make);
}
