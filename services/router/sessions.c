#include "services/router/sessions.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "services/router/problem.h"

#define SESSIONS_MS 2000
#define ENFORCED_MS \
	8000 /* the slowest that lives ends within it, and who is silent for 5 s is known to be */

void sessions_show(struct api_call *call, const struct session_check_rsp *session)
{
	char id[AGENT_ID_LEN + 1];
	agent_id(call->asset, id);
	api_reply(call, 200,
	    json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:I}", "asset", session->asset,
		"agent_id", id, "name", session->name, "wallet", session->wallet, "jti",
		session->jti, "issued_at", api_time(session->iat_ms), "expires_at",
		api_time(session->exp_ms), "slot", (json_int_t)session->slot));
}

static json_t *session_json(const struct sessions_item *s)
{
	return json_pack("{s:s, s:o, s:o, s:o, s:s, s:s, s:b}", "jti", s->jti, "issued_at",
	    api_time(s->iat_ms), "expires_at", api_time(s->exp_ms), "last_seen_at",
	    api_time(s->seen_ms), "user_agent", s->agent, "ip", s->ip, "current", s->current);
}

static void on_list(void *arg, const void *rsp, const struct error *err)
{
	struct api_call *call = arg;
	const struct session_list_rsp *found = rsp;
	if (err) {
		api_refuse(call, err);
		return;
	}
	json_t *list = json_array();
	for (size_t i = 0; i < found->sessions.len; i++)
		json_array_append_new(list, session_json(&found->sessions.item[i]));
	api_reply(call, 200, json_pack("{s:o}", "sessions", list));
}

void sessions_list(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	struct session_list_req req = {0};
	memcpy(req.token, call->token, sizeof(call->token));
	bus_send(call->router->sessions, &session_list_call, &req, clock_unix_ms() + SESSIONS_MS,
	    http_request_id(call->request), on_list, call);
	sodium_memzero(&req, sizeof(req));
}

/* ---- all of them, with a receipt of who has enforced it */

struct ending {
	struct api_call *call;
	struct session_end_rsp ended;
};

static json_t *replica_json(const struct replicas_item *replica)
{
	json_t *json = json_pack("{s:s, s:s, s:s}", "replica", replica->replica, "role",
	    replica->role, "state", replica->state);
	if (strcmp(replica->state, "done") == 0)
		json_object_set_new(json, "ms", json_integer((json_int_t)replica->ms));
	return json;
}

/* Without an answer they have ended all the same; who has enforced it is not known. */
static void on_enforced(void *arg, const void *rsp, const struct error *err)
{
	struct ending *ending = arg;
	const struct session_enforced_rsp *enforced = err ? NULL : rsp;
	const struct session_end_rsp *ended = &ending->ended;
	json_t *replicas = json_array();
	for (size_t i = 0; enforced && i < enforced->replicas.len; i++)
		json_array_append_new(replicas, replica_json(&enforced->replicas.item[i]));
	bool is_done = enforced && enforced->done;
	api_reply(ending->call, is_done ? 200 : 202,
	    json_pack("{s:s, s:s, s:I, s:b, s:o}", "event", ended->event, "history", ended->history,
		"slot", (json_int_t)ended->slot, "done", is_done, "replicas", replicas));
	free(ending);
}

static void on_end_all(void *arg, const void *rsp, const struct error *err)
{
	struct api_call *call = arg;
	char cookie[COOKIE_SET_SIZE];
	struct session_enforced_req req = {.wait_ms = ENFORCED_MS};
	if (err) {
		api_refuse(call, err);
		return;
	}
	struct ending *ending = calloc(1, sizeof(*ending));
	bug_if(!ending);
	*ending = (struct ending){.call = call, .ended = *(const struct session_end_rsp *)rsp};
	http_reply_header(call->request, "Set-Cookie", cookie_clear(COOKIE_CONSOLE, cookie));
	memcpy(req.event, ending->ended.event, sizeof(req.event));
	memcpy(req.history, ending->ended.history, sizeof(req.history));
	bus_send(call->router->sessions, &session_enforced_call, &req,
	    clock_unix_ms() + ENFORCED_MS + SESSIONS_MS, http_request_id(call->request),
	    on_enforced, ending);
}

static void on_end_one(void *arg, const void *rsp, const struct error *err)
{
	struct api_call *call = arg;
	const struct session_end_rsp *ended = rsp;
	if (err)
		api_refuse(call, err);
	else if (ended->event[0] == '\0')
		api_refuse_named(call, "not_found");
	else
		api_reply_empty(call, 204);
}

static void end(struct api_call *call, struct session_end_req *req, bus_done done)
{
	memcpy(req->token, call->token, sizeof(call->token));
	bus_send(call->router->sessions, &session_end_call, req, clock_unix_ms() + SESSIONS_MS,
	    http_request_id(call->request), done, call);
	sodium_memzero(req, sizeof(*req));
}

void sessions_end_all(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	struct session_end_req req = {.all = true};
	end(call, &req, on_end_all);
}

/* Ours are the 32 hex characters that session wrote; anything else names nothing. */
static bool is_jti(const char *text)
{
	return strlen(text) == JTI_LEN && strspn(text, "0123456789abcdef") == JTI_LEN;
}

void sessions_end_one(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	struct session_end_req req = {0};
	const char *jti = call->arguments.text[0];
	if (!is_jti(jti)) {
		api_refuse_named(call, "not_found");
		return;
	}
	memcpy(req.jti, jti, sizeof(req.jti));
	end(call, &req, on_end_one);
}
