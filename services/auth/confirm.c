/* auth.confirm - does the owner want this act, of this asset, for this recipient, now? A fresh signature over a text that names them all, and a fresh read
 * of the chain (proof.h). Opens no session; the caller has one to show for it.
 */
#include <stdio.h>
#include <string.h>

#include "services/auth/acts.h"
#include "services/auth/proof.h"

static void confirmed(struct proof *proof, const struct oracle_owner_rsp *read)
{
	struct auth_confirm_rsp rsp = {.slot = read->slot};
	snprintf(rsp.history, sizeof(rsp.history), "%s", proof->history);
	proof_audit(proof, "granted");
	bus_reply(proof->request, &rsp);
	proof_end(proof, AUTH_granted);
}

static int mismatch(struct error *err, const char *what)
{
	return error_refuse(
	    err, ERR_UNAUTHENTICATED, "message_mismatch", "the challenge was for another %s", what);
}

static int judge(const struct proof *proof, const struct nonce_record *record, struct error *err)
{
	const struct auth_confirm_req *req = proof->req;
	if (!record->act[0])
		return proof_unknown(err, "issued for signing in");
	if (strcmp(record->act, req->act) != 0)
		return mismatch(err, "act");
	/* the text of a key is unique, so comparing text compares keys */
	if (strcmp(record->asset, req->asset) != 0)
		return mismatch(err, "asset");
	if (record->recipient.len != req->recipient.len ||
	    memcmp(record->recipient.data, req->recipient.data, req->recipient.len) != 0)
		return mismatch(err, "recipient");
	return 0;
}

void auth_confirm(
    struct auth *self, const struct auth_confirm_req *req, struct bus_request *request)
{
	static const struct proof_way way = {"act", judge, proof_read_owner, confirmed};
	struct error err;
	if (!act_is_confirmed_by(req->act, bus_request_caller(request))) {
		error_set(&err, ERR_DENIED, "another service's act");
		bus_fail(request, &err);
		return;
	}
	proof_begin(&(struct proof){
	    .self = self,
	    .request = request,
	    .way = &way,
	    .req = req,
	    .nonce = req->nonce,
	    .ip = req->ip,
	    .act = req->act,
	    .came = {req->wallet, req->signature.data, req->signed_message.data,
		req->signed_message.len},
	    .outcomes = self->acts,
	});
}
