/* Snapshots in the API's words, and the API's words as sandbox takes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "common/scoped.h"
#include "services/router/snapshot_json.h"

static void reads_as(json_t *json, const char *text)
{
	scoped_json json_t *owned = json;
	scoped_free char *is = owned ? json_dumps(owned, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	assert_non_null(is);
	assert_string_equal(is, text);
}

static void the_newest_is_told_with_the_agent(void **state)
{
	(void)state;
	struct sandbox_state_rsp agent = {.state = "running"};
	reads_as(snapshot_json_newest(&agent), "null");
	snprintf(agent.snapshot_why, sizeof(agent.snapshot_why), "%s", "a secret");
	reads_as(
	    snapshot_json_newest(&agent), "{\"id\":null,\"created_at\":null,\"why\":\"a secret\"}");
	agent.snapshot = 7;
	agent.snapshot_ms = 1767323045678;
	reads_as(snapshot_json_newest(&agent),
	    "{\"id\":7,\"created_at\":\"2026-01-02T03:04:05.678Z\",\"why\":\"a secret\"}");
	agent.snapshot_why[0] = '\0';
	agent.snapshot = UINT64_MAX;
	reads_as(snapshot_json_newest(&agent), "{\"id\":9223372036854775807,\"created_at\":\"2026-"
					       "01-02T03:04:05.678Z\",\"why\":null}");
}

static void a_list_of_nothing_is_nulls(void **state)
{
	(void)state;
	scoped_free struct sandbox_snapshots_rsp *found = calloc(1, sizeof(*found));
	reads_as(snapshot_json_list(found),
	    "{\"snapshots\":[],\"under_way\":null,\"last\":null,\"handed_over\":null}");
	assert_null(snapshot_json_one(found, 1));
}

static void a_list_says_what_there_is(void **state)
{
	(void)state;
	scoped_free struct sandbox_snapshots_rsp *found = calloc(1, sizeof(*found));
	found->snapshots.len = 2;
	found->snapshots.item[0] = (struct snapshots_item){.id = 3,
	    .created_ms = 2000,
	    .bytes = 10,
	    .stored_bytes = 5,
	    .files = 2,
	    .trigger = "timer",
	    .boot_id = "ab"};
	found->snapshots.item[1] = (struct snapshots_item){
	    .id = 1, .created_ms = 1000, .trigger = "sleep", .damaged = true};
	static const char third[] =
	    "{\"id\":3,\"created_at\":\"1970-01-01T00:00:02.000Z\",\"bytes\":10,\"stored_bytes\":5,"
	    "\"files\":2,\"trigger\":\"timer\",\"boot_id\":\"ab\",\"damaged\":false}";
	static const char first[] =
	    "{\"id\":1,\"created_at\":\"1970-01-01T00:00:01.000Z\",\"bytes\":0,\"stored_bytes\":0,"
	    "\"files\":0,\"trigger\":\"sleep\",\"boot_id\":null,\"damaged\":true}";
	reads_as(snapshot_json_one(found, 1), first);
	reads_as(snapshot_json_one(found, 3), third);
	reads_as(snapshot_json_one(found, 2), third); /* gone meanwhile: the newest */
	snprintf(found->doing, sizeof(found->doing), "%s", "restore");
	found->done_bytes = 1;
	found->total_bytes = 4;
	snprintf(found->outcome, sizeof(found->outcome), "%s", "secret_found");
	snprintf(found->path, sizeof(found->path), "%s", "workspace/\"x\"\n");
	snprintf(found->kind, sizeof(found->kind), "%s", "llm/openai, base64");
	snprintf(found->handed_wallet, sizeof(found->handed_wallet), "%s", "W");
	found->handed_ms = 3000;
	found->handed_bytes = 9;
	found->roots.len = 1;
	snprintf(found->roots.item[0].root, sizeof(found->roots.item[0].root), "%s", "workspace");
	char text[2048];
	snprintf(text, sizeof(text),
	    "{\"snapshots\":[%s,%s],"
	    "\"under_way\":{\"doing\":\"restore\",\"done_bytes\":1,\"total_bytes\":4},"
	    "\"last\":{\"outcome\":\"secret_found\",\"why\":null,\"path\":\"workspace/"
	    "\\\"x\\\"\\n\","
	    "\"kind\":\"llm/openai, base64\"},"
	    "\"handed_over\":{\"from\":\"W\",\"at\":\"1970-01-01T00:00:03.000Z\",\"bytes\":9,"
	    "\"roots\":[\"workspace\"]}}",
	    third, first);
	reads_as(snapshot_json_list(found), text);
	reads_as(snapshot_json_progress((const void *)found),
	    "{\"under_way\":{\"doing\":\"restore\",\"done_bytes\":1,\"total_bytes\":4}}");
}

static void each_outcome_is_a_success_or_a_problem(void **state)
{
	(void)state;
	static const struct {
		const char *outcome, *code;
	} cases[] = {
	    {"made", NULL},
	    {"unchanged", NULL},
	    {"handed_over", NULL},
	    {"secret_found", "secret_found"},
	    {"empty", "snapshot_empty"},
	    {"nothing_to_save", "nothing_to_save"},
	    {"too_large", "snapshot_too_large"},
	    {"busy", "snapshot_busy"},
	    {"failed", "snapshot_failed"},
	    {"", "internal"},
	    {"moon", "internal"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sandbox_hand_over_rsp progress = {.why = "why", .path = "p", .kind = "k"};
		const char *detail;
		json_t *more;
		snprintf(progress.outcome, sizeof(progress.outcome), "%s", cases[i].outcome);
		const char *code = snapshot_json_problem(&progress, &detail, &more);
		if (!cases[i].code) {
			assert_null(code);
			continue;
		}
		assert_string_equal(code, cases[i].code);
		bool is_secret = strcmp(code, "secret_found") == 0;
		assert_int_equal(more != NULL, is_secret);
		if (is_secret)
			reads_as(more, "{\"path\":\"p\",\"kind\":\"k\"}");
		/* what is said of a secret is ours alone */
		assert_int_equal(detail != NULL, !is_secret && strcmp(code, "internal") != 0);
	}
}

static void roots_are_a_list_of_texts(void **state)
{
	(void)state;
	static char long_root[300], many[512];
	snprintf(long_root, sizeof(long_root), "{\"roots\":[\"%0256d\"]}", 0);
	size_t len = (size_t)snprintf(many, sizeof(many), "{\"roots\":[\"r\"");
	for (int i = 0; i < SANDBOX_ROOTS_MAX; i++)
		len += (size_t)snprintf(many + len, sizeof(many) - len, ",\"r\"");
	snprintf(many + len, sizeof(many) - len, "]}");
	const struct {
		const char *body;
		int len; /* -1: refused */
	} cases[] = {
	    {"{\"roots\":[]}", 0},
	    {"{\"roots\":[\"workspace\",\"a/b \xc3\xa4\"]}", 2},
	    {"{}", -1},
	    {"{\"root\":[]}", -1},
	    {"{\"roots\":[],\"x\":1}", -1},
	    {"{\"roots\":\"workspace\"}", -1},
	    {"{\"roots\":{\"a\":1}}", -1},
	    {"{\"roots\":null}", -1},
	    {"{\"roots\":[1]}", -1},
	    {"{\"roots\":[\"\"]}", -1},
	    {"{\"roots\":[\"a\",[\"b\"]]}", -1},
	    {long_root, -1},
	    {many, -1},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		scoped_json json_t *body = json_loads(cases[i].body, 0, NULL);
		struct sandbox_hand_over_req req = {0};
		struct error err = {0};
		assert_non_null(body);
		int rc = snapshot_json_roots(body, &req, &err);
		assert_int_equal(rc, cases[i].len < 0 ? -1 : 0);
		if (rc != 0)
			assert_string_equal(err.reason, "body_invalid");
		else
			assert_int_equal(req.roots.len, cases[i].len);
		if (cases[i].len == 2)
			assert_string_equal(req.roots.item[1].root, "a/b \xc3\xa4");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_newest_is_told_with_the_agent),
	    cmocka_unit_test(a_list_of_nothing_is_nulls),
	    cmocka_unit_test(a_list_says_what_there_is),
	    cmocka_unit_test(each_outcome_is_a_success_or_a_problem),
	    cmocka_unit_test(roots_are_a_list_of_texts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
