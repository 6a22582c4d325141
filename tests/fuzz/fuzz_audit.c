/* A copy of the audit trail, one entry a line, as `multiclaw audit verify` is given it. What is read says the same when it is written down again; what passes the check is
 * what its own hashes say, and no head but the last one's fits the end. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/audit.h"
#include "common/scoped.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return sodium_init() < 0 ? -1 : 0;
}

static void check_text(const struct audit_entry *entry)
{
	struct audit_entry again;
	struct error err;
	scoped_free char *text = audit_entry_text(entry);
	if (!text || audit_entry_parse(text, strlen(text), &again, &err) != 0)
		abort();
	scoped_free char *once_more = audit_entry_text(&again);
	if (!once_more || strcmp(once_more, text) != 0)
		abort();
}

static void check_head(
    const struct audit_check *check, const struct audit_entry *last, uint64_t len)
{
	const uint8_t *head = last->all_seq ? last->all_hash : last->hash;
	uint8_t other[AUDIT_HASH_LEN];
	struct error err;
	if ((last->all_seq ? last->all_seq : last->seq) != len ||
	    audit_check_head(check, len, head, &err) != 0 ||
	    audit_check_head(check, len + 1, head, &err) == 0)
		abort();
	memcpy(other, head, sizeof(other));
	other[len % AUDIT_HASH_LEN] ^= 1;
	if (audit_check_head(check, len, other, &err) == 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct audit_check *check = audit_check_new();
	struct audit_entry entry, last = {0};
	struct error err;
	uint64_t len = 0;
	bool good = true;
	for (size_t at = 0, n; at < size; at += n + 1) {
		const uint8_t *end = memchr(bytes + at, '\n', size - at);
		n = end ? (size_t)(end - bytes) - at : size - at;
		/* of exactly that size, so that a read behind it is seen */
		scoped_free char *line = malloc(n + !n);
		memcpy(line, bytes + at, n);
		if (audit_entry_parse(line, n, &entry, &err) != 0)
			continue;
		check_text(&entry);
		good = good && audit_check_next(check, &entry, &err) == 0;
		if (good) {
			last = entry;
			len++;
		}
	}
	if (good && len > 0)
		check_head(check, &last, len);
	audit_check_destroy(&check);
	return 0;
}
