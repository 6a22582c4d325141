/* scan_values - from the files under /run/secrets to what is looked for.
 *
 * A file's value (without the newline at its end) is a secret, whole, if it has SCAN_SECRET_MIN bytes. More is made of some, and less:
 *	custom/egress-hosts, custom/allow-service-workers, custom/snapshot-exclude	are configuration: left out
 *	one that is a word ("password", "us-east", "anthropic": letters of one case, perhaps the first a capital, with - _ . between, under 16 bytes), or a number under 12 digits	left out
 *	JSON			the strings in it of 16 bytes or more whose key says that they are a credential (token, key, secret, password, ...); of channels.json and openclaw.json these alone
 *	wallet/hot.json	the seed (the first half; the second one is the public address), as numbers with the usual separators, as bytes, and base58 of both
 *	PEM private keys	scan_pem.h; certificates and public keys are no secret
 *	scheme://user:password@host	the password, too
 *	over 256 bytes		the part of PATTERN_MAX bytes that looks most random, and up to 8 more
 */
#ifndef PACKER_SCAN_VALUES_H
#define PACKER_SCAN_VALUES_H

#include "common/error.h"
#include "services/packer/scan_patterns.h"

#define VALUE_NAME_MAX 60

struct values {
	struct patterns patterns;
	char (*name)[VALUE_NAME_MAX + 1]; /* of the secrets, by pattern.name */
	size_t nnames;
};
/* fd: see scanner_new. 0, or -1 with err and nothing in values_r. */
int values_read(struct values *values_r, int fd, struct error *err);
void values_clear(struct values *values);

/* One secret: in all forms. is_extra: only while there are not many patterns. */
void values_add(struct values *values, uint32_t name, const void *bytes, size_t len, bool is_extra);
/* Number of a name: path and, in brackets, what of it ("" for the whole). */
uint32_t values_name(struct values *values, const char *path, const char *part);

#endif
