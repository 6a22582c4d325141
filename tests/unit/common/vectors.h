/* vectors - test vectors in JSON, read from the project's root. Failing to read them fails the test. */
#ifndef TESTS_VECTORS_H
#define TESTS_VECTORS_H

#include <jansson.h>
#include <sodium.h>
#include <string.h>

/* The file, or NULL if there is none. Caller owns it. */
static inline json_t *vectors_load(const char *path)
{
	json_error_t error;
	json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);

	if (!root && json_error_code(&error) != json_error_cannot_open_file)
		fail_msg("%s:%d: %s", path, error.line, error.text);
	return root;
}

static inline json_t *vectors_solana(void)
{
	json_t *root = vectors_load("tests/vectors/solana-vectors.json");

	assert_non_null(root);
	return root;
}

static inline const char *vectors_str(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	if (!text)
		fail_msg("vector without %s", key);
	return text;
}

/* Bytes of a hex member. Returns how many. */
static inline size_t vectors_hex(const json_t *object, const char *key, uint8_t *bytes, size_t size)
{
	const char *text = vectors_str(object, key);
	size_t len = 0;

	if (sodium_hex2bin(bytes, size, text, strlen(text), NULL, &len, NULL) != 0)
		fail_msg("vector's %s is no hex or too long", key);
	return len;
}

#endif
