/* A copy of all audit chains, for an operator: JSON lines on standard output, checked as they come. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/scoped.h"
#include "services/cli/audit_copy.h"
#include "services/cli/vaults.h"

static void from_item(const struct entries_item *item, struct audit_entry *entry_r)
{
	*entry_r = (struct audit_entry){.seq = item->seq,
	    .at_ms = item->at_ms,
	    .version = item->version,
	    .all_seq = item->all_seq};
#define COPY(member) snprintf(entry_r->member, sizeof(entry_r->member), "%s", item->member)
	COPY(chain);
	COPY(act);
	COPY(by);
	COPY(kind);
	COPY(name);
	COPY(detail);
#undef COPY
	memcpy(entry_r->prev, item->prev.data, AUDIT_HASH_LEN);
	memcpy(entry_r->hash, item->hash.data, AUDIT_HASH_LEN);
	memcpy(entry_r->all_hash, item->all_hash.data, AUDIT_HASH_LEN);
}

static int write_page(
    const struct vault_export_rsp *page, struct audit_copy *copy, struct error *err)
{
	for (size_t i = 0; i < page->entries.len; i++) {
		struct audit_entry entry;
		from_item(&page->entries.item[i], &entry);
		/* lines that are wrong go out all the same: the copy is the evidence */
		scoped_free char *line = audit_entry_text(&entry);
		if (!line || puts(line) < 0)
			return error_set(err, ERR_UNAVAILABLE, "cannot write the copy");
		if (audit_copy_add(copy, &entry, err) < 0)
			return -1;
	}
	return 0;
}

/* Page after page from one vault: another one may be a moment behind. */
static int follow(struct operator* operator, struct audit_copy * copy, struct error *err)
{
	scoped_vaults_call struct vaults_call call = {0};
	uint64_t before;

	vaults_call_new(&call, &vault_export_call);
	struct vault_export_req *req = call.req;
	do {
		before = copy->len;
		req->after = copy->head.seq;
		if (vaults_call_any(operator, & call, err) < 0 ||
		    write_page(call.rsp, copy, err) < 0)
			return -1;
	} while (copy->len > before);
	return 0;
}

int vaults_audit(struct cli *cli, int argc, char **argv)
{
	scoped_operator struct operator operator= {0};
	scoped_audit_copy struct audit_copy copy;
	struct error err = {0};
	char head[AUDIT_HEAD_TEXT_MAX + 1];

	audit_copy_open(&copy);
	if (argc != 3 || strcmp(argv[2], "export") != 0)
		return cli_usage("vault audit: 'vault audit export'");
	if (vaults_open(&operator, cli, &err) < 0 || follow(&operator, & copy, &err) < 0)
		return cli_fail(&err);
	if (fflush(stdout) != 0) {
		error_set(&err, ERR_UNAVAILABLE, "cannot write the copy: %s", strerror(errno));
		return cli_fail(&err);
	}
	fprintf(stderr, "%" PRIu64 " entries of all chains, head %s\n", copy.len,
	    audit_head_text(&copy.head, head));
	return CLI_OK;
}
