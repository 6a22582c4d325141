#include "services/snapshot-store/s3_sign.h"

#include <openssl/evp.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/error.h"
#include "common/scoped.h"

#define MAC crypto_auth_hmacsha256_BYTES
#define SCHEME "AWS4"

/* (OpenSSL's uses what the processor has for it) */
void s3_sign_hash(const void *bytes, size_t len, char hex[S3_SHA256_HEX + 1])
{
	uint8_t digest[32];

	bug_if(EVP_Digest(bytes, len, digest, NULL, EVP_sha256(), NULL) != 1);
	sodium_bin2hex(hex, S3_SHA256_HEX + 1, digest, sizeof(digest));
}

void s3_sign_date(uint64_t unix_ms, char date[S3_DATE_LEN + 1])
{
	time_t seconds = (time_t)(unix_ms / 1000);
	struct tm parts;

	bug_if(!gmtime_r(&seconds, &parts) ||
	       strftime(date, S3_DATE_LEN + 1, "%Y%m%dT%H%M%SZ", &parts) != S3_DATE_LEN);
}

char *s3_sign_encode(const char *text)
{
	static const char plain[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	char *encoded = malloc(3 * strlen(text) + 1), *end = encoded;

	bug_if(!encoded);
	for (; *text; text++) {
		if (strchr(plain, *text))
			*end++ = *text;
		else
			end += snprintf(end, 4, "%%%02X", (unsigned)(unsigned char)*text);
	}
	*end = '\0';
	return encoded;
}

static void mac(uint8_t out[MAC], const void *key, size_t key_len, const char *text)
{
	crypto_auth_hmacsha256_state state;

	crypto_auth_hmacsha256_init(&state, key, key_len);
	crypto_auth_hmacsha256_update(&state, (const unsigned char *)text, strlen(text));
	crypto_auth_hmacsha256_final(&state, out);
	sodium_memzero(&state, sizeof(state));
}

static void first_mac(uint8_t out[MAC], const struct secret *secret_key, const char *text)
{
	uint8_t key[512];
	size_t len = secret_len(secret_key);

	bug_if(len > sizeof(key) - strlen(SCHEME));
	memcpy(key, SCHEME, strlen(SCHEME));
	memcpy(key + strlen(SCHEME), secret_bytes(secret_key), len);
	mac(out, key, strlen(SCHEME) + len, text);
	sodium_memzero(key, sizeof(key));
}

static void signature(const struct s3_signed *what, const struct secret *secret_key,
    const char *to_sign, char hex[2 * MAC + 1])
{
	uint8_t key[MAC];
	char day[9];

	snprintf(day, sizeof(day), "%.8s", what->date);
	first_mac(key, secret_key, day);
	mac(key, key, MAC, what->region);
	mac(key, key, MAC, "s3");
	mac(key, key, MAC, "aws4_request");
	mac(key, key, MAC, to_sign);
	sodium_bin2hex(hex, 2 * MAC + 1, key, MAC);
	sodium_memzero(key, sizeof(key));
}

static char *names_of(const struct s3_signed *what)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	bug_if(!out);
	for (size_t i = 0; i < what->nheaders; i++)
		fprintf(out, "%s%s", i ? ";" : "", what->headers[i].name);
	bug_if(fclose(out) != 0);
	return text;
}

static char *canonical_request(const struct s3_signed *what, const char *names)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	bug_if(!out);
	fprintf(out, "%s\n%s\n%s\n", what->method, what->path, what->query);
	for (size_t i = 0; i < what->nheaders; i++)
		fprintf(out, "%s:%s\n", what->headers[i].name, what->headers[i].value);
	fprintf(out, "\n%s\n%s", names, what->payload);
	bug_if(fclose(out) != 0);
	return text;
}

int s3_sign(const struct s3_signed *what, const struct secret *key_id,
    const struct secret *secret_key, char authorization[S3_AUTHORIZATION_MAX])
{
	scoped_free char *names = names_of(what);
	scoped_free char *canonical = canonical_request(what, names);
	char scope[128], hashed[S3_SHA256_HEX + 1], to_sign[320], hex[2 * MAC + 1];

	snprintf(scope, sizeof(scope), "%.8s/%s/s3/aws4_request", what->date, what->region);
	s3_sign_hash(canonical, strlen(canonical), hashed);
	snprintf(
	    to_sign, sizeof(to_sign), "AWS4-HMAC-SHA256\n%s\n%s\n%s", what->date, scope, hashed);
	signature(what, secret_key, to_sign, hex);
	int len = snprintf(authorization, S3_AUTHORIZATION_MAX,
	    "AWS4-HMAC-SHA256 Credential=%.*s/%s, SignedHeaders=%s, Signature=%s",
	    (int)secret_len(key_id), (const char *)secret_bytes(key_id), scope, names, hex);
	return len < S3_AUTHORIZATION_MAX ? 0 : -1;
}
