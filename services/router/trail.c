#include "services/router/trail.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "common/audit.h"
#include "common/scoped.h"
#include "services/router/vaults.h"

#define SEQ_DIGITS_MAX 18 /* fewer than overflow, and more than there will be */

int trail_after(const char *query, uint64_t *after_r, struct error *err)
{
	static const char parameter[] = "after=";
	size_t skip = strlen(parameter);
	*after_r = 0;
	if (query[0] == '\0')
		return 0;
	size_t digits =
	    strncmp(query, parameter, skip) == 0 ? strspn(query + skip, "0123456789") : 0;
	if (digits == 0 || digits > SEQ_DIGITS_MAX || query[skip + digits] != '\0')
		return error_refuse(
		    err, ERR_INVALID, "query_invalid", "the query is not after=<number>");
	*after_r = strtoull(query + skip, NULL, 10);
	return 0;
}

/* all_seq and all_hash stay inside: how much others do is not an owner's business. */
static void read_entry(const struct entries_item *item, struct audit_entry *entry)
{
	*entry =
	    (struct audit_entry){.seq = item->seq, .at_ms = item->at_ms, .version = item->version};
	snprintf(entry->chain, sizeof(entry->chain), "%s", item->chain);
	snprintf(entry->act, sizeof(entry->act), "%s", item->act);
	snprintf(entry->by, sizeof(entry->by), "%s", item->by);
	snprintf(entry->kind, sizeof(entry->kind), "%s", item->kind);
	snprintf(entry->name, sizeof(entry->name), "%s", item->name);
	snprintf(entry->detail, sizeof(entry->detail), "%s", item->detail);
	memcpy(entry->prev, item->prev.data, sizeof(entry->prev));
	memcpy(entry->hash, item->hash.data, sizeof(entry->hash));
}

/* NULL if one cannot be told: a trail with a hole would look like one that was tampered with. */
static json_t *entries_json(const struct entries_item *item, size_t len)
{
	scoped_json json_t *list = json_array();
	for (size_t i = 0; i < len; i++) {
		struct audit_entry entry;
		read_entry(&item[i], &entry);
		scoped_free char *text = audit_entry_text(&entry);
		if (!text || json_array_append_new(list, json_loads(text, 0, NULL)) != 0)
			return NULL;
	}
	return json_incref(list);
}

static void on_list(void *arg, const void *rsp, const struct error *failed)
{
	struct api_call *call = arg;
	const struct vault_audit_rsp *found = rsp;
	char head[2 * AUDIT_HASH_LEN + 1];
	struct error err;
	json_t *entries = failed ? NULL : entries_json(found->entries.item, found->entries.len);
	if (failed) {
		api_refuse(call, failed);
	} else if (!entries) {
		error_set(&err, ERR_INTERNAL, "an audit entry that JSON cannot say");
		api_refuse(call, &err);
	} else {
		sodium_bin2hex(head, sizeof(head), found->head.data, AUDIT_HASH_LEN);
		api_reply(call, 200,
		    json_pack("{s:o, s:{s:I, s:s}}", "entries", entries, "head", "seq",
			(json_int_t)found->head_seq, "hash", head));
	}
}

void trail_list(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	struct vault_audit_req req = {0};
	struct error err;
	if (trail_after(http_query(call->request), &req.after, &err) != 0)
		api_refuse(call, &err);
	else
		vaults_ask(call, &vault_audit_call, &req, VAULTS_MS, on_list);
}
