/* The session's token: the presented text as it is, then the same bytes as claims under a good signature, then as the file of keys. */
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "services/session/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ISS "https://claw.example"
#define NOW 1767323045u
#define KEY "k1 1 4000000000 rQ0o1yq1uVtW0bq1Yz3mW2o0m8V4t1m5yQ2x7l9zGkA=\n"

static struct keys *the_keys(void)
{
	static struct keys *keys;
	if (!keys) {
		struct error err;
		bug_if(sodium_init() < 0);
		keys = keys_parse(KEY, strlen(KEY), &err);
		bug_if(!keys);
	}
	return keys;
}

static void read_token(const char *text)
{
	struct token_claims claims;
	struct error err;
	char again[JWS_MAX + 1], once_more[JWS_MAX + 1];
	const struct keys *keys = the_keys();
	if (token_parse(keys, ISS, text, NOW, &claims, &err) != 0)
		return;
	/* what was accepted says what we would say, no more and no less */
	struct token_claims back;
	bug_if(token_compose(&keys->key[0], ISS, &claims, again, &err) != 0);
	bug_if(token_parse(keys, ISS, again, NOW, &back, &err) != 0);
	bug_if(token_compose(&keys->key[0], ISS, &back, once_more, &err) != 0);
	bug_if(strcmp(again, once_more) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct keys *keys = the_keys();
	struct error err;
	char *text = malloc(size + 1), signed_text[JWS_MAX + 1];
	bug_if(!text);
	memcpy(text, data, size);
	text[size] = '\0';
	read_token(text);
	if (jws_sign(keys->key[0].secret, keys->key[0].header, data, size, signed_text) == 0)
		read_token(signed_text);
	struct keys *parsed = keys_parse(text, size, &err);
	if (parsed)
		keys_destroy(&parsed);
	free(text);
	return 0;
}
