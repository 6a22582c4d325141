/* session.mint - opens a session. The ledger judges once more, in the same step that writes it: history, settling, chain's age, ban, owner. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "services/session/session.h"

struct minting {
	struct session *self;
	const struct session_mint_req *req; /* valid until the answer */
	struct bus_request *request;
	struct session_mint_rsp rsp;
};

static void destroy(struct minting *minting)
{
	codec_wipe(&session_mint_rsp_message, &minting->rsp);
	free(minting);
}

static int unavailable(struct error *err, const char *why)
{
	error_refuse(err, ERR_UNAVAILABLE, "chain_unavailable", "%s", why);
	err->retry_after_s = 2; /* how long a history settles */
	return -1;
}

static int judge(enum ledger_verdict verdict, struct error *err)
{
	switch (verdict) {
	case LEDGER_GOOD:
		return 0;
	case LEDGER_BANNED:
		return error_refuse(err, ERR_DENIED, "banned", "the wallet is banned");
	case LEDGER_HISTORY:
		return unavailable(err, "Redis was restarted since the owner was read");
	case LEDGER_SETTLING:
		return unavailable(err, "Redis was restarted a moment ago");
	case LEDGER_CHAIN:
		return unavailable(err, "no sweep of the chain has counted for a minute");
	case LEDGER_NOT_OWNER:
	case LEDGER_ENDED:
		break;
	}
	return error_refuse(
	    err, ERR_DENIED, "not_owner", "somebody else has been seen to own the asset");
}

static void audit(const struct minting *minting, const char *outcome)
{
	char wallet[9];
	snprintf(wallet, sizeof(wallet), "%.8s", minting->req->wallet);
	log_audit("session", "outcome", outcome, "asset", minting->req->asset, "wallet", wallet,
	    "jti", minting->rsp.jti, "ip", minting->req->ip, "trace",
	    bus_request_trace(minting->request));
}

static void minted(void *arg, const struct ledger_ended *out, const struct error *err)
{
	struct minting *minting = arg;
	struct session *self = minting->self;
	struct error refused;
	if (err) {
		bus_fail(minting->request, err);
	} else if (judge(out->verdict, &refused) != 0) {
		metric_add(self->refused, 1);
		audit(minting, refused.reason);
		bus_fail(minting->request, &refused);
	} else {
		metric_add(self->minted, 1);
		audit(minting, "opened");
		if (out->changed)
			process_announce(
			    self->process, out->history, out->event, minting->req->asset);
		bus_reply(minting->request, &minting->rsp);
	}
	destroy(minting);
}

static int check(const struct session_mint_req *req, struct error *err)
{
	uint8_t key[PUBKEY_LEN];
	if (pubkey_parse(req->asset, key) != 0)
		return error_refuse(
		    err, ERR_INVALID, "asset_invalid", "the asset is not a base58 address");
	if (pubkey_parse(req->wallet, key) != 0)
		return error_refuse(
		    err, ERR_INVALID, "wallet_invalid", "the wallet is not a base58 public key");
	if (req->slot > TOKEN_SLOT_MAX)
		return error_refuse(
		    err, ERR_UNAVAILABLE, "chain_unavailable", "no chain has reached that slot");
	return 0;
}

/* Of the session that was presented along with the sign-in, if it is one of ours for this asset: that one ends. */
static void find_previous(
    const struct session *self, const struct session_mint_req *req, char jti_r[JTI_LEN + 1])
{
	struct token_claims claims;
	struct error ignored;
	jti_r[0] = '\0';
	if (req->token[0] && session_read_token(self, req->token, &claims, &ignored) == 0 &&
	    strcmp(claims.asset, req->asset) == 0 && token_is_console(&claims))
		memcpy(jti_r, claims.jti, sizeof(claims.jti));
}

static void new_claims(const struct session_mint_req *req, struct token_claims *claims_r)
{
	*claims_r = (struct token_claims){.slot = req->slot, .iat_s = clock_unix_ms() / 1000};
	claims_r->exp_s = claims_r->iat_s + SESSION_SECONDS;
	token_new_jti(claims_r->jti);
	snprintf(claims_r->asset, sizeof(claims_r->asset), "%s", req->asset);
	snprintf(claims_r->wallet, sizeof(claims_r->wallet), "%s", req->wallet);
	memcpy(claims_r->aud, TOKEN_AUD, sizeof(TOKEN_AUD));
}

static int mint(struct minting *minting, struct error *err)
{
	struct session *self = minting->self;
	const struct session_mint_req *req = minting->req;
	struct token_claims claims;
	char previous[JTI_LEN + 1];
	const struct signing_key *key = rotation_signer(&self->rotation, err);
	if (!key || check(req, err) != 0)
		return -1;
	new_claims(req, &claims);
	if (token_compose(key, self->origin.text, &claims, minting->rsp.token, err) != 0)
		return -1;
	find_previous(self, req, previous);
	memcpy(minting->rsp.jti, claims.jti, sizeof(minting->rsp.jti));
	minting->rsp.exp_ms = claims.exp_s * 1000;
	const struct ledger_mint record = {
	    .asset = req->asset,
	    .wallet = req->wallet,
	    .history = req->history,
	    .jti = claims.jti,
	    .aud = TOKEN_AUD,
	    .name = req->name,
	    .ip = req->ip,
	    .agent = req->agent,
	    .kid = key->kid,
	    .previous = previous,
	    .slot = req->slot,
	    .iat_ms = claims.iat_s * 1000,
	    .exp_ms = minting->rsp.exp_ms,
	};
	ledger_mint(self->process->redis, &record, minted, minting);
	return 0;
}

void session_mint(
    struct session *self, const struct session_mint_req *req, struct bus_request *request)
{
	struct error err;
	struct minting *minting = calloc(1, sizeof(*minting));
	bug_if(!minting);
	minting->self = self;
	minting->req = req;
	minting->request = request;
	if (mint(minting, &err) != 0) {
		bus_fail(request, &err);
		destroy(minting);
	}
}
