/* auth.assets - what a wallet owns in the collection, from chain-oracle's index. */
#include <stdlib.h>
#include <string.h>

#include "services/auth/auth.h"

struct asking {
	struct auth *self;
	const struct auth_assets_req *req; /* valid until the answer */
	struct bus_request *request;
};

static void answered(void *arg, const void *message, const struct error *err)
{
	struct asking *asking = arg;
	const struct oracle_assets_rsp *found = message;
	struct error failed;
	if (err) {
		auth_chain_error(err, &failed);
		bus_fail(asking->request, &failed);
	} else {
		struct auth_assets_rsp rsp = {.assets.len = found->assets.len};
		memcpy(rsp.assets.item, found->assets.item, sizeof(rsp.assets.item));
		bus_reply(asking->request, &rsp);
	}
	free(asking);
}

static void limited(void *arg, const struct ledger_wait *out, const struct error *err)
{
	struct asking *asking = arg;
	struct error busy;
	if (!err && out->wait_ms == 0) {
		struct oracle_assets_req req = {0};
		memcpy(req.wallet, asking->req->wallet, sizeof(req.wallet));
		bus_send(asking->self->oracle, &oracle_assets_call, &req,
		    bus_request_deadline(asking->request), bus_request_trace(asking->request),
		    answered, asking);
		return;
	}
	if (!err)
		auth_limited(out->wait_ms, &busy);
	bus_fail(asking->request, err ? err : &busy);
	free(asking);
}

void auth_assets(struct auth *self, const struct auth_assets_req *req, struct bus_request *request)
{
	struct error err;
	struct client_address client;
	uint8_t key[PUBKEY_LEN];
	if (pubkey_parse(req->wallet, key) != 0) {
		error_refuse(
		    &err, ERR_INVALID, "wallet_invalid", "the wallet is not a base58 public key");
		bus_fail(request, &err);
		return;
	}
	if (client_address_parse(req->ip, &client, &err) != 0) {
		bus_fail(request, &err);
		return;
	}
	struct asking *asking = calloc(1, sizeof(*asking));
	bug_if(!asking);
	*asking = (struct asking){.self = self, .req = req, .request = request};
	const struct ledger_limit limit =
	    auth_limit("assets", client.block, self->assets_per_minute_per_address);
	ledger_limit(self->process->redis, &limit, 1, limited, asking);
}
