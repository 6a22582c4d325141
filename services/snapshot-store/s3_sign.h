/* s3_sign - AWS Signature Version 4 for S3, in the Authorization header, with the payload's hash in x-amz-content-sha256.
 * Source: "Authenticating Requests: Using the Authorization Header (AWS Signature Version 4)", Amazon S3 API Reference. */
#ifndef SNAPSHOT_STORE_S3_SIGN_H
#define SNAPSHOT_STORE_S3_SIGN_H

#include <stddef.h>
#include <stdint.h>

#include "common/secret.h"

#define S3_SHA256_HEX 64
#define S3_DATE_LEN 16 /* 20130524T000000Z */
#define S3_AUTHORIZATION_MAX 700

struct s3_header {
	const char *name, *value;
};
struct s3_signed {
	const char *method;
	const char *path;  /* encoded, begins with / */
	const char *query; /* encoded, sorted by name, each with its =; "" if none */
	const struct s3_header *
	    headers; /* names in lower case, sorted; host, x-amz-content-sha256 and x-amz-date among them */
	size_t nheaders;
	const char *payload; /* hash of the body, as in x-amz-content-sha256 */
	const char *date;    /* as in x-amz-date */
	const char *region;
};

void s3_sign_hash(const void *bytes, size_t len, char hex[S3_SHA256_HEX + 1]);
void s3_sign_date(uint64_t unix_ms, char date[S3_DATE_LEN + 1]);
/* Every byte but A-Z a-z 0-9 - . _ ~ as %XX. Caller frees. */
char *s3_sign_encode(const char *text);
/* -1: it does not fit. */
int s3_sign(const struct s3_signed *what, const struct secret *key_id,
    const struct secret *secret_key, char authorization[S3_AUTHORIZATION_MAX]);

#endif
