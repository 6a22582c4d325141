/* wallet.show and wallet.recent - what the chain says of a wallet: all of it is asked for at once, then judged (view.h). */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/scoped.h"
#include "common/token_account.h"
#include "services/agent-wallet/asking.h"
#include "services/agent-wallet/view.h"

#define ASSET_MAX 65536
#define AGES_MAX 8 /* delegates whose age is looked up */
#define HISTORY_MAX_LEN 50
#define ANSWER_MS 1000 /* kept of the caller's time, to judge and answer */

struct showing {
	struct asking asking; /* first */
	const struct wallet_show_req *req;
	struct wallet_show_rsp rsp;
	struct accounts_item wallet;
	struct view_place places[VIEW_PLACES_MAX];
	size_t n_places;
	size_t pending;
	struct error err; /* the first; code NONE: none */
	size_t aged;      /* delegates whose age was looked up */
};

static void look_up_ages(struct showing *showing);

/* ---- 3. judged */

static struct view_owner owner_of(const struct showing *showing)
{
	return (struct view_owner){.pda = showing->asking.pda, .asset = showing->asking.asset_key};
}

static void judge(struct showing *showing)
{
	const struct view_owner owner = owner_of(showing);
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

/* Of one that nobody tells in time the age is unknown, which keeps no one from seeing that it is there. */
static void look_up_ages(struct showing *showing)
{
	const struct asking *asking = &showing->asking;
	struct chain_recent_req req = {.limit = HISTORY_MAX_LEN};
	uint64_t until = bus_request_deadline(asking->request) - ANSWER_MS;
	if (showing->aged == showing->rsp.delegates.len || showing->aged == AGES_MAX ||
	    clock_unix_ms() >= until) {
		judge(showing);
		return;
	}
	memcpy(req.address, showing->rsp.delegates.item[showing->aged].record, sizeof(req.address));
	bus_send(asking->wallet->oracles, &chain_recent_call, &req, until,
	    bus_request_trace(asking->request), on_history, showing);
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

static bool has_all(struct showing *showing, size_t got, size_t first)
{
	if (got == first + showing->n_places)
		return true;
	error_refuse(&showing->err, ERR_UNAVAILABLE, "chain_unavailable", "an account is missing");
	return false;
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

/* The wallet, the hot one if it is wanted, the places. */
static void on_accounts(void *arg, const void *message, const struct error *err)
{
	struct showing *showing = arg;
	const struct chain_accounts_rsp *rsp = message;
	const struct view_owner owner = owner_of(showing);
	size_t first = showing->req->hot[0] ? 2 : 1;
	if (arrived(showing, err) && has_all(showing, rsp->accounts.len, first)) {
		showing->wallet = rsp->accounts.item[0];
		showing->rsp.slot = rsp->slot;
		showing->rsp.lamports = showing->wallet.lamports;
		if (first == 2)
			showing->rsp.hot_lamports = rsp->accounts.item[1].lamports;
		for (size_t i = 0; i < showing->n_places; i++)
			view_judge_place(&owner, &showing->places[i],
			    &rsp->accounts.item[first + i], &showing->rsp);
	}
	go_on(showing);
}

static void read_accounts(struct showing *showing)
{
	const struct asking *asking = &showing->asking;
	const struct view_owner owner = owner_of(showing);
	scoped_free struct chain_accounts_req *req = calloc(1, sizeof(*req));
	bug_if(!req);
	req->min_slot = asking->slot;
	req->data_max = TOKEN_ACCOUNT_LEN;
	memcpy(req->keys.item[req->keys.len++].key, asking->pda, sizeof(asking->pda));
	if (showing->req->hot[0])
		memcpy(req->keys.item[req->keys.len++].key, showing->req->hot,
		    sizeof(showing->req->hot));
	showing->n_places = view_places(&owner, &showing->rsp, showing->places);
	for (size_t i = 0; i < showing->n_places; i++)
		pubkey_text(showing->places[i].account, req->keys.item[req->keys.len++].key);
	showing->pending++;
	asking_ask(&showing->asking, &chain_accounts_call, req, on_accounts);
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
		read_accounts(showing); /* which of them, the tokens tell */
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
	if (arrived(showing, err))
		view_add_asset(message, &showing->rsp);
	go_on(showing);
}

static void read_chain(struct asking *asking)
{
	struct showing *showing = (struct showing *)asking;
	const struct chain_rent_req rent = {.sizes.len = 1};
	struct chain_tokens_req tokens = {.min_slot = asking->slot};
	struct chain_records_req records = {0};
	struct chain_account_req asset = {.data_max = ASSET_MAX, .min_slot = asking->slot};
	memcpy(tokens.owner, asking->pda, sizeof(tokens.owner));
	memcpy(records.asset, asking->asset, sizeof(records.asset));
	memcpy(asset.key, asking->asset, sizeof(asset.key));
	showing->pending = 4;
	asking_ask(asking, &chain_rent_call, &rent, on_rent);
	asking_ask(asking, &chain_tokens_call, &tokens, on_tokens);
	asking_ask(asking, &chain_records_call, &records, on_records);
	asking_ask(asking, &chain_account_call, &asset, on_asset);
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
