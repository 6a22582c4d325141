#include "services/router/entry.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "services/router/api.h"
#include "services/router/problem.h"

#define ENTRY_MS 3000 /* nginx waits 5 s */
#define STATE_SECONDS 120
#define STATE_LEN 32
#define TICKET_LEN 32
#define STATE_TEXT_SIZE sodium_base64_ENCODED_LEN(STATE_LEN, ENTRY_BASE64)
#define TICKET_TEXT_SIZE sodium_base64_ENCODED_LEN(TICKET_LEN, ENTRY_BASE64)

/* One request on its way. */
struct visit {
	struct router *router;
	struct http_request *request;
	char agent[AGENT_ID_LEN + 1]; /* whose origin was asked */
	char ip[API_IP_SIZE];
	char token[COOKIE_TOKEN_MAX + 1]; /* of the agent's session; "" if none was presented */
	bool has_state;
	uint8_t state[STATE_LEN]; /* hash of the cookie */
	json_t *body;
};

static void visit_end(struct visit *visit)
{
	json_decref(visit->body);
	sodium_memzero(visit, sizeof(*visit));
	free(visit);
}

static void visit_reply(struct visit *visit, int status, json_t *body)
{
	http_reply_header(visit->request, "Cache-Control", "no-store");
	if (body)
		http_reply_json(visit->request, status, body);
	else
		http_reply_empty(visit->request, status);
	visit_end(visit);
}

static void visit_refuse(struct visit *visit, const struct error *err)
{
	problem_reply(visit->request, err);
	visit_end(visit);
}

static void set_cookie(struct visit *visit, const char *name, const char *value, uint64_t seconds)
{
	char cookie[COOKIE_SET_SIZE];
	http_reply_header(visit->request, "Set-Cookie", cookie_set(name, value, seconds, cookie));
	sodium_memzero(cookie, sizeof(cookie));
}

/* ---- the steps */

static void show_page(struct visit *visit)
{
	const struct entry_page *page = &visit->router->entry_page;
	uint8_t state[STATE_LEN];
	char text[STATE_TEXT_SIZE];
	randombytes_buf(state, sizeof(state));
	sodium_bin2base64(text, sizeof(text), state, sizeof(state), ENTRY_BASE64);
	set_cookie(visit, COOKIE_STATE, text, STATE_SECONDS);
	sodium_memzero(state, sizeof(state));
	sodium_memzero(text, sizeof(text));
	http_reply_header(visit->request, "Cache-Control", "no-store");
	http_reply_text(visit->request, 200, "text/html; charset=utf-8", page->html, page->len);
	visit_end(visit);
}

/* The body's only member, 32 bytes; and the browser must have come by the page. What cannot be one of ours is as unknown as one that was used. */
static int read_ticket(
    const struct visit *visit, const char *name, uint8_t ticket[TICKET_LEN], struct error *err)
{
	size_t len;
	const json_t *value = json_object_get(visit->body, name);
	if (json_object_size(visit->body) != 1 || !json_is_string(value))
		return error_refuse(err, ERR_INVALID, "body_invalid", "%s is missing", name);
	if (!visit->has_state || json_string_length(value) != TICKET_TEXT_SIZE - 1 ||
	    sodium_base642bin(ticket, TICKET_LEN, json_string_value(value), TICKET_TEXT_SIZE - 1,
		NULL, &len, NULL, ENTRY_BASE64) != 0)
		return error_refuse(err, ERR_UNAUTHENTICATED, "ticket_unknown",
		    visit->has_state ? "not one of ours" : "without the page's cookie");
	return 0;
}

static void on_ticket(void *arg, const void *rsp, const struct error *err)
{
	struct visit *visit = arg;
	const struct session_ticket_rsp *issued = rsp;
	char text[TICKET_TEXT_SIZE];
	if (err) {
		visit_refuse(visit, err);
		return;
	}
	sodium_bin2base64(text, sizeof(text), issued->ticket.data, TICKET_LEN, ENTRY_BASE64);
	json_t *body = json_pack("{s:s}", "ticket", text);
	sodium_memzero(text, sizeof(text));
	visit_reply(visit, 200, body);
}

static void ask_ticket(struct visit *visit)
{
	struct session_ticket_req req = {
	    .opening.len = TICKET_LEN, .state.len = sizeof(visit->state)};
	struct error err;
	if (read_ticket(visit, "opening", req.opening.data, &err) != 0) {
		visit_refuse(visit, &err);
		return;
	}
	memcpy(req.agent, visit->agent, sizeof(req.agent));
	memcpy(req.state.data, visit->state, sizeof(visit->state));
	bus_send(visit->router->sessions, &session_ticket_call, &req, clock_unix_ms() + ENTRY_MS,
	    http_request_id(visit->request), on_ticket, visit);
	sodium_memzero(&req, sizeof(req));
}

static void on_enter(void *arg, const void *rsp, const struct error *err)
{
	struct visit *visit = arg;
	const struct session_enter_rsp *entered = rsp;
	uint64_t now = clock_unix_ms();
	struct error bad;
	if (err) {
		visit_refuse(visit, err);
	} else if (entered->exp_ms <= now || !cookie_is_token((struct cookie_value){
						 entered->token, strlen(entered->token)})) {
		error_refuse(&bad, ERR_INTERNAL, "service_unavailable", "no token");
		visit_refuse(visit, &bad);
	} else {
		set_cookie(visit, COOKIE_AGENT, entered->token, (entered->exp_ms - now) / 1000);
		set_cookie(visit, COOKIE_STATE, "", 0);
		visit_reply(
		    visit, 200, json_pack("{s:o}", "expires_at", api_time(entered->exp_ms)));
	}
}

static void ask_session(struct visit *visit)
{
	struct session_enter_req req = {
	    .ticket.len = TICKET_LEN, .state.len = sizeof(visit->state)};
	struct error err;
	if (read_ticket(visit, "ticket", req.ticket.data, &err) != 0) {
		visit_refuse(visit, &err);
		return;
	}
	memcpy(req.agent, visit->agent, sizeof(req.agent));
	memcpy(req.state.data, visit->state, sizeof(visit->state));
	memcpy(req.ip, visit->ip, sizeof(visit->ip));
	api_user_agent(visit->request, req.user_agent, sizeof(req.user_agent));
	bus_send(visit->router->sessions, &session_enter_call, &req, clock_unix_ms() + ENTRY_MS,
	    http_request_id(visit->request), on_enter, visit);
	sodium_memzero(&req, sizeof(req));
}

static void on_leave(void *arg, const void *rsp, const struct error *err)
{
	struct visit *visit = arg;
	(void)rsp;
	if (!err || err->code == ERR_UNAUTHENTICATED)
		set_cookie(visit, COOKIE_AGENT, "", 0);
	if (err)
		visit_refuse(visit, err);
	else
		visit_reply(visit, 204, NULL);
}

static void leave(struct visit *visit)
{
	struct session_end_req req = {0};
	struct error err;
	if (json_object_size(visit->body) != 0 || !visit->token[0]) {
		if (visit->token[0])
			error_refuse(&err, ERR_INVALID, "body_invalid", "unknown member");
		else
			error_refuse(&err, ERR_UNAUTHENTICATED, "session_missing", "no token");
		visit_refuse(visit, &err);
		return;
	}
	memcpy(req.token, visit->token, sizeof(visit->token));
	bus_send(visit->router->sessions, &session_end_call, &req, clock_unix_ms() + ENTRY_MS,
	    http_request_id(visit->request), on_leave, visit);
	sodium_memzero(&req, sizeof(req));
}

/* ---- what is the same for each */

static const struct step {
	const char *method, *name;
	void (*run)(struct visit *visit);
} steps[] = {
    {"GET", "enter", show_page},
    {"POST", "ticket", ask_ticket},
    {"POST", "session", ask_session},
    {"POST", "leave", leave},
};

bool entry_is_for(const struct http_request *request)
{
	return strncmp(http_path(request), ENTRY_PATH, strlen(ENTRY_PATH)) == 0;
}

static void harden(const struct router *router, struct http_request *request)
{
	http_reply_header(request, "Content-Security-Policy", router->entry_page.policy);
	http_reply_header(request, "X-Content-Type-Options", "nosniff");
	http_reply_header(request, "Cross-Origin-Resource-Policy", "same-origin");
	http_reply_header(request, "Cross-Origin-Opener-Policy", "same-origin");
	http_reply_header(request, "Referrer-Policy", "no-referrer");
	if (strcmp(router->names.scheme, "https://") == 0)
		http_reply_header(request, "Strict-Transport-Security", "max-age=63072000");
}

/* The step for this request; else answers 404 or 405 and returns NULL. */
static const struct step *step_for(struct http_request *request)
{
	const char *name = http_path(request) + strlen(ENTRY_PATH);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		if (strcmp(steps[i].name, name) != 0)
			continue;
		if (strcmp(steps[i].method, http_method(request)) == 0)
			return &steps[i];
		http_reply_header(request, "Allow", steps[i].method);
		problem_reply_named(request, "method_not_allowed");
		return NULL;
	}
	problem_reply_named(request, "not_found");
	return NULL;
}

/* Only the page itself asks: a form or a page of elsewhere cannot send this origin, and a program has no business here. */
static int check_page(const struct visit *visit, struct error *err)
{
	bool origin_twice, site_twice;
	const char *origin = http_header(visit->request, "Origin", &origin_twice);
	const char *site = http_header(visit->request, "Sec-Fetch-Site", &site_twice);
	if (!origin || origin_twice || site_twice ||
	    !host_is_origin_of(&visit->router->names, origin, visit->agent) ||
	    (site && strcmp(site, "same-origin") != 0))
		return error_refuse(err, ERR_DENIED, "origin_refused", "not the entry page");
	return 0;
}

static void add_cookie(void *arg, const char *name, const char *value)
{
	if (strcasecmp(name, "Cookie") == 0)
		cookies_add(arg, value);
}

static int read_cookies(struct visit *visit, struct error *err)
{
	struct cookies cookies;
	cookies_init(&cookies);
	http_headers(visit->request, add_cookie, &cookies);
	if (cookies.repeated)
		return error_refuse(
		    err, ERR_UNAUTHENTICATED, "session_invalid", "our cookie twice");
	if (cookie_is_token(cookies.agent))
		memcpy(visit->token, cookies.agent.text, cookies.agent.len);
	visit->has_state =
	    cookie_is_token(cookies.state) && cookies.state.len == STATE_TEXT_SIZE - 1;
	if (visit->has_state)
		crypto_generichash(visit->state, sizeof(visit->state),
		    (const uint8_t *)cookies.state.text, cookies.state.len, NULL, 0);
	return 0;
}

static int prepare(struct visit *visit, struct error *err)
{
	if (strcmp(http_method(visit->request), "GET") == 0)
		return 0;
	if (check_page(visit, err) != 0 || read_cookies(visit, err) != 0 ||
	    api_client(visit->request, visit->ip, err) != 0)
		return -1;
	visit->body = http_body_json(visit->request, err);
	return visit->body ? 0 : -1;
}

static int identify(struct visit *visit, struct error *err)
{
	const char *host = http_header(visit->request, "X-Original-Host", NULL);
	if (host && host_parse(&visit->router->names, host, visit->agent))
		return 0;
	return error_refuse(err, ERR_NOT_FOUND, "not_found", "not an agent's origin");
}

void entry_serve(struct router *router, struct http_request *request)
{
	struct error err;
	harden(router, request);
	const struct step *step = step_for(request);
	if (!step)
		return;
	struct visit *visit = calloc(1, sizeof(*visit));
	bug_if(!visit);
	visit->router = router;
	visit->request = request;
	if (identify(visit, &err) != 0 || prepare(visit, &err) != 0)
		visit_refuse(visit, &err);
	else
		step->run(visit);
}
