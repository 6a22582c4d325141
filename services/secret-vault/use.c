/* vault.use - a provider's key for the gateway of the host that has the agent: the owner's own, else the global one, else none. It is in no file and in no container. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/scoped.h"
#include "services/secret-vault/granting.h"

#define KIND "llm"

static void give(struct vault_use_rsp *rsp, const char *source, const struct record *record)
{
	snprintf(rsp->source, sizeof(rsp->source), "%s", source);
	rsp->version = record->version;
	rsp->key.len = secret_len(record->value);
	memcpy(rsp->key.data, secret_bytes(record->value), rsp->key.len);
}

static int note(
    struct asking *asking, struct desk *desk, const struct period *period, struct error *err)
{
	const struct vault_use_req *req = asking->req;
	const struct vault_use_rsp *rsp = asking->rsp;
	char detail[160 + 1];
	snprintf(detail, sizeof(detail), "%s key for asset %s", rsp->source, asking->holding.asset);
	const struct audit_note entry = {.act = "use",
	    .by = asking->by,
	    .kind = KIND,
	    .name = req->provider,
	    .detail = detail,
	    .version = rsp->version};
	return records_audit(desk, period, &entry, err);
}

/* 1: there is one, 0: none. */
static int use_own(
    struct asking *asking, struct desk *desk, const struct open_period *period, struct error *err)
{
	const struct vault_use_req *req = asking->req;
	struct vault_use_rsp *rsp = asking->rsp;
	struct record record;
	if (records_read(desk, period, KIND, req->provider, &record, err) != 0)
		return -1;
	if (record.found == RECORD_SET)
		give(rsp, "user", &record);
	snprintf(rsp->own, sizeof(rsp->own), "%s",
	    record.found == RECORD_SET       ? "set"
	    : record.found == RECORD_DELETED ? "deleted"
					     : "none");
	bool has = record.found == RECORD_SET;
	secret_destroy(&record.value);
	return has;
}

static int use_global(struct asking *asking, struct desk *desk, struct error *err)
{
	const struct vault_use_req *req = asking->req;
	scoped_open_period struct open_period global = {0};
	struct record record;
	int found = records_open_global(desk, false, &global, err);
	if (found <= 0)
		return found;
	if (records_read(desk, &global, KIND, req->provider, &record, err) != 0)
		return -1;
	bool has = record.found == RECORD_SET;
	if (has)
		give(asking->rsp, "global", &record);
	secret_destroy(&record.value);
	/* what is everybody's is also in the chain of what is everybody's */
	return has && note(asking, desk, &global.row.period, err) != 0 ? -1 : has;
}

static int work(struct asking *asking, struct desk *desk, struct error *err)
{
	struct vault_use_rsp *rsp = asking->rsp;
	scoped_open_period struct open_period period = {0};
	snprintf(rsp->source, sizeof(rsp->source), "none");
	if (granting_open_period(asking, desk, &period, err) != 0)
		return -1;
	int has = use_own(asking, desk, &period, err);
	if (has == 0)
		has = use_global(asking, desk, err);
	if (has < 0)
		return -1;
	return has ? note(asking, desk, &period.row.period, err) : 0;
}

static int check(const struct vault *self, const struct vault_use_req *req, struct error *err)
{
	if (providers_find(self->providers, req->provider))
		return 0;
	return error_refuse(err, ERR_INVALID, "provider_unknown",
	    "no provider of this name in the data file of providers");
}

void vault_use(struct vault *self, const struct vault_use_req *req, struct bus_request *request)
{
	static const struct asking_plan plan = {.call = &vault_use_call,
	    .kind = WORKER_WRITE,
	    .releases = true,
	    .limit_kind = "vault-use",
	    .work = work};
	struct error err;
	if (check(self, req, &err) != 0)
		bus_fail(request, &err);
	else
		granting_begin(
		    self, &plan, PLACEMENT_GATEWAY, req->grant.data, req->grant.len, req, request);
}
