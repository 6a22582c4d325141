#include "services/router/signin.h"

#include <sodium.h>
#include <string.h>

#include "services/router/fields.h"
#include "services/router/problem.h"

#define CHALLENGE_MS 2000
#define VERIFY_MS 6000 /* a fresh read of the chain is part of it; nginx waits 7 s */
#define ASSETS_MS 2000
#define LOGOUT_MS 2000

static void on_challenge(void *arg, const void *rsp, const struct error *err)
{
	struct api_call *call = arg;
	const struct auth_challenge_rsp *c = rsp;
	if (err) {
		api_refuse(call, err);
		return;
	}
	json_t *input = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "domain",
	    c->domain, "address", c->address, "statement", c->statement, "uri", c->uri, "version",
	    c->version, "chainId", c->chain_id, "nonce", c->nonce, "issuedAt", c->issued_at,
	    "expirationTime", c->expires_at);
	api_reply(call, 200,
	    json_pack("{s:s, s:s, s:o, s:s}", "nonce", c->nonce, "message", c->message, "input",
		input, "expires_at", c->expires_at));
}

void signin_ask(struct api_call *call, struct auth_challenge_req *req)
{
	memcpy(req->ip, call->ip, sizeof(req->ip));
	bus_send(call->router->auths, &auth_challenge_call, req, clock_unix_ms() + CHALLENGE_MS,
	    http_request_id(call->request), on_challenge, call);
}

void signin_challenge(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	struct auth_challenge_req req = {0};
	struct error err;
	const struct api_field fields[] = {
	    {"wallet", req.wallet, sizeof(req.wallet), false},
	    {"asset", req.asset, sizeof(req.asset), true},
	};
	if (api_fields(call, fields, ARRAY_LEN(fields), &err) != 0 ||
	    fields_key(req.wallet, "wallet_invalid", &err) != 0 ||
	    (json_object_get(call->body, "asset") &&
		fields_key(req.asset, "asset_invalid", &err) != 0)) {
		api_refuse(call, &err);
		return;
	}
	signin_ask(call, &req);
}

static json_t *assets_json(const struct assets_item *item, size_t len)
{
	json_t *assets = json_array();
	for (size_t i = 0; i < len; i++)
		json_array_append_new(
		    assets, json_pack("{s:s, s:s}", "asset", item[i].asset, "name", item[i].name));
	return assets;
}

static void on_verify(void *arg, const void *rsp, const struct error *err)
{
	struct api_call *call = arg;
	const struct auth_verify_rsp *v = rsp;
	char cookie[COOKIE_SET_SIZE];
	if (err) {
		api_refuse(call, err);
	} else if (v->assets.len > 0) {
		problem_reply_more(call->request, "asset_required", NULL,
		    json_pack("{s:o}", "assets", assets_json(v->assets.item, v->assets.len)));
		api_done(call);
	} else if (!cookie_is_token((struct cookie_value){v->token, strlen(v->token)})) {
		api_refuse_named(call, "service_unavailable");
	} else {
		http_reply_header(call->request, "Set-Cookie",
		    cookie_set(COOKIE_CONSOLE, v->token, SESSION_SECONDS, cookie));
		sodium_memzero(cookie, sizeof(cookie));
		api_reply(call, 200,
		    json_pack("{s:s, s:s, s:s, s:s, s:o}", "asset", v->asset, "agent_id",
			v->agent_id, "name", v->name, "wallet", v->wallet, "expires_at",
			api_time(v->exp_ms)));
	}
}

void signin_verify(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	struct auth_verify_req req = {0};
	struct error err;
	char signature[SIGNATURE_TEXT_MAX + 1] = "";
	char message[FIELDS_BASE64_SIZE(sizeof(req.signed_message.data))] = "";
	const struct api_field fields[] = {
	    {"nonce", req.nonce, sizeof(req.nonce), false},
	    {"wallet", req.wallet, sizeof(req.wallet), false},
	    {"signature", signature, sizeof(signature), false},
	    {"signed_message", message, sizeof(message), true},
	};
	if (api_fields(call, fields, ARRAY_LEN(fields), &err) != 0 ||
	    fields_key(req.wallet, "wallet_invalid", &err) != 0 ||
	    fields_signature(signature, req.signature.data, &err) != 0 ||
	    fields_base64("signed_message", message, req.signed_message.data,
		sizeof(req.signed_message.data), &req.signed_message.len, &err) != 0) {
		api_refuse(call, &err);
		return;
	}
	if (req.nonce[0] == '\0') {
		api_refuse_named(call, "nonce_unknown");
		return;
	}
	req.signature.len = SIGNATURE_LEN;
	memcpy(req.ip, call->ip, sizeof(req.ip));
	memcpy(req.token, call->token, sizeof(call->token));
	api_user_agent(call->request, req.agent, sizeof(req.agent));
	bus_send(call->router->auths, &auth_verify_call, &req, clock_unix_ms() + VERIFY_MS,
	    http_request_id(call->request), on_verify, call);
	sodium_memzero(&req, sizeof(req));
}

static void on_assets(void *arg, const void *rsp, const struct error *err)
{
	struct api_call *call = arg;
	const struct auth_assets_rsp *found = rsp;
	if (err)
		api_refuse(call, err);
	else
		api_reply(call, 200,
		    json_pack(
			"{s:o}", "assets", assets_json(found->assets.item, found->assets.len)));
}

void signin_assets(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	static const char parameter[] = "wallet=";
	struct auth_assets_req req = {0};
	struct error err;
	const char *query = http_query(call->request);
	size_t skip = strlen(parameter);
	if (strncmp(query, parameter, skip) != 0 || strlen(query + skip) > PUBKEY_TEXT_MAX) {
		error_refuse(
		    &err, ERR_INVALID, "query_invalid", "the query is not wallet=<base58>");
		api_refuse(call, &err);
		return;
	}
	snprintf(req.wallet, sizeof(req.wallet), "%s", query + skip);
	if (fields_key(req.wallet, "wallet_invalid", &err) != 0) {
		api_refuse(call, &err);
		return;
	}
	memcpy(req.ip, call->ip, sizeof(req.ip));
	bus_send(call->router->auths, &auth_assets_call, &req, clock_unix_ms() + ASSETS_MS,
	    http_request_id(call->request), on_assets, call);
}

static void on_logout(void *arg, const void *rsp, const struct error *err)
{
	struct api_call *call = arg;
	char cookie[COOKIE_SET_SIZE];
	(void)rsp;
	if (!err || err->code == ERR_UNAUTHENTICATED)
		http_reply_header(
		    call->request, "Set-Cookie", cookie_clear(COOKIE_CONSOLE, cookie));
	if (err)
		api_refuse(call, err);
	else
		api_reply_empty(call, 204);
}

void signin_logout(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	struct session_end_req req = {0};
	struct error err;
	if (api_fields(call, NULL, 0, &err) != 0) {
		api_refuse(call, &err);
		return;
	}
	memcpy(req.token, call->token, sizeof(call->token));
	bus_send(call->router->sessions, &session_end_call, &req, clock_unix_ms() + LOGOUT_MS,
	    http_request_id(call->request), on_logout, call);
	sodium_memzero(&req, sizeof(req));
}
