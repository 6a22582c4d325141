/* vault.resolve - where each provider's key comes from. */
#include <stdio.h>

#include "services/secret-vault/asking.h"
#include "services/secret-vault/llm.h"

static int resolve_all(const struct providers *providers, struct desk *desk,
    const struct record_list *own, const struct record_list *global, bool opens_own,
    struct providers_item *item_r, struct error *err)
{
	for (size_t i = 0; i < providers->len; i++) {
		const char *provider = providers->provider[i].name;
		struct providers_item *item = &item_r[i];
		struct resolved resolved;
		if (records_resolve(desk, own, global, provider, opens_own, &resolved, err) != 0)
			return -1;
		snprintf(item->provider, sizeof(item->provider), "%s", provider);
		snprintf(item->source, sizeof(item->source), "%s", resolved.source);
		snprintf(item->own, sizeof(item->own), "%s", resolved.own);
		memcpy(item->preview, resolved.preview, sizeof(item->preview));
		snprintf(item->delivery, sizeof(item->delivery), "%s", resolved.delivery);
	}
	return 0;
}

int llm_resolve(const struct vault *vault, struct desk *desk, const struct record_list *own,
    bool opens_own, struct providers_item *item_r, size_t *len_r, struct error *err)
{
	scoped_open_period struct open_period global = {0};
	scoped_record_list struct record_list list = {0};
	int found = records_open_global(desk, false, &global, err);
	if (found < 0 || (found && records_list_names(desk, &global, &list, err) != 0) ||
	    resolve_all(
		vault->providers, desk, own, found ? &list : NULL, opens_own, item_r, err) != 0)
		return -1;
	*len_r = vault->providers->len;
	return 0;
}

static int resolve(struct asking *asking, struct desk *desk, struct error *err)
{
	struct vault_resolve_rsp *rsp = asking->rsp;
	scoped_open_period struct open_period own = {0};
	scoped_record_list struct record_list list = {0};
	int found = records_open_period(desk, &asking->holding, &own, err);
	if (found < 0 || (found && records_list_all(desk, &own, &list, err) != 0))
		return -1;
	return llm_resolve(asking->vault, desk, found ? &list : NULL, true, rsp->providers.item,
	    &rsp->providers.len, err);
}

void vault_resolve(
    struct vault *self, const struct vault_resolve_req *req, struct bus_request *request)
{
	static const struct asking_plan plan = {
	    .call = &vault_resolve_call, .kind = WORKER_READ, .releases = true, .work = resolve};
	asking_begin(self, &plan, req->token, NULL, req, request, NULL, 0);
}
