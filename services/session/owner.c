/* session.check, list and end - calls made with an owner's token: it is read, then looked up, then the call goes on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "services/session/session.h"

struct asking {
	struct session *self;
	struct bus_request *request;
	struct token_claims claims;
	/* the token is good: goes on with the call, and owns asking */
	void (*next)(struct asking *asking, const struct ledger_look *look);
	char jti[JTI_LEN + 1]; /* end: which session */
	bool all;              /* end: every session of the asset */
};

static void refuse(struct asking *asking, const struct error *err)
{
	if (err->code == ERR_UNAUTHENTICATED)
		metric_add(asking->self->bad, 1);
	bus_fail(asking->request, err);
	free(asking);
}

static bool record_agrees(const struct token_claims *claims, const struct ledger_look *look)
{
	return strcmp(claims->asset, look->asset) == 0 &&
	       strcmp(claims->wallet, look->wallet) == 0 && claims->slot == look->slot &&
	       claims->iat_s * 1000 == look->iat_ms && claims->exp_s * 1000 == look->exp_ms &&
	       strcmp(look->aud, TOKEN_AUD) == 0;
}

/* A ban reads as the end of the session: what a wallet did to be banned is not told to whoever holds its cookie. */
static int judge(const struct asking *asking, const struct ledger_look *look, struct error *err)
{
	if (look->verdict != LEDGER_GOOD)
		return error_refuse(
		    err, ERR_UNAUTHENTICATED, "session_revoked", "the session has ended");
	if (record_agrees(&asking->claims, look))
		return 0;
	log_audit("a token of ours differs from its record", "asset", look->asset, "jti",
	    asking->claims.jti, "trace", bus_request_trace(asking->request));
	return error_refuse(
	    err, ERR_UNAUTHENTICATED, "session_invalid", "the token differs from its record");
}

static void looked(void *arg, const struct ledger_look *look, const struct error *err)
{
	struct asking *asking = arg;
	struct error refused;
	if (err) {
		refuse(asking, err);
	} else if (judge(asking, look, &refused) != 0) {
		refuse(asking, &refused);
	} else {
		metric_add(asking->self->good, 1);
		asking->next(asking, look);
	}
}

static struct asking *asking_new(struct session *self, struct bus_request *request,
    void (*next)(struct asking *asking, const struct ledger_look *look))
{
	struct asking *asking = calloc(1, sizeof(*asking));
	bug_if(!asking);
	asking->self = self;
	asking->request = request;
	asking->next = next;
	return asking;
}

static void ask(struct asking *asking, const char *token)
{
	struct error err;
	if (session_read_token(asking->self, token, &asking->claims, &err) != 0)
		refuse(asking, &err);
	else
		ledger_look(asking->self->process->redis, asking->claims.jti, looked, asking);
}

static void answer_check(struct asking *asking, const struct ledger_look *look)
{
	struct session_check_rsp rsp = {
	    .slot = look->slot, .iat_ms = look->iat_ms, .exp_ms = look->exp_ms};
	snprintf(rsp.history, sizeof(rsp.history), "%s", look->history);
	event_id_text(look->position, rsp.position);
	memcpy(rsp.asset, look->asset, sizeof(rsp.asset));
	memcpy(rsp.wallet, look->wallet, sizeof(rsp.wallet));
	memcpy(rsp.jti, asking->claims.jti, sizeof(rsp.jti));
	snprintf(rsp.aud, sizeof(rsp.aud), "%s", look->aud);
	memcpy(rsp.name, look->name, sizeof(rsp.name));
	bus_reply(asking->request, &rsp);
	free(asking);
}

void session_check(
    struct session *self, const struct session_check_req *req, struct bus_request *request)
{
	ask(asking_new(self, request, answer_check), req->token);
}

static void listed(void *arg, const struct ledger_list *out, const struct error *err)
{
	struct asking *asking = arg;
	if (err) {
		refuse(asking, err);
		return;
	}
	struct session_list_rsp *rsp = calloc(1, sizeof(*rsp));
	bug_if(!rsp);
	for (size_t i = 0; i < out->len && i < ARRAY_LEN(rsp->sessions.item); i++) {
		const struct ledger_session *from = &out->session[i];
		struct sessions_item *to = &rsp->sessions.item[rsp->sessions.len++];
		to->iat_ms = from->iat_ms;
		to->exp_ms = from->exp_ms;
		to->seen_ms = from->seen_ms;
		to->current = strcmp(from->jti, asking->claims.jti) == 0;
		memcpy(to->jti, from->jti, sizeof(to->jti));
		memcpy(to->ip, from->ip, sizeof(to->ip));
		memcpy(to->agent, from->agent, sizeof(to->agent));
	}
	bus_reply(asking->request, rsp);
	free(rsp);
	free(asking);
}

static void go_on_to_list(struct asking *asking, const struct ledger_look *look)
{
	ledger_list(asking->self->process->redis, look->asset, listed, asking);
}

void session_list(
    struct session *self, const struct session_list_req *req, struct bus_request *request)
{
	ask(asking_new(self, request, go_on_to_list), req->token);
}

static void ended(void *arg, const struct ledger_ended *out, const struct error *err)
{
	struct asking *asking = arg;
	struct session_end_rsp rsp;
	if (err) {
		refuse(asking, err);
		return;
	}
	log_audit("session", "outcome", asking->all ? "owner ended all" : "owner ended", "asset",
	    asking->claims.asset, "jti", asking->all ? NULL : asking->jti, "trace",
	    bus_request_trace(asking->request));
	session_tell(asking->self, out, asking->claims.asset, &rsp);
	bus_reply(asking->request, &rsp);
	free(asking);
}

static void go_on_to_end(struct asking *asking, const struct ledger_look *look)
{
	struct redis *redis = asking->self->process->redis;
	if (!asking->jti[0])
		memcpy(asking->jti, asking->claims.jti, sizeof(asking->jti));
	bool own = strcmp(asking->jti, asking->claims.jti) == 0;
	if (asking->all)
		ledger_end_all(redis, look->asset, "revoked", ended, asking);
	else
		ledger_end(
		    redis, look->asset, asking->jti, own ? "logout" : "revoked", ended, asking);
}

void session_end(
    struct session *self, const struct session_end_req *req, struct bus_request *request)
{
	struct asking *asking = asking_new(self, request, go_on_to_end);
	struct error err;
	if (req->jti[0] && (req->all || !token_jti_is_valid(req->jti))) {
		error_set(&err, ERR_INVALID, "jti is not that of one session");
		refuse(asking, &err);
		return;
	}
	asking->all = req->all;
	memcpy(asking->jti, req->jti, sizeof(asking->jti));
	ask(asking, req->token);
}
