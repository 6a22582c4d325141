/* session.check, list and end - what an owner's token is good for by itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "services/session/asking.h"

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
	asking_begin(asking_new(self, request, answer_check), req->token);
}

static void listed(void *arg, const struct ledger_list *out, const struct error *err)
{
	struct asking *asking = arg;
	if (err) {
		asking_refuse(asking, err);
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
	struct error err;
	if (asking_needs_console(asking, &err) != 0)
		asking_refuse(asking, &err);
	else
		ledger_list(asking->self->process->redis, look->asset, listed, asking);
}

void session_list(
    struct session *self, const struct session_list_req *req, struct bus_request *request)
{
	asking_begin(asking_new(self, request, go_on_to_list), req->token);
}

static void ended(void *arg, const struct ledger_ended *out, const struct error *err)
{
	struct asking *asking = arg;
	struct session_end_rsp rsp;
	if (err) {
		asking_refuse(asking, err);
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
	struct error err;
	if ((asking->all || !own) && asking_needs_console(asking, &err) != 0)
		asking_refuse(asking, &err);
	else if (asking->all)
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
		asking_refuse(asking, &err);
		return;
	}
	asking->all = req->all;
	memcpy(asking->jti, req->jti, sizeof(asking->jti));
	asking_begin(asking, req->token);
}
