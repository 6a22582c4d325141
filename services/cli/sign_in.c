#include "services/cli/sign_in.h"

#include <stdio.h>
#include <string.h>

#include "common/scoped.h"
#include "services/cli/signed_text.h"

int sign_in_check(const char *url, const char *wallet, const char *message, struct error *err)
{
	const struct signed_text expected = {
	    .url = url, .wallet = wallet, .statement = SIGNED_TEXT_SIGN_IN, .what = "a sign-in"};

	return signed_text_check(&expected, message, err);
}

/* answer of any status but 200 is an error */
static int post(const struct sign_in *how, const char *path, const json_t *body, const char *token,
    struct web_answer *answer_r, struct error *err)
{
	scoped_free char *text = json_dumps(body, 0);
	char full[1024];

	snprintf(full, sizeof(full), "%s%s", how->url, path);
	if (web_ask(
		&(struct web_question){
		    .method = "POST",
		    .url = full,
		    .body = text,
		    .cookie = WEB_COOKIE,
		    .token = token,
		    .loop = how->loop,
		},
		answer_r, err) < 0)
		return -1;
	return answer_r->status == 200 ? 0 : web_problem(answer_r, err);
}

static int check_chain(const struct sign_in *how, const char *message, struct error *err)
{
	char line[64];

	if (!how->chain)
		return 0;
	snprintf(line, sizeof(line), "\nChain ID: %s\n", how->chain);
	if (strstr(message, line))
		return 0;
	return error_set(
	    err, ERR_DENIED, "%s does not stand on the chain '%s'", how->url, how->chain);
}

static int challenge(
    const struct sign_in *how, const char *wallet, struct web_answer *answer, struct error *err)
{
	scoped_json json_t *body = json_pack("{ss}", "wallet", wallet);

	if (how->asset)
		json_object_set_new(body, "asset", json_string(how->asset));
	if (post(how, "/v1/auth/challenge", body, NULL, answer, err) < 0)
		return -1;
	const char *message = web_text(answer->json, "message");
	if (sign_in_check(how->url, wallet, message, err) < 0)
		return -1;
	return check_chain(how, message, err);
}

static int verify(const struct sign_in *how, const char *wallet, const json_t *issued,
    struct web_answer *answer, struct error *err)
{
	char signature_text[SIGNATURE_TEXT_MAX + 2];
	uint8_t signature[SIGNATURE_LEN];
	const char *message = web_text(issued, "message");

	keypair_sign(how->keypair, message, strlen(message), signature);
	base58_encode(signature, sizeof(signature), signature_text, sizeof(signature_text));
	scoped_json json_t *body = json_pack("{ssssss}", "nonce", web_text(issued, "nonce"),
	    "wallet", wallet, "signature", signature_text);
	return post(how, "/v1/auth/verify", body, how->old, answer, err);
}

int sign_in(const struct sign_in *how, struct web_answer *answer_r, struct error *err)
{
	scoped_answer struct web_answer issued = {0};
	char wallet[PUBKEY_TEXT_MAX + 1];

	memset(answer_r, 0, sizeof(*answer_r));
	pubkey_text(how->keypair->public_key, wallet);
	if (challenge(how, wallet, &issued, err) < 0)
		return -1;
	return verify(how, wallet, issued.json, answer_r, err);
}
