#include "services/cli/vault_key.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "services/cli/keys_file.h"

#define KEY_BYTES 32
#define TEXT_SIZE \
	(sodium_base64_ENCODED_LEN(KEY_BYTES, sodium_base64_VARIANT_ORIGINAL) + \
	    1) /* newline, NUL */

int vault_key_create(const char *path, struct error *err)
{
	return vault_key_create_beside(path, NULL, err);
}

int vault_key_create_beside(const char *path, const char *owner_of, struct error *err)
{
	uint8_t bytes[KEY_BYTES];
	char text[TEXT_SIZE];

	randombytes_buf(bytes, sizeof(bytes));
	sodium_bin2base64(text, sizeof(text), bytes, sizeof(bytes), sodium_base64_VARIANT_ORIGINAL);
	size_t len = strlen(text);
	text[len] = '\n';
	int rc = key_file_create(path,
	    &(struct key_file){.mode = 0600, .bytes = text, .len = len + 1, .owner_of = owner_of},
	    err);
	sodium_memzero(bytes, sizeof(bytes));
	sodium_memzero(text, sizeof(text));
	return rc;
}

const char *vault_key_next(const char *path, char *buf, size_t size, struct error *err)
{
	if ((size_t)snprintf(buf, size, "%s.next", path) < size)
		return buf;
	error_set(err, ERR_INVALID, "name is too long: %s", path);
	return NULL;
}

int vault_key_promote(const char *path, struct error *err)
{
	char next[4096];

	if (!vault_key_next(path, next, sizeof(next), err))
		return -1;
	int there = key_file_exists(next, err);
	if (there <= 0)
		return there;
	return key_file_rename(next, path, err);
}
