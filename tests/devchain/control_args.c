#include "tests/devchain/control_args.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

const char *arg_text(const struct control_call *call, const char *name)
{
	return json_string_value(json_object_get(call->params, name));
}

int arg_key(
    const struct control_call *call, const char *name, uint8_t key_r[PUBKEY_LEN], struct error *err)
{
	const char *text = arg_text(call, name);

	if (!text)
		return error_set(err, ERR_INVALID, "%s is missing", name);
	if (pubkey_parse(text, key_r) != 0)
		return error_set(err, ERR_INVALID, "%s is not a base58 key", name);
	return 0;
}

int arg_key_or_random(
    const struct control_call *call, const char *name, uint8_t key_r[PUBKEY_LEN], struct error *err)
{
	uint8_t secret[crypto_sign_SECRETKEYBYTES];

	if (arg_text(call, name))
		return arg_key(call, name, key_r, err);
	crypto_sign_keypair(key_r, secret);
	sodium_memzero(secret, sizeof(secret));
	return 0;
}

int arg_u64(const struct control_call *call, const char *name, uint64_t *value_r, struct error *err)
{
	const json_t *value = json_object_get(call->params, name);
	const char *text = json_string_value(value);
	char *end = NULL;

	if (!value || json_is_null(value))
		return 0;
	if (json_is_integer(value) && json_integer_value(value) >= 0) {
		*value_r = (uint64_t)json_integer_value(value);
		return 0;
	}
	errno = 0;
	if (text && text[0] >= '0' && text[0] <= '9')
		*value_r = strtoull(text, &end, 10);
	if (!end || *end || errno)
		return error_set(err, ERR_INVALID, "%s is not a number", name);
	return 0;
}

bool arg_bool(const struct control_call *call, const char *name)
{
	const json_t *value = json_object_get(call->params, name);
	const char *text = json_string_value(value);

	return json_is_true(value) ||
	       (text && (strcmp(text, "true") == 0 || strcmp(text, "yes") == 0 ||
			    strcmp(text, "1") == 0));
}

void control_reply_key(struct control_call *call, const char *name, const uint8_t key[PUBKEY_LEN])
{
	char text[PUBKEY_TEXT_MAX + 1];

	json_object_set_new(call->reply, name, json_string(pubkey_text(key, text)));
}

void control_put(
    struct control_call *call, const uint8_t key[PUBKEY_LEN], const struct account_state *state)
{
	call->slot = chain_put(call->devchain->chain, key, state);
}

static const struct account_state *newest_of(const struct control_call *call, const uint8_t *key)
{
	return account_at(chain_find(call->devchain->chain, key), UINT64_MAX);
}

int control_newest(const struct control_call *call, const uint8_t key[PUBKEY_LEN],
    struct account_state *state_r, struct error *err)
{
	const struct account_state *state = newest_of(call, key);
	char text[PUBKEY_TEXT_MAX + 1];

	if (!state)
		return error_set(err, ERR_INVALID, "no account %s", pubkey_text(key, text));
	account_state_copy(state, state_r);
	return 0;
}

void control_newest_or_new(
    const struct control_call *call, const uint8_t key[PUBKEY_LEN], struct account_state *state_r)
{
	const struct account_state *state = newest_of(call, key);

	if (state)
		account_state_copy(state, state_r);
	else
		*state_r = (struct account_state){0};
}

int control_check_free(
    const struct control_call *call, const uint8_t key[PUBKEY_LEN], struct error *err)
{
	if (newest_of(call, key))
		return error_set(
		    err, ERR_CONFLICT, "the address is in use (a burned one stays so)");
	return 0;
}
