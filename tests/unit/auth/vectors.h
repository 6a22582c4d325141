/* Reads tests/vectors/solana-vectors.json: computed by the ecosystem's own libraries. */
#ifndef TESTS_UNIT_AUTH_VECTORS_H
#define TESTS_UNIT_AUTH_VECTORS_H

#include <jansson.h>
#include <sodium.h>
#include <string.h>

#include "common/base58.h"

#define VECTORS "tests/vectors/solana-vectors.json"

struct bytes {
	uint8_t data[4096];
	size_t len;
};

static inline const char *text_of(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static inline void hex_of(const json_t *object, const char *name, struct bytes *bytes_r)
{
	const char *hex = text_of(object, name);
	assert_non_null(hex);
	assert_int_equal(sodium_hex2bin(bytes_r->data, sizeof(bytes_r->data), hex, strlen(hex),
			     NULL, &bytes_r->len, NULL),
	    0);
}

static inline void key_of(const json_t *object, const char *name, uint8_t key_r[PUBKEY_LEN])
{
	assert_int_equal(pubkey_parse(text_of(object, name), key_r), 0);
}

#endif
