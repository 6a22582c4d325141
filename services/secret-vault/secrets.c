/* vault.put, list and delete - an owner's secrets, which go in and never come out here. */
#include "services/secret-vault/secrets.h"

#include <stdio.h>
#include <string.h>

#include "services/secret-vault/asking.h"
#include "services/secret-vault/channels.h"
#include "services/secret-vault/value.h"

static bool is_as_file(const struct vault_put_req *req)
{
	return strcmp(req->delivery, "file") == 0;
}

static int check_delivery(
    const struct vault *vault, const struct vault_put_req *req, struct error *err)
{
	bool is_llm = strcmp(req->kind, "llm") == 0;

	if (req->delivery[0] &&
	    !(is_llm && (is_as_file(req) || strcmp(req->delivery, "gateway") == 0)))
		return error_refuse(err, ERR_INVALID, "delivery_invalid",
		    "delivery is gateway or file, and of llm alone");
	if (is_llm && !is_as_file(req) && !providers_find(vault->providers, req->name)->base_url[0])
		return error_refuse(err, ERR_INVALID, "delivery_unavailable",
		    "llm-gateway does not offer this provider: its key is of use as a file alone");
	return 0;
}

static int check_put(const struct vault *vault, const struct vault_put_req *req, struct error *err)
{
	if (value_check_name(req->kind, req->name, err) != 0 ||
	    value_check(req->kind, req->value.data, req->value.len, err) != 0)
		return -1;
	if (strcmp(req->kind, "llm") == 0 && !providers_find(vault->providers, req->name))
		return error_refuse(err, ERR_INVALID, "provider_unknown",
		    "%s is no provider that this server knows", req->name);
	if (strcmp(req->kind, "bot") == 0 && req->value.len > BOT_TOKEN_MAX)
		return error_refuse(err, ERR_INVALID, "secret_value_invalid",
		    "a bot's token has %d bytes at most", BOT_TOKEN_MAX);
	return check_delivery(vault, req, err);
}

static int put(struct asking *asking, struct desk *desk, struct error *err)
{
	const struct vault_put_req *req = asking->req;
	struct vault_put_rsp *rsp = asking->rsp;
	scoped_open_period struct open_period period = {0};
	char preview[PREVIEW_MAX + 2] = RECORD_AS_FILE;
	if (records_make_period(desk, &asking->holding, &period, &asking->has_made, err) < 0)
		return -1;
	value_preview(req->value.data, req->value.len, preview + is_as_file(req));
	if (records_write(desk, &period, req->kind, req->name, req->value.data, req->value.len,
		preview, &rsp->version, err) != 0)
		return -1;
	asking->has_changed = strcmp(req->kind, "llm") == 0;
	const struct audit_note note = {.act = "put",
	    .by = asking->by,
	    .kind = req->kind,
	    .name = req->name,
	    .detail = is_as_file(req) ? "delivery file" : NULL,
	    .version = rsp->version};
	return records_audit(desk, &period.row.period, &note, err);
}

void vault_put(struct vault *self, const struct vault_put_req *req, struct bus_request *request)
{
	static const struct asking_plan plan = {
	    .call = &vault_put_call, .kind = WORKER_WRITE, .limit_kind = "vault-put", .work = put};
	struct error err;
	if (check_put(self, req, &err) != 0)
		bus_fail(request, &err);
	else
		asking_begin(self, &plan, req->token, NULL, req, request, NULL, 0);
}

/* A hot wallet's preview is its whole address, which GET /v1/wallet shows; here it is cut like the others. */
void secrets_row(void *arg, const struct record_shown *shown)
{
	struct secrets_rows *rows = arg;
	if (rows->len >= VAULT_SECRETS_MAX) {
		rows->overflown = true;
		return;
	}
	struct secrets_item *item = &rows->item[rows->len++];
	memcpy(item->kind, shown->kind, sizeof(item->kind));
	memcpy(item->name, shown->name, sizeof(item->name));
	bool is_wallet = strcmp(shown->kind, "wallet") == 0;
	snprintf(item->preview, sizeof(item->preview), "%.*s", is_wallet ? 8 : PREVIEW_MAX,
	    shown->preview);
	if (strcmp(shown->kind, "llm") == 0)
		snprintf(item->delivery, sizeof(item->delivery), "%s",
		    shown->is_as_file ? "file" : "gateway");
	item->version = shown->version;
	item->updated_ms = shown->updated_ms;
}

int secrets_rows_check(const struct secrets_rows *rows, struct error *err)
{
	return rows->overflown ? error_set(err, ERR_INTERNAL, "more than %d secrets of one period",
				     VAULT_SECRETS_MAX)
			       : 0;
}

static int list(struct asking *asking, struct desk *desk, struct error *err)
{
	struct vault_list_rsp *rsp = asking->rsp;
	struct secrets_rows rows = {.item = rsp->secrets.item};
	scoped_open_period struct open_period period = {0};
	int found = records_open_period(desk, &asking->holding, &period, err);
	if (found <= 0)
		return found;
	if (records_list(desk, &period, secrets_row, &rows, err) != 0)
		return -1;
	rsp->secrets.len = rows.len;
	return secrets_rows_check(&rows, err);
}

void vault_list(struct vault *self, const struct vault_list_req *req, struct bus_request *request)
{
	static const struct asking_plan plan = {
	    .call = &vault_list_call, .kind = WORKER_READ, .releases = true, .work = list};
	asking_begin(self, &plan, req->token, NULL, req, request, NULL, 0);
}

static int delete (struct asking *asking, struct desk *desk, struct error *err)
{
	const struct vault_delete_req *req = asking->req;
	struct vault_delete_rsp *rsp = asking->rsp;
	scoped_open_period struct open_period period = {0};
	int found = records_open_period(desk, &asking->holding, &period, err);
	if (found <= 0)
		return found;
	int existed = records_delete(desk, &period, req->kind, req->name, err);
	if (existed <= 0)
		return existed;
	rsp->existed = true;
	asking->has_changed = strcmp(req->kind, "llm") == 0;
	const struct audit_note note = {
	    .act = "delete", .by = asking->by, .kind = req->kind, .name = req->name};
	return records_audit(desk, &period.row.period, &note, err);
}

void vault_delete(
    struct vault *self, const struct vault_delete_req *req, struct bus_request *request)
{
	static const struct asking_plan plan = {.call = &vault_delete_call,
	    .kind = WORKER_WRITE,
	    .limit_kind = "vault-put",
	    .work = delete};
	struct error err;
	if (value_check_name(req->kind, req->name, &err) != 0)
		bus_fail(request, &err);
	else
		asking_begin(self, &plan, req->token, NULL, req, request, NULL, 0);
}
