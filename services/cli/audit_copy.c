#include "services/cli/audit_copy.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void audit_copy_open(struct audit_copy *copy_r)
{
	*copy_r = (struct audit_copy){.check = audit_check_new()};
}

void audit_copy_close(struct audit_copy *copy)
{
	audit_check_destroy(&copy->check);
}

int audit_copy_add(struct audit_copy *copy, const struct audit_entry *entry, struct error *err)
{
	if (audit_check_next(copy->check, entry, err) < 0)
		return -1;
	copy->len++;
	copy->of_all = entry->all_seq != 0;
	copy->head.seq = copy->of_all ? entry->all_seq : entry->seq;
	memcpy(copy->head.hash, copy->of_all ? entry->all_hash : entry->hash, AUDIT_HASH_LEN);
	return 0;
}

struct line {
	const char *file, *text;
	size_t len;
	uint64_t number;
};

static int add_line(struct audit_copy *copy, const struct line *line, struct error *err)
{
	struct audit_entry entry;
	struct error why;

	if (audit_entry_parse(line->text, line->len, &entry, &why) == 0 &&
	    audit_copy_add(copy, &entry, &why) == 0)
		return 0;
	return error_set(
	    err, ERR_INVALID, "%s, line %" PRIu64 ": %s", line->file, line->number, why.text);
}

int audit_copy_read(struct audit_copy *copy, FILE *file, const char *name, struct error *err)
{
	char text[AUDIT_LINE_MAX];
	struct line line = {.file = name, .text = text};

	/* a copy ends with the line that it ends with: one that was cut shows by the head alone */
	while (fgets(text, sizeof(text), file)) {
		line.number++;
		line.len = strlen(text);
		if (line.len > 0 && text[line.len - 1] == '\n')
			line.len--;
		else if (!feof(file))
			return error_set(err, ERR_INVALID, "%s, line %" PRIu64 ": no audit entry",
			    name, line.number);
		if (add_line(copy, &line, err) < 0)
			return -1;
	}
	return ferror(file) ? error_set(err, ERR_UNAVAILABLE, "cannot read %s", name) : 0;
}
