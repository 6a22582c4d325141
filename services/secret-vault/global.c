/* vault.global_* - the operators' own keys of LLM providers, which all agents may use through the gateway on their host and which are never files. */
#include <stdio.h>

#include "services/secret-vault/errand.h"
#include "services/secret-vault/secrets.h"
#include "services/secret-vault/value.h"

#define KIND "llm"

static int needs_open(const struct vault *vault, struct error *err)
{
	return vault->state == VAULT_OPEN ? 0
					  : error_refuse(err, ERR_UNAVAILABLE, "vault_sealed",
						"the vault is not open: %s", vault->why);
}

static int note(const struct errand *errand, struct desk *desk, const char *act,
    const char *provider, uint64_t version, struct error *err)
{
	const struct audit_note entry = {
	    .act = act, .by = errand->by, .kind = KIND, .name = provider, .version = version};
	return records_audit(desk, NULL, &entry, err);
}

static int put(struct errand *errand, struct desk *desk, struct error *err)
{
	const struct vault_global_put_req *req = errand->req;
	struct vault_global_put_rsp *rsp = errand->rsp;
	scoped_open_period struct open_period global = {0};
	char preview[PREVIEW_MAX + 1];
	if (records_open_global(desk, true, &global, err) < 0)
		return -1;
	value_preview(req->value.data, req->value.len, preview);
	if (records_write(desk, &global, KIND, req->provider, req->value.data, req->value.len,
		preview, &rsp->version, err) != 0)
		return -1;
	errand->has_changed = true;
	return note(errand, desk, "put", req->provider, rsp->version, err);
}

static int check_put(
    const struct vault *vault, const struct vault_global_put_req *req, struct error *err)
{
	if (needs_open(vault, err) != 0 ||
	    value_check(KIND, req->value.data, req->value.len, err) != 0)
		return -1;
	return providers_find(vault->providers, req->provider)
		   ? 0
		   : error_refuse(err, ERR_INVALID, "provider_unknown",
			 "no provider of that name is in the data file");
}

void vault_global_put(
    struct vault *self, const struct vault_global_put_req *req, struct bus_request *request)
{
	struct error err;
	if (check_put(self, req, &err) != 0)
		bus_fail(request, &err);
	else
		errand_begin(self, &vault_global_put_call, WORKER_WRITE, put, req, request);
}

static int list(struct errand *errand, struct desk *desk, struct error *err)
{
	struct vault_global_list_rsp *rsp = errand->rsp;
	struct secrets_rows rows = {.item = rsp->secrets.item};
	scoped_open_period struct open_period global = {0};
	int found = records_open_global(desk, false, &global, err);
	if (found <= 0)
		return found;
	if (records_list(desk, &global, secrets_row, &rows, err) != 0)
		return -1;
	rsp->secrets.len = rows.len;
	return secrets_rows_check(&rows, err);
}

void vault_global_list(
    struct vault *self, const struct vault_global_list_req *req, struct bus_request *request)
{
	struct error err;
	if (needs_open(self, &err) != 0)
		bus_fail(request, &err);
	else
		errand_begin(self, &vault_global_list_call, WORKER_READ, list, req, request);
}

static int delete (struct errand *errand, struct desk *desk, struct error *err)
{
	const struct vault_global_delete_req *req = errand->req;
	struct vault_global_delete_rsp *rsp = errand->rsp;
	scoped_open_period struct open_period global = {0};
	int found = records_open_global(desk, false, &global, err);
	if (found <= 0)
		return found;
	int existed = records_delete(desk, &global, KIND, req->provider, err);
	if (existed <= 0)
		return existed;
	rsp->existed = errand->has_changed = true;
	return note(errand, desk, "delete", req->provider, 0, err);
}

/* A provider that is not in the data file any more may still have a key here. */
void vault_global_delete(
    struct vault *self, const struct vault_global_delete_req *req, struct bus_request *request)
{
	struct error err;
	if (needs_open(self, &err) != 0 || value_check_name(KIND, req->provider, &err) != 0)
		bus_fail(request, &err);
	else
		errand_begin(self, &vault_global_delete_call, WORKER_WRITE, delete, req, request);
}
