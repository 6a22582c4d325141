/* audit_copy - a copy of audit entries as it is written, read and checked: JSON lines. */
#ifndef CLI_AUDIT_COPY_H
#define CLI_AUDIT_COPY_H

#include <stdio.h>

#include "services/cli/audit_head.h"

#define AUDIT_LINE_MAX 8192

struct audit_copy { /* what was found so far, entry by entry */
	struct audit_check *check;
	uint64_t len;
	struct audit_head head; /* of the newest entry: of its chain, or of all */
	bool of_all;
};
void audit_copy_open(struct audit_copy *copy_r);
void audit_copy_close(struct audit_copy *copy);
#define scoped_audit_copy __attribute__((cleanup(audit_copy_close)))

/* The next entry. ERR_INVALID names what is wrong with it. */
int audit_copy_add(struct audit_copy *copy, const struct audit_entry *entry, struct error *err);
/* Every line of a file; name is what errors call it, with the line's number. */
int audit_copy_read(struct audit_copy *copy, FILE *file, const char *name, struct error *err);

#endif
