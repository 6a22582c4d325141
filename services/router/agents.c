#include "services/router/agents.h"

#include <sodium.h>
#include <string.h>

#include "common/codec.h"
#include "services/router/entry.h"
#include "services/router/sandboxes.h"
#include "services/router/snapshot_json.h"

#define OPENING_MS 2000
#define OPENING_LEN 32
#define OPENING_TEXT_SIZE sodium_base64_ENCODED_LEN(OPENING_LEN, ENTRY_BASE64)

static json_t *text_or_null(const char *text)
{
	return text[0] ? json_string(text) : json_null();
}

static json_t *agent_json(const struct api_call *call, const struct sandbox_state_rsp *agent)
{
	const struct host_names *names = &call->router->names;
	char id[AGENT_ID_LEN + 1];
	agent_id(call->asset, id);
	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "agent_id", id, "state",
	    agent->state, "why", text_or_null(agent->why), "url",
	    json_sprintf("%s%s.%s", names->scheme, id, names->domain), "started_at",
	    agent->started_ms ? api_time(agent->started_ms) : json_null(), "boot_id",
	    text_or_null(agent->boot_id), "image", text_or_null(agent->image), "snapshot",
	    snapshot_json_newest(agent));
}

void agents_reply(struct api_call *call, int status, const struct sandbox_state_rsp *agent,
    const struct error *err)
{
	json_t *body = err ? NULL : agent_json(call, agent);
	struct error bad;
	if (err) {
		api_refuse(call, err);
	} else if (body) {
		api_reply(call, status, body);
	} else {
		error_set(&bad, ERR_INTERNAL, "an agent that JSON cannot say");
		api_refuse(call, &bad);
	}
}

static void on_state(void *arg, const void *rsp, const struct error *err)
{
	agents_reply(arg, 200, rsp, err);
}

static void on_change(void *arg, const void *rsp, const struct error *err)
{
	agents_reply(arg, 202, rsp, err);
}

void agents_ask(
    struct api_call *call, const struct proto_call *what, void *req, uint64_t ms, bus_done done)
{
	struct sandboxes *sandboxes = call->router->sandboxes;
	bug_if(strcmp(what->req->fields[0].name, "token") != 0 || what->req->fields[0].offset != 0);
	memcpy(req, call->token, sizeof(call->token));
	if (sandboxes)
		sandboxes_ask(sandboxes,
		    &(struct sandboxes_question){
			.call = what,
			.req = req,
			.asset = call->asset,
			.deadline = clock_unix_ms() + ms,
			.trace = http_request_id(call->request),
		    },
		    done, call);
	else
		api_refuse_named(call, "service_unavailable");
	codec_wipe(what->req, req);
}

/* Calls that take a token and nothing else, which the request of sandbox.state stands for. */
static void ask(struct api_call *call, const struct proto_call *what, bus_done done)
{
	struct sandbox_state_req req = {0};
	bug_if(what->req->size != sizeof(req));
	agents_ask(call, what, &req, AGENTS_MS, done);
}

void agents_show(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	ask(call, &sandbox_state_call, on_state);
}

static void change(struct api_call *call, const struct proto_call *what)
{
	struct error err;
	if (api_fields(call, NULL, 0, &err) != 0)
		api_refuse(call, &err);
	else
		ask(call, what, on_change);
}

void agents_start(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	change(call, &sandbox_start_call);
}

void agents_stop(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	change(call, &sandbox_stop_call);
}

void agents_restart(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	change(call, &sandbox_restart_call);
}

static void on_opening(void *arg, const void *rsp, const struct error *err)
{
	struct api_call *call = arg;
	const struct session_opening_rsp *opened = rsp;
	const struct host_names *names = &call->router->names;
	char id[AGENT_ID_LEN + 1], opening[OPENING_TEXT_SIZE];
	if (err) {
		api_refuse(call, err);
		return;
	}
	agent_id(call->asset, id);
	sodium_bin2base64(
	    opening, sizeof(opening), opened->opening.data, OPENING_LEN, ENTRY_BASE64);
	json_t *url = json_sprintf(
	    "%s%s.%s" ENTRY_PATH "enter#%s", names->scheme, id, names->domain, opening);
	sodium_memzero(opening, sizeof(opening));
	api_reply(call, 200, json_pack("{s:o}", "url", url));
}

void agents_open(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	struct session_opening_req req = {0};
	struct error err;
	if (api_fields(call, NULL, 0, &err) != 0) {
		api_refuse(call, &err);
		return;
	}
	memcpy(req.token, call->token, sizeof(call->token));
	bus_send(call->router->sessions, &session_opening_call, &req, clock_unix_ms() + OPENING_MS,
	    http_request_id(call->request), on_opening, call);
	sodium_memzero(&req, sizeof(req));
}
