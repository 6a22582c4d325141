/* vault.audit and export - the entries of the audit trail: of one ownership period for its owner, of all for operators. */
#include <stdio.h>

#include "services/secret-vault/asking.h"
#include "services/secret-vault/errand.h"

#define TRAIL_PAGE 100

struct rows {
	struct entries_item *item; /* TRAIL_PAGE of them */
	size_t len;
	bool all; /* with the place among all chains */
};

static bool add(void *arg, const struct audit_entry *entry)
{
	struct rows *rows = arg;
	if (rows->len >= TRAIL_PAGE)
		return false;
	struct entries_item *item = &rows->item[rows->len++];
	memcpy(item->chain, entry->chain, sizeof(item->chain));
	memcpy(item->act, entry->act, sizeof(item->act));
	memcpy(item->by, entry->by, sizeof(item->by));
	memcpy(item->kind, entry->kind, sizeof(item->kind));
	memcpy(item->name, entry->name, sizeof(item->name));
	memcpy(item->detail, entry->detail, sizeof(item->detail));
	item->seq = entry->seq;
	item->at_ms = entry->at_ms;
	item->version = entry->version;
	memcpy(item->prev.data, entry->prev, AUDIT_HASH_LEN);
	memcpy(item->hash.data, entry->hash, AUDIT_HASH_LEN);
	item->prev.len = item->hash.len = AUDIT_HASH_LEN;
	if (rows->all) {
		item->all_seq = entry->all_seq;
		memcpy(item->all_hash.data, entry->all_hash, AUDIT_HASH_LEN);
		item->all_hash.len = AUDIT_HASH_LEN;
	}
	return true;
}

static int audit(struct asking *asking, struct desk *desk, struct error *err)
{
	const struct vault_audit_req *req = asking->req;
	struct vault_audit_rsp *rsp = asking->rsp;
	struct rows rows = {.item = rsp->entries.item};
	scoped_open_period struct open_period period = {0};
	char chain[PERIOD_TEXT_MAX + 1];
	rsp->head.len = AUDIT_HASH_LEN;
	int found = records_open_period(desk, &asking->holding, &period, err);
	if (found <= 0)
		return found;
	period_text(&period.row.period, chain);
	if (store_audit_of(desk->db, chain, req->after, TRAIL_PAGE, add, &rows, err) != 0)
		return -1;
	rsp->entries.len = rows.len;
	return store_audit_head(desk->db, chain, &rsp->head_seq, rsp->head.data, err);
}

void vault_audit(struct vault *self, const struct vault_audit_req *req, struct bus_request *request)
{
	static const struct asking_plan plan = {
	    .call = &vault_audit_call, .kind = WORKER_READ, .releases = true, .work = audit};
	asking_begin(self, &plan, req->token, NULL, req, request, NULL, 0);
}

static int export(struct errand *errand, struct desk *desk, struct error *err)
{
	const struct vault_export_req *req = errand->req;
	struct vault_export_rsp *rsp = errand->rsp;
	struct rows rows = {.item = rsp->entries.item, .all = true};
	rsp->head.len = AUDIT_HASH_LEN;
	if (store_audit_all(desk->db, req->after, TRAIL_PAGE, add, &rows, err) != 0)
		return -1;
	rsp->entries.len = rows.len;
	return store_audit_head(desk->db, NULL, &rsp->head_seq, rsp->head.data, err);
}

/* Nothing in it is sealed: a vault that waits for its master key shows what it did all the same. */
void vault_export(
    struct vault *self, const struct vault_export_req *req, struct bus_request *request)
{
	errand_begin(self, &vault_export_call, WORKER_READ, export, req, request);
}
