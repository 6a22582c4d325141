#include "services/cli/audit_head.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

int audit_head_parse(const char *text, struct audit_head *head_r, struct error *err)
{
	size_t digits = strspn(text, "0123456789"), len = 0;
	const char *hash = text + digits + 1;

	errno = 0;
	head_r->seq = strtoull(text, NULL, 10);
	if (digits == 0 || digits > 20 || errno != 0 || text[digits] != ':' ||
	    strlen(hash) != (size_t)2 * AUDIT_HASH_LEN ||
	    sodium_hex2bin(head_r->hash, AUDIT_HASH_LEN, hash, strlen(hash), NULL, &len, NULL) !=
		0 ||
	    len != AUDIT_HASH_LEN)
		return error_set(err, ERR_INVALID,
		    "a head is a number, a colon and %d hex digits: %s", 2 * AUDIT_HASH_LEN, text);
	return 0;
}

char *audit_head_text(const struct audit_head *head, char text[AUDIT_HEAD_TEXT_MAX + 1])
{
	char hash[2 * AUDIT_HASH_LEN + 1];

	sodium_bin2hex(hash, sizeof(hash), head->hash, AUDIT_HASH_LEN);
	snprintf(text, AUDIT_HEAD_TEXT_MAX + 1, "%" PRIu64 ":%s", head->seq, hash);
	return text;
}
