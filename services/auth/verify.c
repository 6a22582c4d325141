/* auth.verify - the way from a signed text to a session: what is proven (proof.h), for the asset that the text names or the only one there is, is minted. */
#include <string.h>

#include "common/pubkey.h"
#include "services/auth/proof.h"

static void granted(void *arg, const void *message, const struct error *err)
{
	struct proof *proof = arg;
	const struct session_mint_rsp *minted = message;
	if (err) {
		proof_refuse(proof, err);
		return;
	}
	uint8_t asset[PUBKEY_LEN];
	struct auth_verify_rsp rsp = {.exp_ms = minted->exp_ms};
	bug_if(pubkey_parse(proof->asset, asset) != 0);
	agent_id(asset, rsp.agent_id);
	memcpy(rsp.token, minted->token, sizeof(rsp.token));
	memcpy(rsp.jti, minted->jti, sizeof(rsp.jti));
	memcpy(rsp.asset, proof->asset, sizeof(rsp.asset));
	memcpy(rsp.name, proof->name, sizeof(rsp.name));
	memcpy(rsp.wallet, proof->came.wallet, strlen(proof->came.wallet) + 1);
	proof_audit(proof, "granted");
	bus_reply(proof->request, &rsp);
	codec_wipe(&auth_verify_rsp_message, &rsp);
	proof_end(proof, AUTH_granted);
}

static void mint(struct proof *proof, const struct oracle_owner_rsp *read)
{
	const struct auth_verify_req *asked = proof->req;
	struct session_mint_req req = {.slot = read->slot};
	memcpy(req.asset, proof->asset, sizeof(req.asset));
	memcpy(req.wallet, asked->wallet, sizeof(req.wallet));
	memcpy(req.history, proof->history, sizeof(req.history));
	memcpy(req.name, proof->name, sizeof(req.name));
	memcpy(req.agent, asked->agent, sizeof(req.agent));
	memcpy(req.token, asked->token, sizeof(req.token));
	snprintf(req.ip, sizeof(req.ip), "%.45s", proof->client.text);
	bus_send(proof->self->session, &session_mint_call, &req,
	    bus_request_deadline(proof->request), bus_request_trace(proof->request), granted,
	    proof);
	codec_wipe(&session_mint_req_message, &req);
}

static void ask_which(struct proof *proof, const struct oracle_assets_rsp *found)
{
	struct auth_verify_rsp rsp = {.assets.len = found->assets.len};
	memcpy(rsp.assets.item, found->assets.item, sizeof(rsp.assets.item));
	bus_reply(proof->request, &rsp);
	proof_end(proof, AUTH_asset_required);
}

static void assets_found(void *arg, const void *message, const struct error *err)
{
	struct proof *proof = arg;
	const struct oracle_assets_rsp *found = message;
	struct error refused;
	if (err) {
		auth_chain_error(err, &refused);
		proof_refuse(proof, &refused);
	} else if (found->assets.len == 0) {
		error_refuse(
		    &refused, ERR_DENIED, "not_owner", "the wallet owns nothing in the collection");
		proof_refuse(proof, &refused);
	} else if (found->assets.len > 1) {
		ask_which(proof, found);
	} else {
		memcpy(proof->asset, found->assets.item[0].asset, sizeof(proof->asset));
		proof_read_owner(proof);
	}
}

static void choose_asset(struct proof *proof)
{
	const struct auth_verify_req *asked = proof->req;
	if (proof->asset[0]) {
		proof_read_owner(proof);
		return;
	}
	struct oracle_assets_req req = {0};
	memcpy(req.wallet, asked->wallet, sizeof(req.wallet));
	bus_send(proof->self->oracle, &oracle_assets_call, &req,
	    bus_request_deadline(proof->request), bus_request_trace(proof->request), assets_found,
	    proof);
}

/* What was signed for an act says nothing of signing in. */
static int judge(const struct proof *proof, const struct nonce_record *record, struct error *err)
{
	(void)proof;
	return record->act[0] ? proof_unknown(err, "issued for an act") : 0;
}

void auth_verify(struct auth *self, const struct auth_verify_req *req, struct bus_request *request)
{
	static const struct proof_way way = {"sign-in", judge, choose_asset, mint};
	proof_begin(&(struct proof){
	    .self = self,
	    .request = request,
	    .way = &way,
	    .req = req,
	    .nonce = req->nonce,
	    .ip = req->ip,
	    .act = "",
	    .came = {req->wallet, req->signature.data, req->signed_message.data,
		req->signed_message.len},
	    .outcomes = self->sign_ins,
	});
}
