#include "services/router/api.h"

#include <arpa/inet.h>
#include <sodium.h>
#include <string.h>
#include <strings.h>

#include "services/router/agents.h"
#include "services/router/entry.h"
#include "services/router/gate.h"
#include "services/router/hot_wallet.h"
#include "services/router/logs.h"
#include "services/router/problem.h"
#include "services/router/secrets.h"
#include "services/router/sessions.h"
#include "services/router/signin.h"
#include "services/router/snapshots.h"
#include "services/router/stream.h"
#include "services/router/trail.h"
#include "services/router/usage.h"
#include "services/router/wallets.h"

static const struct api_route routes[] = {
    {"POST", "/v1/auth/challenge", API_CHANGES | API_BODY, signin_challenge},
    {"POST", "/v1/auth/verify", API_CHANGES | API_BODY, signin_verify},
    {"GET", "/v1/assets", 0, signin_assets},
    {"POST", "/v1/auth/logout", API_CHANGES | API_BODY | API_SESSION | API_TO_END, signin_logout},
    {"GET", "/v1/session", API_SESSION | API_LOOK, sessions_show},
    {"GET", "/v1/sessions", API_SESSION, sessions_list},
    {"DELETE", "/v1/sessions", API_CHANGES | API_SESSION | API_TO_END, sessions_end_all},
    {"DELETE", "/v1/sessions/*", API_CHANGES | API_SESSION | API_TO_END, sessions_end_one},
    {"GET", "/v1/events", API_SESSION | API_LOOK, stream_open},
    {"GET", "/v1/secrets", API_SESSION, secrets_list},
    {"PUT", "/v1/secrets/+/+", API_CHANGES | API_BODY | API_SESSION, secrets_put},
    {"DELETE", "/v1/secrets/+/+", API_CHANGES | API_SESSION, secrets_delete},
    {"GET", "/v1/llm/keys", API_SESSION, secrets_keys},
    {"GET", "/v1/llm/usage", API_SESSION | API_LOOK, usage_show},
    {"GET", "/v1/audit", API_SESSION, trail_list},
    {"GET", "/v1/wallet/hot", API_SESSION, hot_wallet_show},
    {"POST", "/v1/wallet/hot", API_CHANGES | API_BODY | API_SESSION, hot_wallet_make},
    {"POST", "/v1/wallet/hot/challenge", API_CHANGES | API_BODY | API_SESSION | API_LOOK,
	hot_wallet_challenge},
    {"GET", "/v1/wallet", API_SESSION, wallets_show},
    {"GET", "/v1/wallet/transactions", API_SESSION, wallets_recent},
    {"POST", "/v1/wallet/transactions", API_CHANGES | API_BODY | API_SESSION, wallets_build},
    {"POST", "/v1/wallet/transactions/challenge", API_CHANGES | API_BODY | API_SESSION | API_LOOK,
	wallets_challenge},
    {"GET", "/v1/wallet/transactions/*", API_SESSION, wallets_status},
    {"POST", "/v1/wallet/transactions/*/submit", API_CHANGES | API_BODY | API_SESSION,
	wallets_submit},
    {"GET", "/v1/agent", API_SESSION, agents_show},
    {"POST", "/v1/agent/start", API_CHANGES | API_BODY | API_SESSION, agents_start},
    {"POST", "/v1/agent/stop", API_CHANGES | API_BODY | API_SESSION, agents_stop},
    {"POST", "/v1/agent/restart", API_CHANGES | API_BODY | API_SESSION, agents_restart},
    {"POST", "/v1/agent/open", API_CHANGES | API_BODY | API_SESSION, agents_open},
    {"GET", "/v1/agent/logs", API_SESSION | API_LOOK, logs_show},
    {"GET", "/v1/agent/snapshots", API_SESSION | API_LOOK, snapshots_list},
    {"POST", "/v1/agent/snapshots", API_CHANGES | API_BODY | API_SESSION, snapshots_make},
    {"POST", "/v1/agent/snapshots/*/restore", API_CHANGES | API_BODY | API_SESSION,
	snapshots_restore},
    {"DELETE", "/v1/agent/snapshots/*", API_CHANGES | API_SESSION, snapshots_discard},
    {"POST", "/v1/agent/hand-over", API_CHANGES | API_BODY | API_SESSION, snapshots_hand_over},
    {"DELETE", "/v1/agent/hand-over", API_CHANGES | API_SESSION, snapshots_refuse},
    {"POST", "/v1/agent/hand-over/accept", API_CHANGES | API_BODY | API_SESSION, snapshots_accept},
};

/* Of the console and the API (http-api.md); nginx adds the same to what it answers itself. */
static const char *const security_headers[][2] = {
    {"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"},
    {"X-Content-Type-Options", "nosniff"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Referrer-Policy", "no-referrer"},
};

static void harden(const struct router *router, struct http_request *request)
{
	for (size_t i = 0; i < ARRAY_LEN(security_headers); i++)
		http_reply_header(request, security_headers[i][0], security_headers[i][1]);
	if (strcmp(router->names.scheme, "https://") == 0)
		http_reply_header(request, "Strict-Transport-Security", "max-age=63072000");
}

void api_done(struct api_call *call)
{
	json_decref(call->body);
	sodium_memzero(call, sizeof(*call));
	free(call);
}

void api_reply(struct api_call *call, int status, json_t *body)
{
	http_reply_header(call->request, "Cache-Control", "no-store");
	http_reply_json(call->request, status, body);
	api_done(call);
}

void api_reply_empty(struct api_call *call, int status)
{
	http_reply_header(call->request, "Cache-Control", "no-store");
	http_reply_empty(call->request, status);
	api_done(call);
}

void api_refuse(struct api_call *call, const struct error *err)
{
	problem_reply(call->request, err);
	api_done(call);
}

void api_refuse_named(struct api_call *call, const char *code)
{
	problem_reply_named(call->request, code);
	api_done(call);
}

static const struct api_field *field_named(
    const struct api_field *fields, size_t nfields, const char *name)
{
	for (size_t i = 0; i < nfields; i++)
		if (strcmp(fields[i].name, name) == 0)
			return &fields[i];
	return NULL;
}

int api_fields(
    const struct api_call *call, const struct api_field *fields, size_t nfields, struct error *err)
{
	const char *name;
	json_t *value;
	json_object_foreach(call->body, name, value)
	{
		const struct api_field *field = field_named(fields, nfields, name);
		if (!field)
			return error_refuse(
			    err, ERR_INVALID, "body_invalid", "unknown member in the body");
		if (!json_is_string(value) || json_string_length(value) >= field->size)
			return error_refuse(err, ERR_INVALID, "body_invalid",
			    "%s is not text of at most %zu bytes", field->name, field->size - 1);
		memcpy(field->text, json_string_value(value), json_string_length(value) + 1);
	}
	for (size_t i = 0; i < nfields; i++)
		if (!fields[i].is_optional && !json_object_get(call->body, fields[i].name))
			return error_refuse(
			    err, ERR_INVALID, "body_invalid", "%s is missing", fields[i].name);
	return 0;
}

void api_forget_body(struct api_call *call)
{
	json_decref(call->body);
	call->body = NULL;
}

json_t *api_time(uint64_t unix_ms)
{
	char text[CLOCK_RFC3339_LEN + 1];
	return json_string(clock_rfc3339(unix_ms, text, sizeof(text)));
}

void api_user_agent(const struct http_request *request, char *text, size_t size)
{
	const char *from = http_header(request, "User-Agent", NULL);
	size_t len = 0;
	for (; from && from[len] && len < size - 1; len++)
		text[len] = from[len] >= 0x20 && from[len] < 0x7f ? from[len] : '?';
	text[len] = '\0';
}

/* The route for method and path; else answers 404 or 405 and returns NULL. */
static const struct api_route *route_for(
    struct http_request *request, struct route_arguments *arguments_r)
{
	char allow[32] = "";
	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		if (!route_matches(routes[i].path, http_path(request), arguments_r))
			continue;
		if (strcmp(routes[i].method, http_method(request)) == 0)
			return &routes[i];
		size_t used = strlen(allow);
		snprintf(
		    allow + used, sizeof(allow) - used, "%s%s", used ? ", " : "", routes[i].method);
	}
	if (allow[0])
		http_reply_header(request, "Allow", allow);
	problem_reply_named(request, allow[0] ? "method_not_allowed" : "not_found");
	return NULL;
}

/* What makes a forged request from another page impossible: the page's origin, and a type or a method that no form can send and no script
 * without asking first, which OPTIONS answers with 405. */
static int check_change(const struct api_call *call, struct error *err)
{
	bool repeated;
	const char *origin = http_header(call->request, "Origin", &repeated);
	if (repeated || (origin && strcmp(origin, call->router->names.console) != 0))
		return error_refuse(err, ERR_DENIED, "origin_refused", "foreign origin");
	return 0;
}

int api_client(const struct http_request *request, char ip_r[API_IP_SIZE], struct error *err)
{
	uint8_t address[16];
	const char *ip = http_header(request, "X-Real-IP", NULL);
	if (!ip || strlen(ip) >= API_IP_SIZE ||
	    (inet_pton(AF_INET, ip, address) != 1 && inet_pton(AF_INET6, ip, address) != 1))
		return error_refuse(err, ERR_INVALID, "client_address_missing", "no X-Real-IP");
	memcpy(ip_r, ip, strlen(ip) + 1);
	return 0;
}

static void add_cookie(void *arg, const char *name, const char *value)
{
	if (strcasecmp(name, "Cookie") == 0)
		cookies_add(arg, value);
}

/* A token that is no good is an error only where a session is needed: signing in must be possible with an old cookie. */
static int read_token(struct api_call *call, struct error *err)
{
	struct cookies cookies;
	cookies_init(&cookies);
	http_headers(call->request, add_cookie, &cookies);
	if (cookies.repeated)
		return error_refuse(
		    err, ERR_UNAUTHENTICATED, "session_invalid", "our cookie twice");
	bool is_token = cookie_is_token(cookies.console);
	if (is_token)
		memcpy(call->token, cookies.console.text, cookies.console.len);
	if (is_token || !(call->route->flags & API_SESSION))
		return 0;
	return error_refuse(err, ERR_UNAUTHENTICATED,
	    cookies.console.text ? "session_invalid" : "session_missing", "no token");
}

/* The agent's session is refused here, the console's by the agents' hosts (authz.c). */
static int check_audience(enum decision_audience audience, struct error *err)
{
	if (audience == DECISION_CONSOLE)
		return 0;
	return error_refuse(err, ERR_UNAUTHENTICATED, "session_invalid", "an agent's session");
}

static void refuse_session(struct api_call *call, const struct error *err)
{
	char cookie[COOKIE_SET_SIZE];
	if (call->route->handler == signin_logout && err->code == ERR_UNAUTHENTICATED)
		http_reply_header(
		    call->request, "Set-Cookie", cookie_clear(COOKIE_CONSOLE, cookie));
	api_refuse(call, err);
}

static void on_session(void *arg, const struct session_check_rsp *session,
    enum decision_audience audience, const struct error *failure)
{
	struct api_call *call = arg;
	struct error err;
	if (failure) {
		refuse_session(call, failure);
	} else if (check_audience(audience, &err) != 0) {
		refuse_session(call, &err);
	} else {
		bug_if(pubkey_parse(session->asset, call->asset) != 0); /* the gate has read it */
		call->exp_ms = session->exp_ms;
		call->route->handler(call, session);
	}
}

static void need_session(struct api_call *call)
{
	const struct decision_entry *found;
	struct error err;
	struct cookie_value token = {call->token, strlen(call->token)};
	unsigned flags = call->route->flags;
	if (!(flags & API_TO_END) && gate_open(call->router, &err) != 0) {
		api_refuse(call, &err);
		return;
	}
	if (!(flags & (API_TO_END | API_LOOK)) &&
	    gate_lookup(call->router, token, NULL, &found) == DECISION_ALLOW &&
	    check_audience(found->audience, &err) == 0) {
		memcpy(call->asset, found->asset, PUBKEY_LEN);
		call->route->handler(call, NULL);
		return;
	}
	gate_ask(call->router,
	    &(struct gate_question){
		.token = token,
		.timeout_ms = GATE_API_MS,
		.trace = http_request_id(call->request),
		.to_end = flags & API_TO_END,
	    },
	    on_session, call);
}

static int prepare(struct api_call *call, struct error *err)
{
	unsigned flags = call->route->flags;
	if (flags & API_CHANGES && check_change(call, err) != 0)
		return -1;
	if (api_client(call->request, call->ip, err) != 0 || read_token(call, err) != 0)
		return -1;
	bool takes_body = flags & API_BODY || (flags & API_CHANGES && http_has_body(call->request));
	if (takes_body && !(call->body = http_body_json(call->request, err)))
		return -1;
	/* where no body is needed, one that is sent says nothing */
	return takes_body && !(flags & API_BODY) ? api_fields(call, NULL, 0, err) : 0;
}

static void on_request(void *arg, struct http_request *request)
{
	struct router *router = arg;
	struct route_arguments arguments;
	struct error err;
	bool is_agents;
	if (entry_is_for(request)) {
		entry_serve(router, request);
		return;
	}
	harden(router, request);
	const struct api_route *route = route_for(request, &arguments);
	if (!route)
		return;
	if (http_header(request, "X-Original-Host", &is_agents) || is_agents) {
		/* nginx says so on agents' origins only, and the API is not there */
		problem_reply_named(request, "not_found");
		return;
	}
	struct api_call *call = calloc(1, sizeof(*call));
	bug_if(!call);
	call->router = router;
	call->request = request;
	call->route = route;
	call->arguments = arguments;
	if (prepare(call, &err) != 0)
		api_refuse(call, &err);
	else if (route->flags & API_SESSION)
		need_session(call);
	else
		route->handler(call, NULL);
}

struct http_server *api_new(struct router *router, struct error *err)
{
	return http_server_new(router->process->base, router->api_listen, on_request, router, err);
}
