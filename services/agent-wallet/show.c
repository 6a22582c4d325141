/* wallet.show and wallet.recent - what the chain says of a wallet: all of it is asked for at once, then judged (view.h). */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "services/agent-wallet/asking.h"
#include "services/agent-wallet/core_asset.h"
#include "services/agent-wallet/view.h"

#define ASSET_MAX 65536
#define AGES_MAX 8 /* delegates whose age is looked up */
#define HISTORY_MAX_LEN 50

struct showing {
	struct asking asking; /* first */
	const struct wallet_show_req *req;
	struct wallet_show_rsp rsp;
	struct accounts_item wallet;
	size_t pending;
	struct error err; /* the first; code NONE: none */
	size_t aged;      /* delegates whose age was looked up */
};

static void look_up_ages(struct showing *showing);

/* ---- 3. judged */

static void judge(struct showing *showing)
{
	const struct view_owner owner = {
	    .pda = showing->asking.pda, .asset = showing->asking.asset_key};
	view_judge(&owner, &showing->wallet, &showing->rsp);
	asking_reply(&showing->asking, &showing->rsp);
}

/* ---- 2. how old the delegates are, one after the other */

/* What does not fit has an older one: nothing is known then. */
static void on_history(void *arg, const void *message, const struct error *err)
{
	struct showing *showing = arg;
	const struct chain_recent_rsp *rsp = message;
	const struct asking *asking = &showing->asking;
	struct delegates_item *delegate = &showing->rsp.delegates.item[showing->aged++];
	if (!err && rsp->recents.len > 0 && rsp->recents.len < HISTORY_MAX_LEN)
		view_set_age(delegate, rsp->recents.item[rsp->recents.len - 1].slot,
		    asking->other_slot, asking->slot);
	look_up_ages(showing);
}

static void look_up_ages(struct showing *showing)
{
	struct chain_recent_req req = {.limit = HISTORY_MAX_LEN};
	if (showing->aged == showing->rsp.delegates.len || showing->aged == AGES_MAX) {
		judge(showing);
		return;
	}
	memcpy(req.address, showing->rsp.delegates.item[showing->aged].record, sizeof(req.address));
	asking_ask(&showing->asking, &chain_recent_call, &req, on_history);
}

/* ---- 1. everything else, at once */

/* False: the part is not there; the first error is what is told. */
static bool arrived(struct showing *showing, const struct error *err)
{
	showing->pending--;
	if (err && showing->err.code == ERR_NONE)
		showing->err = *err;
	return !err;
}

static void go_on(struct showing *showing)
{
	if (showing->pending > 0)
		return;
	if (showing->err.code != ERR_NONE)
		asking_refuse(&showing->asking, &showing->err);
	else
		look_up_ages(showing);
}

static void on_accounts(void *arg, const void *message, const struct error *err)
{
	struct showing *showing = arg;
	const struct chain_accounts_rsp *rsp = message;
	if (arrived(showing, err) && rsp->accounts.len > 0) {
		showing->wallet = rsp->accounts.item[0];
		showing->rsp.slot = rsp->slot;
		showing->rsp.lamports = showing->wallet.lamports;
		if (rsp->accounts.len > 1)
			showing->rsp.hot_lamports = rsp->accounts.item[1].lamports;
	}
	go_on(showing);
}

static void on_rent(void *arg, const void *message, const struct error *err)
{
	struct showing *showing = arg;
	const struct chain_rent_rsp *rsp = message;
	if (arrived(showing, err) && rsp->rents.len > 0)
		showing->rsp.rent_exempt = rsp->rents.item[0].lamports;
	go_on(showing);
}

static void on_tokens(void *arg, const void *message, const struct error *err)
{
	struct showing *showing = arg;
	const struct chain_tokens_rsp *rsp = message;
	if (arrived(showing, err)) {
		showing->rsp.more = rsp->more;
		showing->rsp.holdings.len = rsp->holdings.len;
		memcpy(showing->rsp.holdings.item, rsp->holdings.item,
		    rsp->holdings.len * sizeof(rsp->holdings.item[0]));
	}
	go_on(showing);
}

static void on_records(void *arg, const void *message, const struct error *err)
{
	struct showing *showing = arg;
	const struct chain_records_rsp *rsp = message;
	struct error few;
	/* one node of several could hide one */
	if (!err && !chain_is_vouched(rsp->nodes, rsp->of)) {
		error_refuse(&few, ERR_UNAVAILABLE, "chain_unavailable",
		    "only one node tells who may execute");
		err = &few;
	}
	if (arrived(showing, err)) {
		size_t lies = view_add_delegates(message, showing->asking.asset_key, &showing->rsp);
		if (lies > 0)
			log_warn("a node names execution delegates that cannot be", "asset",
			    showing->asking.asset, "count", log_u64(lies));
	}
	go_on(showing);
}

static void on_asset(void *arg, const void *message, const struct error *err)
{
	struct showing *showing = arg;
	const struct chain_account_rsp *rsp = message;
	struct core_asset asset;
	if (arrived(showing, err) && core_asset_read(rsp->data.data, rsp->data.len, &asset)) {
		/* one that cannot be read may have one */
		showing->rsp.identity = asset.identity || !asset.plugins_known;
		showing->rsp.execute_frozen = asset.execute_frozen;
	}
	go_on(showing);
}

static void read_chain(struct asking *asking)
{
	struct showing *showing = (struct showing *)asking;
	const struct chain_rent_req rent = {.sizes.len = 1};
	struct chain_accounts_req *accounts = calloc(1, sizeof(*accounts));
	struct chain_tokens_req tokens = {.min_slot = asking->slot};
	struct chain_records_req records = {0};
	struct chain_account_req asset = {.data_max = ASSET_MAX, .min_slot = asking->slot};
	bug_if(!accounts);
	accounts->min_slot = asking->slot;
	accounts->keys.len = showing->req->hot[0] ? 2 : 1;
	memcpy(accounts->keys.item[0].key, asking->pda, sizeof(asking->pda));
	memcpy(accounts->keys.item[1].key, showing->req->hot, sizeof(showing->req->hot));
	memcpy(tokens.owner, asking->pda, sizeof(tokens.owner));
	memcpy(records.asset, asking->asset, sizeof(records.asset));
	memcpy(asset.key, asking->asset, sizeof(asset.key));
	showing->pending = 5;
	asking_ask(asking, &chain_accounts_call, accounts, on_accounts);
	asking_ask(asking, &chain_rent_call, &rent, on_rent);
	asking_ask(asking, &chain_tokens_call, &tokens, on_tokens);
	asking_ask(asking, &chain_records_call, &records, on_records);
	asking_ask(asking, &chain_account_call, &asset, on_asset);
	free(accounts);
}

void wallet_show(
    struct wallet *self, const struct wallet_show_req *req, struct bus_request *request)
{
	struct showing *showing = calloc(1, sizeof(*showing));
	bug_if(!showing);
	showing->asking = (struct asking){
	    .wallet = self, .request = request, .is_alone = true, .next = read_chain};
	showing->req = req;
	asking_begin(&showing->asking, req->token);
}

/* ---- the latest transactions */

struct listing {
	struct asking asking; /* first */
	const struct wallet_recent_req *req;
};

static void on_recent(void *arg, const void *message, const struct error *err)
{
	struct listing *listing = arg;
	const struct chain_recent_rsp *recent = message;
	if (err) {
		asking_refuse(&listing->asking, err);
		return;
	}
	struct wallet_recent_rsp *rsp = calloc(1, sizeof(*rsp));
	bug_if(!rsp);
	rsp->recents.len = recent->recents.len;
	memcpy(rsp->recents.item, recent->recents.item,
	    recent->recents.len * sizeof(recent->recents.item[0]));
	asking_reply(&listing->asking, rsp);
	free(rsp);
}

static void read_recent(struct asking *asking)
{
	const struct listing *listing = (struct listing *)asking;
	struct chain_recent_req req = {.limit = listing->req->limit};
	memcpy(req.address, asking->pda, sizeof(req.address));
	memcpy(req.before, listing->req->before, sizeof(req.before));
	asking_ask(asking, &chain_recent_call, &req, on_recent);
}

void wallet_recent(
    struct wallet *self, const struct wallet_recent_req *req, struct bus_request *request)
{
	struct listing *listing = calloc(1, sizeof(*listing));
	bug_if(!listing);
	listing->asking = (struct asking){.wallet = self, .request = request, .next = read_recent};
	listing->req = req;
	asking_begin(&listing->asking, req->token);
}
