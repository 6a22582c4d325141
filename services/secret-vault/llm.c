/* vault.resolve - where each provider's key comes from. */
#include <stdio.h>

#include "services/secret-vault/asking.h"
#include "services/secret-vault/llm.h"

static int resolve_one(struct desk *desk, const struct open_period *own,
    const struct open_period *global, const char *provider, struct providers_item *item_r,
    struct error *err)
{
	struct resolved resolved = {0};
	if (records_resolve(desk, own, global, provider, false, &resolved, err) != 0)
		return -1;
	snprintf(item_r->provider, sizeof(item_r->provider), "%s", provider);
	snprintf(item_r->source, sizeof(item_r->source), "%s", resolved.source);
	snprintf(item_r->own, sizeof(item_r->own), "%s", resolved.own);
	memcpy(item_r->preview, resolved.preview, sizeof(item_r->preview));
	return 0;
}

int llm_resolve(const struct vault *vault, struct desk *desk, const struct open_period *own,
    struct providers_item *item_r, size_t *len_r, struct error *err)
{
	const struct providers *providers = vault->providers;
	scoped_open_period struct open_period global = {0};
	int found = records_open_global(desk, false, &global, err);
	if (found < 0)
		return -1;
	for (*len_r = 0; *len_r < providers->len; (*len_r)++)
		if (resolve_one(desk, own, found ? &global : NULL, providers->provider[*len_r].name,
			&item_r[*len_r], err) != 0)
			return -1;
	return 0;
}

static int resolve(struct asking *asking, struct desk *desk, struct error *err)
{
	struct vault_resolve_rsp *rsp = asking->rsp;
	scoped_open_period struct open_period own = {0};
	int found = records_open_period(desk, &asking->holding, &own, err);
	if (found < 0)
		return -1;
	return llm_resolve(asking->vault, desk, found ? &own : NULL, rsp->providers.item,
	    &rsp->providers.len, err);
}

void vault_resolve(
    struct vault *self, const struct vault_resolve_req *req, struct bus_request *request)
{
	static const struct asking_plan plan = {
	    .call = &vault_resolve_call, .kind = WORKER_READ, .releases = true, .work = resolve};
	asking_begin(self, &plan, req->token, NULL, req, request, NULL, 0);
}
