#include "services/cli/keypair.h"

#include <errno.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/scoped.h"

#define KEYPAIR_TEXT_MAX 4096

static int read_numbers(
    const char *text, size_t len, uint8_t bytes[64], const char *path, struct error *err)
{
	scoped_json json_t *doc = json_loadb(text, len, 0, NULL);

	if (!json_is_array(doc) || json_array_size(doc) != 64)
		return error_set(err, ERR_INVALID,
		    "%s is not a Solana keypair file (a JSON array of 64 numbers)", path);
	for (size_t i = 0; i < 64; i++) {
		const json_t *n = json_array_get(doc, i);
		if (!json_is_integer(n) || json_integer_value(n) < 0 || json_integer_value(n) > 255)
			return error_set(err, ERR_INVALID, "%s: number %zu is not a byte", path, i);
		bytes[i] = (uint8_t)json_integer_value(n);
	}
	return 0;
}

int keypair_read(const char *path, struct keypair *keypair_r, struct error *err)
{
	scoped_file FILE *file = fopen(path, "re");
	char text[KEYPAIR_TEXT_MAX];
	uint8_t bytes[64], derived[crypto_sign_SECRETKEYBYTES];
	struct stat st;

	if (!file || fstat(fileno(file), &st) < 0)
		return error_set(err, ERR_NOT_FOUND, "cannot read %s: %s", path, strerror(errno));
	if (st.st_mode & 077)
		fprintf(
		    stderr, "multiclaw: warning: %s can be read by others; chmod 600 it\n", path);
	size_t len = fread(text, 1, sizeof(text), file);
	int rc = read_numbers(text, len, bytes, path, err);
	sodium_memzero(text, sizeof(text));
	if (rc == 0) {
		crypto_sign_seed_keypair(keypair_r->public_key, derived, bytes);
		if (sodium_memcmp(derived, bytes, sizeof(bytes)) != 0)
			rc = error_set(err, ERR_INVALID,
			    "%s: the public key does not belong to the secret one", path);
		else
			keypair_r->secret = secret_new(bytes, sizeof(bytes));
	}
	sodium_memzero(bytes, sizeof(bytes));
	sodium_memzero(derived, sizeof(derived));
	return rc;
}

void keypair_wipe(struct keypair *keypair)
{
	secret_destroy(&keypair->secret);
}

void keypair_sign(const struct keypair *keypair, const void *message, size_t len,
    uint8_t signature_r[SIGNATURE_LEN])
{
	crypto_sign_detached(signature_r, NULL, message, len, secret_bytes(keypair->secret));
}
