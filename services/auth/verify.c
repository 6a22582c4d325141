/* auth.verify - the way from a signed text to a session, one step after the other. The nonce is taken out of the ledger before anything else is looked at;
 * nonce, read and mint must belong to one history (rule 7). Whatever fails ends in refuse(), once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/pubkey.h"
#include "services/auth/auth.h"
#include "services/auth/signature.h"

struct sign_in {
	struct auth *self;
	const struct auth_verify_req *req; /* valid until the answer */
	struct bus_request *request;
	struct client_address client;
	char history[HISTORY_MAX + 1];   /* in which the nonce was issued and taken */
	char asset[PUBKEY_TEXT_MAX + 1]; /* "": not known yet */
	char name[64 + 1];               /* of the asset: hostile text */
};

static void audit(const struct sign_in *sign_in, const char *outcome)
{
	char wallet[9];
	snprintf(wallet, sizeof(wallet), "%.8s", sign_in->req->wallet);
	log_audit("sign-in", "outcome", outcome, "asset", sign_in->asset, "wallet", wallet, "ip",
	    sign_in->client.text, "trace", bus_request_trace(sign_in->request));
}

static void finish(struct sign_in *sign_in, enum sign_in_outcome outcome)
{
	metric_add(sign_in->self->sign_ins[outcome], 1);
	free(sign_in);
}

static void refuse(struct sign_in *sign_in, const struct error *err)
{
	enum sign_in_outcome outcome = auth_outcome(err->reason);
	if (err->code == ERR_UNAUTHENTICATED || err->code == ERR_DENIED || err->code == ERR_BUSY)
		audit(sign_in, err->reason);
	bus_fail(sign_in->request, err);
	finish(sign_in, outcome);
}

static void granted(void *arg, const void *message, const struct error *err)
{
	struct sign_in *sign_in = arg;
	const struct session_mint_rsp *minted = message;
	if (err) {
		refuse(sign_in, err);
		return;
	}
	uint8_t asset[PUBKEY_LEN];
	struct auth_verify_rsp rsp = {.exp_ms = minted->exp_ms};
	bug_if(pubkey_parse(sign_in->asset, asset) != 0);
	agent_id(asset, rsp.agent_id);
	memcpy(rsp.token, minted->token, sizeof(rsp.token));
	memcpy(rsp.jti, minted->jti, sizeof(rsp.jti));
	memcpy(rsp.asset, sign_in->asset, sizeof(rsp.asset));
	memcpy(rsp.name, sign_in->name, sizeof(rsp.name));
	memcpy(rsp.wallet, sign_in->req->wallet, sizeof(rsp.wallet));
	audit(sign_in, "granted");
	bus_reply(sign_in->request, &rsp);
	codec_wipe(&auth_verify_rsp_message, &rsp);
	finish(sign_in, SIGN_IN_granted);
}

static void mint(struct sign_in *sign_in, const struct oracle_owner_rsp *read)
{
	struct session_mint_req req = {.slot = read->slot};
	memcpy(req.asset, sign_in->asset, sizeof(req.asset));
	memcpy(req.wallet, sign_in->req->wallet, sizeof(req.wallet));
	memcpy(req.history, sign_in->history, sizeof(req.history));
	memcpy(req.name, sign_in->name, sizeof(req.name));
	memcpy(req.agent, sign_in->req->agent, sizeof(req.agent));
	memcpy(req.token, sign_in->req->token, sizeof(req.token));
	snprintf(req.ip, sizeof(req.ip), "%.45s", sign_in->client.text);
	bus_send(sign_in->self->session, &session_mint_call, &req,
	    bus_request_deadline(sign_in->request), bus_request_trace(sign_in->request), granted,
	    sign_in);
	codec_wipe(&session_mint_req_message, &req);
}

static int judge_owner(
    const struct sign_in *sign_in, const struct oracle_owner_rsp *read, struct error *err)
{
	if (strcmp(read->verdict, "owned") != 0)
		return error_refuse(
		    err, ERR_DENIED, "asset_refused", "the asset is %s", read->verdict);
	if (strcmp(read->owner, sign_in->req->wallet) != 0)
		return error_refuse(err, ERR_DENIED, "not_owner", "somebody else owns the asset");
	if (strcmp(read->history, sign_in->history) != 0) {
		error_refuse(
		    err, ERR_UNAVAILABLE, "chain_unavailable", "Redis was restarted meanwhile");
		err->retry_after_s = 2;
		return -1;
	}
	return 0;
}

static void owner_read(void *arg, const void *message, const struct error *err)
{
	struct sign_in *sign_in = arg;
	const struct oracle_owner_rsp *read = message;
	struct error refused;
	if (err) {
		auth_chain_error(err, &refused);
		refuse(sign_in, &refused);
		return;
	}
	if (judge_owner(sign_in, read, &refused) != 0) {
		refuse(sign_in, &refused);
		return;
	}
	memcpy(sign_in->name, read->name, sizeof(sign_in->name));
	mint(sign_in, read);
}

static void read_owner(struct sign_in *sign_in)
{
	struct oracle_owner_req req = {0};
	memcpy(req.asset, sign_in->asset, sizeof(req.asset));
	memcpy(req.wallet, sign_in->req->wallet, sizeof(req.wallet));
	bus_send(sign_in->self->oracle, &oracle_owner_call, &req,
	    bus_request_deadline(sign_in->request), bus_request_trace(sign_in->request), owner_read,
	    sign_in);
}

static void ask_which(struct sign_in *sign_in, const struct oracle_assets_rsp *found)
{
	struct auth_verify_rsp rsp = {.assets.len = found->assets.len};
	memcpy(rsp.assets.item, found->assets.item, sizeof(rsp.assets.item));
	bus_reply(sign_in->request, &rsp);
	finish(sign_in, SIGN_IN_asset_required);
}

static void assets_found(void *arg, const void *message, const struct error *err)
{
	struct sign_in *sign_in = arg;
	const struct oracle_assets_rsp *found = message;
	struct error refused;
	if (err) {
		auth_chain_error(err, &refused);
		refuse(sign_in, &refused);
	} else if (found->assets.len == 0) {
		error_refuse(
		    &refused, ERR_DENIED, "not_owner", "the wallet owns nothing in the collection");
		refuse(sign_in, &refused);
	} else if (found->assets.len > 1) {
		ask_which(sign_in, found);
	} else {
		memcpy(sign_in->asset, found->assets.item[0].asset, sizeof(sign_in->asset));
		read_owner(sign_in);
	}
}

static void choose_asset(struct sign_in *sign_in)
{
	if (sign_in->asset[0]) {
		read_owner(sign_in);
		return;
	}
	struct oracle_assets_req req = {0};
	memcpy(req.wallet, sign_in->req->wallet, sizeof(req.wallet));
	bus_send(sign_in->self->oracle, &oracle_assets_call, &req,
	    bus_request_deadline(sign_in->request), bus_request_trace(sign_in->request),
	    assets_found, sign_in);
}

static void limited(void *arg, const struct ledger_wait *out, const struct error *err)
{
	struct sign_in *sign_in = arg;
	struct error busy;
	if (err) {
		refuse(sign_in, err);
	} else if (out->wait_ms > 0) {
		auth_limited(out->wait_ms, &busy);
		refuse(sign_in, &busy);
	} else {
		choose_asset(sign_in);
	}
}

/* Only a wallet's own good signature counts against it: nobody else can lock it out. */
static void limit_wallet(struct sign_in *sign_in)
{
	const struct ledger_limit limit = auth_limit(
	    "sign-in", sign_in->req->wallet, sign_in->self->sign_ins_per_minute_per_wallet);
	ledger_limit(sign_in->self->process->redis, &limit, 1, limited, sign_in);
}

static int unknown(struct error *err, const char *why)
{
	return error_refuse(err, ERR_UNAUTHENTICATED, "nonce_unknown", "nonce: %s", why);
}

static int judge_nonce(
    const struct ledger_taken *taken, struct nonce_record *record_r, struct error *err)
{
	struct error broken;
	if (!taken->stored_history[0])
		return unknown(err, "never issued, expired or used");
	/* a Redis that forgot the taking may offer it again, but as another history */
	if (strcmp(taken->stored_history, taken->history) != 0)
		return unknown(err, "issued before Redis was restarted");
	if (nonce_decode(taken->value, taken->len, record_r, &broken) != 0)
		return unknown(err, broken.text);
	if (clock_unix_ms() >= record_r->expires_ms)
		return unknown(err, "expired");
	return 0;
}

static void taken(void *arg, const struct ledger_taken *out, const struct error *err)
{
	struct sign_in *sign_in = arg;
	struct nonce_record record;
	struct error refused;
	if (err) {
		refuse(sign_in, err);
		return;
	}
	if (judge_nonce(out, &record, &refused) != 0 ||
	    signature_check(&record, sign_in->req, &refused) != 0) {
		refuse(sign_in, &refused);
		return;
	}
	memcpy(sign_in->history, out->history, sizeof(sign_in->history));
	memcpy(sign_in->asset, record.asset, sizeof(sign_in->asset));
	limit_wallet(sign_in);
}

void auth_verify(struct auth *self, const struct auth_verify_req *req, struct bus_request *request)
{
	struct error err;
	struct sign_in *sign_in = calloc(1, sizeof(*sign_in));
	bug_if(!sign_in);
	*sign_in = (struct sign_in){.self = self, .req = req, .request = request};
	if (!nonce_is_valid(req->nonce)) {
		unknown(&err, "not one of ours");
		refuse(sign_in, &err);
		return;
	}
	if (client_address_parse(req->ip, &sign_in->client, &err) != 0) {
		refuse(sign_in, &err);
		return;
	}
	ledger_take(self->process->redis, req->nonce, taken, sign_in);
}
