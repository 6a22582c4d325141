/* audit_head - the head of an audit chain as people keep it: "<seq>:<64 hex digits>". */
#ifndef CLI_AUDIT_HEAD_H
#define CLI_AUDIT_HEAD_H

#include "common/audit.h"

struct audit_head {
	uint64_t seq;
	uint8_t hash[AUDIT_HASH_LEN];
};
#define AUDIT_HEAD_TEXT_MAX (20 + 1 + 2 * AUDIT_HASH_LEN)

/* ERR_INVALID says what it should look like. */
int audit_head_parse(const char *text, struct audit_head *head_r, struct error *err);
/* Returns text. */
char *audit_head_text(const struct audit_head *head, char text[AUDIT_HEAD_TEXT_MAX + 1]);

#endif
