/* session.revoke and ban - an operator ends sessions; who it was is in the audit trail. */
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "services/session/session.h"

struct act {
	struct session *self;
	struct bus_request *request;
	const char *what;                   /* for the audit trail */
	char target[PUBKEY_TEXT_MAX + 1];   /* asset or wallet, or "*" */
	char announce[PUBKEY_TEXT_MAX + 1]; /* the asset whose sessions end, or "*" */
};

static struct act *act_new(struct session *self, struct bus_request *request, const char *what,
    const char *target, const char *announce)
{
	struct act *act = calloc(1, sizeof(*act));
	bug_if(!act);
	act->self = self;
	act->request = request;
	act->what = what;
	snprintf(act->target, sizeof(act->target), "%s", target);
	snprintf(act->announce, sizeof(act->announce), "%s", announce);
	return act;
}

static void done(void *arg, const struct ledger_ended *out, const struct error *err)
{
	struct act *act = arg;
	struct session_end_rsp rsp;
	char caller[128];
	if (err) {
		bus_fail(act->request, err);
	} else {
		role_text(bus_request_caller(act->request), caller, sizeof(caller));
		log_audit("operator", "act", act->what, "target", act->target, "caller", caller,
		    "trace", bus_request_trace(act->request));
		session_tell(act->self, out, act->announce, &rsp);
		bus_reply(act->request, &rsp);
	}
	free(act);
}

static int check_revoke(const struct session_revoke_req *req, struct error *err)
{
	uint8_t key[PUBKEY_LEN];
	if (req->everything)
		return req->asset[0] || req->jti[0]
			   ? error_set(err, ERR_INVALID, "everything takes neither asset nor jti")
			   : 0;
	if (pubkey_parse(req->asset, key) != 0)
		return error_refuse(
		    err, ERR_INVALID, "asset_invalid", "the asset is not a base58 address");
	if (req->jti[0] && !token_jti_is_valid(req->jti))
		return error_set(err, ERR_INVALID, "jti is not that of a session");
	return 0;
}

void session_revoke(
    struct session *self, const struct session_revoke_req *req, struct bus_request *request)
{
	struct redis *redis = self->process->redis;
	struct error err;
	if (check_revoke(req, &err) != 0)
		bus_fail(request, &err);
	else if (req->everything)
		ledger_end_everything(
		    redis, done, act_new(self, request, "revoke everything", "*", "*"));
	else if (req->jti[0])
		ledger_end(redis, req->asset, req->jti, "revoked", done,
		    act_new(self, request, "revoke one", req->asset, req->asset));
	else
		ledger_end_all(redis, req->asset, "revoked", done,
		    act_new(self, request, "revoke all", req->asset, req->asset));
}

void session_ban(
    struct session *self, const struct session_ban_req *req, struct bus_request *request)
{
	uint8_t key[PUBKEY_LEN];
	struct error err;
	if (pubkey_parse(req->wallet, key) != 0) {
		error_refuse(
		    &err, ERR_INVALID, "wallet_invalid", "the wallet is not a base58 public key");
		bus_fail(request, &err);
		return;
	}
	ledger_ban(self->process->redis, req->wallet, req->banned, done,
	    act_new(self, request, req->banned ? "ban" : "lift a ban", req->wallet, "*"));
}
