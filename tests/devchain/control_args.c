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
