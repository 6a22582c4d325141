#include "services/router/snapshot_json.h"

#include <stddef.h>
#include <string.h>

#include "services/router/api.h"

/* the other replies begin with all of it */
_Static_assert(
    offsetof(struct sandbox_snapshots_rsp, kind) == offsetof(struct sandbox_hand_over_rsp, kind),
    "sandbox.snapshots begins with SANDBOX_PROGRESS");
_Static_assert(
    offsetof(struct sandbox_snapshot_rsp, kind) == offsetof(struct sandbox_hand_over_rsp, kind),
    "sandbox.snapshot begins with SANDBOX_PROGRESS");

static json_t *text_or_null(const char *text)
{
	return text[0] ? json_string(text) : json_null();
}

/* jansson's numbers end earlier; none that is true is that large. */
static json_t *number(uint64_t n)
{
	return json_integer(n < INT64_MAX ? (json_int_t)n : INT64_MAX);
}

json_t *snapshot_json_newest(const struct sandbox_state_rsp *agent)
{
	if (!agent->snapshot && !agent->snapshot_why[0])
		return json_null();
	return json_pack("{s:o, s:o, s:o}", "id",
	    agent->snapshot ? number(agent->snapshot) : json_null(), "created_at",
	    agent->snapshot ? api_time(agent->snapshot_ms) : json_null(), "why",
	    text_or_null(agent->snapshot_why));
}

static json_t *item_json(const struct snapshots_item *item)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:b}", "id", number(item->id),
	    "created_at", api_time(item->created_ms), "bytes", number(item->bytes), "stored_bytes",
	    number(item->stored_bytes), "files", number(item->files), "trigger", item->trigger,
	    "boot_id", text_or_null(item->boot_id), "damaged", item->damaged);
}

static json_t *under_way(const struct sandbox_hand_over_rsp *progress)
{
	if (!progress->doing[0])
		return json_null();
	return json_pack("{s:s, s:o, s:o}", "doing", progress->doing, "done_bytes",
	    number(progress->done_bytes), "total_bytes", number(progress->total_bytes));
}

json_t *snapshot_json_progress(const struct sandbox_hand_over_rsp *progress)
{
	return json_pack("{s:o}", "under_way", under_way(progress));
}

static json_t *last(const struct sandbox_hand_over_rsp *progress)
{
	if (!progress->outcome[0])
		return json_null();
	return json_pack("{s:s, s:o, s:o, s:o}", "outcome", progress->outcome, "why",
	    text_or_null(progress->why), "path", text_or_null(progress->path), "kind",
	    text_or_null(progress->kind));
}

static json_t *handed_over(const struct sandbox_snapshots_rsp *found)
{
	if (!found->handed_wallet[0])
		return json_null();
	json_t *roots = json_array();
	for (size_t i = 0; i < found->roots.len; i++)
		json_array_append_new(roots, json_string(found->roots.item[i].root));
	return json_pack("{s:s, s:o, s:o, s:o}", "from", found->handed_wallet, "at",
	    api_time(found->handed_ms), "bytes", number(found->handed_bytes), "roots", roots);
}

json_t *snapshot_json_list(const struct sandbox_snapshots_rsp *found)
{
	const struct sandbox_hand_over_rsp *progress = (const void *)found;
	json_t *list = json_array();
	for (size_t i = 0; i < found->snapshots.len; i++)
		json_array_append_new(list, item_json(&found->snapshots.item[i]));
	return json_pack("{s:o, s:o, s:o, s:o}", "snapshots", list, "under_way",
	    under_way(progress), "last", last(progress), "handed_over", handed_over(found));
}

json_t *snapshot_json_one(const struct sandbox_snapshots_rsp *found, uint64_t id)
{
	for (size_t i = 0; i < found->snapshots.len; i++)
		if (found->snapshots.item[i].id == id)
			return item_json(&found->snapshots.item[i]);
	return found->snapshots.len ? item_json(&found->snapshots.item[0]) : NULL;
}

const char *snapshot_json_problem(
    const struct sandbox_hand_over_rsp *progress, const char **detail_r, json_t **more_r)
{
	static const struct {
		const char *outcome, *code;
	} refusals[] = {
	    {"secret_found", "secret_found"},
	    {"empty", "snapshot_empty"},
	    {"nothing_to_save", "nothing_to_save"},
	    {"too_large", "snapshot_too_large"},
	    {"busy", "snapshot_busy"},
	    {"failed", "snapshot_failed"},
	};
	static const char *const successes[] = {"made", "unchanged", "handed_over"};
	const char *outcome = progress->outcome;
	*detail_r = NULL;
	*more_r = NULL;
	for (size_t i = 0; i < ARRAY_LEN(successes); i++)
		if (strcmp(outcome, successes[i]) == 0)
			return NULL;
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		if (strcmp(outcome, refusals[i].outcome) != 0)
			continue;
		if (strcmp(outcome, "secret_found") == 0)
			*more_r = json_pack("{s:o, s:o}", "path", text_or_null(progress->path),
			    "kind", text_or_null(progress->kind));
		else if (progress->why[0])
			*detail_r = progress->why;
		return refusals[i].code;
	}
	return "internal";
}

int snapshot_json_roots(const json_t *body, struct sandbox_hand_over_req *req, struct error *err)
{
	const json_t *roots = json_object_get(body, "roots");
	if (json_object_size(body) > 1 || (json_object_size(body) == 1 && !roots))
		return error_refuse(err, ERR_INVALID, "body_invalid", "unknown member in the body");
	if (!json_is_array(roots) || json_array_size(roots) > ARRAY_LEN(req->roots.item))
		return error_refuse(err, ERR_INVALID, "body_invalid",
		    "roots is not a list of at most %zu folders", ARRAY_LEN(req->roots.item));
	req->roots.len = json_array_size(roots);
	for (size_t i = 0; i < req->roots.len; i++) {
		const json_t *root = json_array_get(roots, i);
		char *to = req->roots.item[i].root;
		size_t len = json_string_length(root), size = sizeof(req->roots.item[i].root);
		if (len == 0 || len >= size)
			return error_refuse(err, ERR_INVALID, "body_invalid",
			    "a root is not text of 1 to %zu bytes", size - 1);
		memcpy(to, json_string_value(root), len + 1);
	}
	return 0;
}
