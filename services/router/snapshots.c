#include "services/router/snapshots.h"

#include <string.h>

#include "services/router/agents.h"
#include "services/router/fields.h"
#include "services/router/problem.h"
#include "services/router/snapshot_follow.h"
#include "services/router/snapshot_json.h"

#define LIST_MS 8000     /* a manifest may have to be read; nginx waits longer */
#define DISCARD_MS 12000 /* vault and store have a part in it; nginx waits 15 s */
#define WAIT_MS SANDBOX_WAIT_MAX_MS
#define WAIT_GRACE_MS 3000

/* Consumes body, which may be NULL: JSON could not say it. */
static void reply(struct api_call *call, int status, json_t *body)
{
	struct error err;
	if (body) {
		api_reply(call, status, body);
	} else {
		error_set(&err, ERR_INTERNAL, "snapshots that JSON cannot say");
		api_refuse(call, &err);
	}
}

static void on_list(void *arg, const void *rsp, const struct error *err)
{
	if (err)
		api_refuse(arg, err);
	else
		reply(arg, 200, snapshot_json_list(rsp));
}

void snapshots_list(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	const char *query = http_query(call->request);
	struct sandbox_snapshots_req req = {0};
	if (query[0] && strcmp(query, "follow=1") != 0)
		api_refuse_named(call, "query_invalid");
	else if (!call->router->sandboxes)
		api_refuse_named(call, "service_unavailable");
	else if (query[0])
		snapshot_follow(call);
	else
		agents_ask(call, &sandbox_snapshots_call, &req, LIST_MS, on_list);
}

/* Is it under way still, or refused? Then it is answered. */
static bool ends_otherwise(struct api_call *call, const struct sandbox_hand_over_rsp *progress)
{
	const char *detail;
	json_t *more;
	struct error err;
	if (progress->doing[0]) {
		reply(call, 202, snapshot_json_progress(progress));
		return true;
	}
	const char *code = snapshot_json_problem(progress, &detail, &more);
	if (!code)
		return false;
	if (strcmp(code, "internal") == 0) {
		error_set(
		    &err, ERR_INTERNAL, "an outcome that nobody knows: %s", progress->outcome);
		api_refuse(call, &err);
	} else {
		problem_reply_more(call->request, code, detail, more);
		api_done(call);
	}
	return true;
}

/* ---- make one ---- */

static void on_made_list(
    struct api_call *call, int status, const void *rsp, const struct error *err)
{
	const struct sandbox_snapshots_rsp *found = rsp;
	if (err)
		api_refuse(call, err);
	else
		reply(call, status, snapshot_json_one(found, call->wanted));
}

static void on_new(void *arg, const void *rsp, const struct error *err)
{
	on_made_list(arg, 201, rsp, err);
}

static void on_unchanged(void *arg, const void *rsp, const struct error *err)
{
	on_made_list(arg, 200, rsp, err);
}

/* The reply names it by its number; what the list says of it is the answer. */
static void on_made(void *arg, const void *rsp, const struct error *err)
{
	struct api_call *call = arg;
	const struct sandbox_snapshot_rsp *made = rsp;
	struct sandbox_snapshots_req req = {0};
	if (err) {
		api_refuse(call, err);
	} else if (!ends_otherwise(call, rsp)) {
		call->wanted = made->id;
		agents_ask(call, &sandbox_snapshots_call, &req, LIST_MS,
		    strcmp(made->outcome, "made") == 0 ? on_new : on_unchanged);
	}
}

void snapshots_make(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	struct sandbox_snapshot_req req = {.wait_ms = WAIT_MS};
	struct error err;
	if (api_fields(call, NULL, 0, &err) != 0)
		api_refuse(call, &err);
	else
		agents_ask(call, &sandbox_snapshot_call, &req, WAIT_MS + WAIT_GRACE_MS, on_made);
}

/* ---- go back to one, delete one ---- */

static void on_agent(void *arg, const void *rsp, const struct error *err)
{
	agents_reply(arg, 202, rsp, err);
}

static void on_done(void *arg, const void *rsp, const struct error *err)
{
	struct api_call *call = arg;
	(void)rsp;
	if (err)
		api_refuse(call, err);
	else
		api_reply_empty(call, 204);
}

void snapshots_restore(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	struct sandbox_restore_req req = {0};
	struct error err;
	if (api_fields(call, NULL, 0, &err) != 0)
		api_refuse(call, &err);
	else if (!fields_number(call->arguments.text[0], &req.id) || req.id == 0)
		api_refuse_named(call, "not_found");
	else
		agents_ask(call, &sandbox_restore_call, &req, AGENTS_MS, on_agent);
}

void snapshots_discard(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	struct sandbox_discard_req req = {0};
	if (!fields_number(call->arguments.text[0], &req.id) || req.id == 0)
		api_refuse_named(call, "not_found");
	else
		agents_ask(call, &sandbox_discard_call, &req, DISCARD_MS, on_done);
}

/* ---- from one owner to the next ---- */

static void on_handed_over(void *arg, const void *rsp, const struct error *err)
{
	struct api_call *call = arg;
	if (err) {
		api_refuse(call, err);
	} else if (!ends_otherwise(call, rsp)) {
		json_t *roots = json_incref(json_object_get(call->body, "roots"));
		reply(call, 200, json_pack("{s:o}", "roots", roots));
	}
}

static void on_withdrawn(void *arg, const void *rsp, const struct error *err)
{
	const struct sandbox_hand_over_rsp *progress = rsp;
	bool is_known = !err && (progress->doing[0] || progress->outcome[0]);
	if (!is_known || !ends_otherwise(arg, progress))
		on_done(arg, rsp, err);
}

void snapshots_hand_over(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	struct sandbox_hand_over_req req = {.wait_ms = WAIT_MS};
	struct error err;
	if (snapshot_json_roots(call->body, &req, &err) != 0)
		api_refuse(call, &err);
	else
		agents_ask(call, &sandbox_hand_over_call, &req, WAIT_MS + WAIT_GRACE_MS,
		    req.roots.len ? on_handed_over : on_withdrawn);
}

void snapshots_accept(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	struct sandbox_accept_req req = {.wanted = true};
	struct error err;
	if (api_fields(call, NULL, 0, &err) != 0)
		api_refuse(call, &err);
	else
		agents_ask(call, &sandbox_accept_call, &req, AGENTS_MS, on_agent);
}

void snapshots_refuse(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	struct sandbox_accept_req req = {.wanted = false};
	agents_ask(call, &sandbox_accept_call, &req, AGENTS_MS, on_done);
}
