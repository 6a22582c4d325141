#include "services/cli/snapshots.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/scoped.h"
#include "services/cli/agents.h"
#include "services/cli/progress.h"
#include "services/cli/prompt.h"
#include "services/cli/web.h"

#define PATH_SIZE 96
#define ROOTS_MAX 16
#define ROOT_MAX 255
#define POLL_MS 500
/* How long an answer may stay away, and a stop may last, before what is followed is given up. */
#define PATIENCE_MS 20000

static const char list_path[] = "/v1/agent/snapshots", hand_over_path[] = "/v1/agent/hand-over";

static uint64_t number(const json_t *doc, const char *name)
{
	json_int_t n = json_integer_value(json_object_get(doc, name));

	return n < 0 ? 0 : (uint64_t)n;
}

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

/* As a path has it; CLI_OK, or CLI_USAGE and it is said. */
static int check_number(const char *text)
{
	size_t len = strspn(text, "0123456789");

	if (len > 0 && len <= 18 && !text[len] && text[0] != '0')
		return CLI_OK;
	return cli_usage("'%s' is not a snapshot's number: see 'agent snapshots'", text);
}

/* ---- what is shown ---- */

static void show_progress(const json_t *under_way)
{
	char text[PROGRESS_TEXT_MAX];

	if (json_is_object(under_way))
		progress_show(progress_text(web_text(under_way, "doing"),
		    number(under_way, "done_bytes"), number(under_way, "total_bytes"), text));
}

static void print_snapshot(const json_t *snapshot)
{
	char bytes[PROGRESS_SIZE_MAX], stored[PROGRESS_SIZE_MAX];

	printf("%4" PRIu64 "  ", number(snapshot, "id"));
	cli_print_text(web_text(snapshot, "created_at"));
	printf("  %7" PRIu64 " files  %10s, %10s stored  ", number(snapshot, "files"),
	    progress_size(number(snapshot, "bytes"), bytes),
	    progress_size(number(snapshot, "stored_bytes"), stored));
	cli_print_text(web_text(snapshot, "trigger"));
	puts(json_is_true(json_object_get(snapshot, "damaged")) ? "  damaged" : "");
}

static void print_roots(const json_t *roots)
{
	const json_t *root;
	size_t i;

	json_array_foreach(roots, i, root)
	{
		fputs(i ? ", " : "", stdout);
		cli_print_text(json_is_string(root) ? json_string_value(root) : "?");
	}
}

static void print_handed_over(const json_t *handed)
{
	char bytes[PROGRESS_SIZE_MAX];

	fputs("handed over by ", stdout);
	cli_print_text(web_text(handed, "from"));
	fputs(" at ", stdout);
	cli_print_text(web_text(handed, "at"));
	printf(", %s: ", progress_size(number(handed, "bytes"), bytes));
	print_roots(json_object_get(handed, "roots"));
	putchar('\n');
}

static void print_last(const json_t *last)
{
	static const char *const good[] = {"made", "unchanged", "handed_over", "accepted"};
	const char *outcome = web_text(last, "outcome"), *why = web_text(last, "why");

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		if (strcmp(outcome, good[i]) == 0)
			return;
	fputs("the last try saved nothing: ", stdout);
	cli_print_text(outcome);
	if (web_text(last, "path")[0]) {
		fputs(", /data/", stdout);
		cli_print_text(web_text(last, "path"));
		fputs(" holds ", stdout);
		cli_print_text(web_text(last, "kind"));
	} else if (why[0]) {
		fputs(", ", stdout);
		cli_print_text(why);
	}
	putchar('\n');
}

static int get_list(struct cli *cli, struct web_answer *answer, struct error *err)
{
	if (web_call(cli, "GET", list_path, NULL, answer, err) < 0)
		return -1;
	return web_list(answer, "snapshots", err) ? 0 : -1;
}

int snapshots_list(struct cli *cli, int argc, char **argv)
{
	scoped_answer struct web_answer answer = {0};
	struct error err = {0};
	const json_t *snapshot, *under_way;
	char text[PROGRESS_TEXT_MAX];
	size_t i;

	if (argc > 2)
		return cli_usage("agent snapshots: what is '%s'?", argv[2]);
	if (get_list(cli, &answer, &err) < 0)
		return cli_fail(&err);
	if (cli->json) {
		cli_print_json(json_incref(answer.json));
		return CLI_OK;
	}
	json_array_foreach(json_object_get(answer.json, "snapshots"), i, snapshot)
	    print_snapshot(snapshot);
	if (i == 0)
		puts("there are no snapshots");
	under_way = json_object_get(answer.json, "under_way");
	if (json_is_object(under_way))
		puts(progress_text(web_text(under_way, "doing"), number(under_way, "done_bytes"),
		    number(under_way, "total_bytes"), text));
	if (json_is_object(json_object_get(answer.json, "last")))
		print_last(json_object_get(answer.json, "last"));
	if (json_is_object(json_object_get(answer.json, "handed_over"))) {
		print_handed_over(json_object_get(answer.json, "handed_over"));
		puts(
		    "  'multiclaw agent accept' takes it, 'multiclaw agent refuse' throws it away");
	}
	return CLI_OK;
}

/* ---- save ---- */

/* doc: a problem or a list's last, which both have path and kind. The path is an agent's words: it is shown, and never part of a command to copy. */
static int explain_secret(const json_t *doc)
{
	fputs("multiclaw: nothing was saved: /data/", stderr);
	cli_print_text_to(stderr, web_text(doc, "path"));
	fputs(" holds a secret: ", stderr);
	cli_print_text_to(stderr, web_text(doc, "kind"));
	fputs(" (secret_found)\n"
	      "  Take it out of the file, or exclude the file from snapshots: write its path below "
	      "/data into a file,\n"
	      "  with all others that are to be left out, one a line, and\n"
	      "    multiclaw secrets set custom snapshot-exclude <FILE\n",
	    stderr);
	return CLI_FAILED;
}

static int fail(const struct web_answer *answer, const struct error *err)
{
	progress_show("");
	if (strcmp(err->reason, "secret_found") == 0 && web_text(answer->json, "path")[0])
		return explain_secret(answer->json);
	return cli_fail(err);
}

static int fail_of(const json_t *last)
{
	struct error err = {0};
	const char *outcome = web_text(last, "outcome"), *why = web_text(last, "why");

	if (strcmp(outcome, "secret_found") == 0)
		return explain_secret(last);
	error_refuse(&err, strcmp(outcome, "failed") == 0 ? ERR_UNAVAILABLE : ERR_CONFLICT, outcome,
	    "nothing was saved%s%s", why[0] ? ": " : "", why);
	return cli_fail(&err);
}

/* While an answer is waited for. */
static void look(void *arg)
{
	struct cli *cli = arg;
	scoped_answer struct web_answer answer = {0};
	struct error ignored;

	if (get_list(cli, &answer, &ignored) == 0)
		show_progress(json_object_get(answer.json, "under_way"));
}

/* Until nothing is under way: answer_r is the list then. A service that is away for a moment is waited for. */
static int follow(struct cli *cli, struct web_answer *answer_r, struct error *err)
{
	uint64_t heard_ms = clock_boot_ms();

	for (;; pause_ms(POLL_MS)) {
		if (get_list(cli, answer_r, err) == 0) {
			const json_t *under_way = json_object_get(answer_r->json, "under_way");
			if (!json_is_object(under_way))
				break;
			show_progress(under_way);
			heard_ms = clock_boot_ms();
		} else if (err->code != ERR_UNAVAILABLE ||
			   clock_boot_ms() - heard_ms > PATIENCE_MS) {
			return -1;
		}
		web_answer_free(answer_r);
	}
	progress_show("");
	return 0;
}

/* Asks for it and sees it through: in answer_r what was answered, or the list at its end, which is_list_r says. */
static int save(struct cli *cli, const char *path, const char *body, struct web_answer *answer_r,
    bool *is_list_r, struct error *err)
{
	int rc = web_call_meanwhile(
	    cli, "POST", path, body, progress_is_seen() ? look : NULL, cli, answer_r, err);

	*is_list_r = rc == 0 && answer_r->status == 202;
	if (*is_list_r) {
		show_progress(json_object_get(answer_r->json, "under_way"));
		web_answer_free(answer_r);
		rc = follow(cli, answer_r, err);
	}
	if (rc == 0)
		progress_show("");
	return rc;
}

int snapshots_make(struct cli *cli, int argc, char **argv)
{
	scoped_answer struct web_answer answer = {0};
	struct error err = {0};
	const json_t *snapshot;
	bool is_list, is_new;

	if (argc > 2)
		return cli_usage("agent snapshot: what is '%s'?", argv[2]);
	if (save(cli, list_path, "{}", &answer, &is_list, &err) < 0)
		return fail(&answer, &err);
	if (is_list) {
		const json_t *last = json_object_get(answer.json, "last");
		is_new = strcmp(web_text(last, "outcome"), "made") == 0;
		if (!is_new && strcmp(web_text(last, "outcome"), "unchanged") != 0)
			return fail_of(last);
		snapshot = json_array_get(json_object_get(answer.json, "snapshots"), 0);
	} else {
		is_new = answer.status == 201;
		snapshot = answer.json;
	}
	if (cli->json) {
		cli_print_json(json_deep_copy(snapshot));
		return CLI_OK;
	}
	if (!is_new)
		puts("nothing has changed since the newest one:");
	print_snapshot(snapshot);
	return CLI_OK;
}

/* ---- restore, discard ---- */

static const json_t *find(const struct web_answer *answer, const char *id)
{
	const json_t *snapshot;
	size_t i;

	json_array_foreach(json_object_get(answer->json, "snapshots"), i, snapshot)
	{
		char text[24];
		snprintf(text, sizeof(text), "%" PRIu64, number(snapshot, "id"));
		if (strcmp(text, id) == 0)
			return snapshot;
	}
	return NULL;
}

struct start {
	char before[40]; /* the boot that is to be over */
	uint64_t heard_ms, stood_ms;
};

/* 1: it runs, 0: not yet, -1: it does not start. */
static int judge(struct start *start, const json_t *agent, struct error *err)
{
	const char *state = web_text(agent, "state"), *why = web_text(agent, "why");
	uint64_t now_ms = clock_boot_ms();
	bool stands = strcmp(state, "stopped") == 0 || strcmp(state, "sleeping") == 0;
	bool ran = strcmp(state, "running") == 0 || strcmp(state, "sleeping") == 0;

	if (ran && strcmp(web_text(agent, "boot_id"), start->before) != 0)
		return 1;
	if (!stands)
		start->stood_ms = now_ms;
	if (strcmp(state, "failed") == 0 || now_ms - start->stood_ms > PATIENCE_MS)
		return error_refuse(err, ERR_CONFLICT, state, "the agent does not start%s%s",
		    why[0] ? ": " : "", why);
	return 0;
}

/* Until it runs from what it was told to start from; answer_r is the agent then. */
static int follow_start(
    struct cli *cli, struct start *start, struct web_answer *answer_r, struct error *err)
{
	start->heard_ms = start->stood_ms = clock_boot_ms();
	for (;; pause_ms(POLL_MS)) {
		if (web_call(cli, "GET", "/v1/agent", NULL, answer_r, err) == 0) {
			start->heard_ms = clock_boot_ms();
			int rc = judge(start, answer_r->json, err);
			if (rc != 0)
				return rc > 0 ? 0 : -1;
			if (progress_is_seen())
				look(cli);
		} else if (err->code != ERR_UNAVAILABLE ||
			   clock_boot_ms() - start->heard_ms > PATIENCE_MS) {
			return -1;
		}
		web_answer_free(answer_r);
	}
}

/* POSTs what restarts the agent, and sees it through. */
static int restart_by(struct cli *cli, const char *path)
{
	scoped_answer struct web_answer before = {0}, begun = {0}, answer = {0};
	struct error err = {0};
	struct start start = {0};

	if (web_call(cli, "GET", "/v1/agent", NULL, &before, &err) < 0)
		return cli_fail(&err);
	snprintf(start.before, sizeof(start.before), "%.39s", web_text(before.json, "boot_id"));
	if (web_call(cli, "POST", path, "{}", &begun, &err) < 0)
		return cli_fail(&err);
	int rc = follow_start(cli, &start, &answer, &err);
	progress_show("");
	if (rc < 0)
		return cli_fail(&err);
	if (cli->json)
		cli_print_json(json_incref(answer.json));
	else
		agents_show(answer.json);
	return CLI_OK;
}

/* Words may hold --yes anywhere; the others are left in argv. */
static bool take_yes(int *argc, char **argv)
{
	int kept = 2;
	bool is_yes = false;

	for (int i = 2; i < *argc; i++)
		if (strcmp(argv[i], "--yes") == 0)
			is_yes = true;
		else
			argv[kept++] = argv[i];
	*argc = kept < *argc ? kept : *argc;
	return is_yes;
}

/* Is there one of this number? If not, it is said. */
static int look_up(struct cli *cli, const char *id, struct web_answer *answer_r)
{
	struct error err = {0};

	if (get_list(cli, answer_r, &err) < 0)
		return cli_fail(&err);
	if (find(answer_r, id))
		return CLI_OK;
	error_refuse(&err, ERR_NOT_FOUND, "not_found", "there is no snapshot %s", id);
	return cli_fail(&err);
}

int snapshots_restore(struct cli *cli, int argc, char **argv)
{
	scoped_answer struct web_answer answer = {0};
	char path[PATH_SIZE], question[160];
	bool is_yes = take_yes(&argc, argv);
	int rc;

	if (argc != 3)
		return cli_usage("agent restore [--yes] ID");
	if ((rc = check_number(argv[2])) != CLI_OK ||
	    (rc = look_up(cli, argv[2], &answer)) != CLI_OK)
		return rc;
	snprintf(question, sizeof(question),
	    "Stop the agent and start it from snapshot %s? What it has not saved is lost.",
	    argv[2]);
	if (!is_yes && !cli->json)
		print_snapshot(find(&answer, argv[2]));
	fflush(stdout);
	if ((rc = prompt_confirm(is_yes, question)) != CLI_OK)
		return rc;
	snprintf(path, sizeof(path), "%s/%s/restore", list_path, argv[2]);
	return restart_by(cli, path);
}

int snapshots_discard(struct cli *cli, int argc, char **argv)
{
	char path[PATH_SIZE], done[64];
	struct error err = {0};

	if (argc != 3)
		return cli_usage("agent discard ID");
	if (check_number(argv[2]) != CLI_OK)
		return CLI_USAGE;
	snprintf(path, sizeof(path), "%s/%s", list_path, argv[2]);
	if (web_change(cli, "DELETE", path, NULL, &err) < 0) {
		if (err.code == ERR_NOT_FOUND)
			error_refuse(
			    &err, ERR_NOT_FOUND, "not_found", "there is no snapshot %s", argv[2]);
		return cli_fail(&err);
	}
	snprintf(done, sizeof(done), "Deleted snapshot %s.", argv[2]);
	return cli_report(cli, "discarded", argv[2], done);
}

/* ---- from one owner to the next ---- */

static int withdraw(struct cli *cli)
{
	scoped_answer struct web_answer answer = {0};
	struct error err = {0};
	bool is_list;

	if (save(cli, hand_over_path, "{\"roots\":[]}", &answer, &is_list, &err) < 0)
		return fail(&answer, &err);
	const json_t *last = json_object_get(answer.json, "last");
	if (is_list && strcmp(web_text(last, "outcome"), "handed_over") != 0)
		return fail_of(last);
	return cli_report(
	    cli, "handed_over", "nothing", "Nothing is left to the next owner any more.");
}

/* CLI_OK and the body, which is the caller's; or CLI_USAGE, and it is said. */
static int read_roots(int argc, char **argv, json_t **body_r)
{
	scoped_json json_t *roots = json_array();

	if (argc < 3 || argc - 2 > ROOTS_MAX)
		return cli_usage(
		    "agent hand-over ROOT... (%d at most) or agent hand-over --withdraw",
		    ROOTS_MAX);
	for (int i = 2; i < argc; i++) {
		json_t *root = json_string(argv[i]);
		if (!root || !argv[i][0] || argv[i][0] == '-' || strlen(argv[i]) > ROOT_MAX) {
			json_decref(root);
			return cli_usage("agent hand-over: '%s' is no folder below /data", argv[i]);
		}
		json_array_append_new(roots, root);
	}
	*body_r = json_pack("{sO}", "roots", roots);
	return CLI_OK;
}

int snapshots_hand_over(struct cli *cli, int argc, char **argv)
{
	scoped_answer struct web_answer answer = {0};
	scoped_json json_t *body = NULL;
	struct error err = {0};
	bool is_list;

	if (argc == 3 && strcmp(argv[2], "--withdraw") == 0)
		return withdraw(cli);
	if (read_roots(argc, argv, &body) != CLI_OK)
		return CLI_USAGE;
	scoped_free char *text = json_dumps(body, JSON_COMPACT);
	if (save(cli, hand_over_path, text, &answer, &is_list, &err) < 0)
		return fail(&answer, &err);
	const json_t *last = json_object_get(answer.json, "last");
	if (is_list && strcmp(web_text(last, "outcome"), "handed_over") != 0)
		return fail_of(last);
	if (cli->json) {
		cli_print_json(json_incref(body));
		return CLI_OK;
	}
	fputs("The next owner is offered, as they are now: ", stdout);
	print_roots(json_object_get(body, "roots"));
	puts("\n'multiclaw agent hand-over --withdraw' takes that back.");
	return CLI_OK;
}

static int refuse(struct cli *cli)
{
	struct error err = {0};

	if (web_change(cli, "DELETE", hand_over_path, NULL, &err) < 0)
		return cli_fail(&err);
	return cli_report(cli, "handed_over", "refused", "It is thrown away.");
}

int snapshots_answer(struct cli *cli, int argc, char **argv)
{
	scoped_answer struct web_answer answer = {0};
	struct error err = {0};
	bool is_accept = strcmp(argv[1], "accept") == 0, is_yes = take_yes(&argc, argv);
	char path[PATH_SIZE];

	if (argc != 2)
		return cli_usage("agent %s [--yes]", argv[1]);
	if (get_list(cli, &answer, &err) < 0)
		return cli_fail(&err);
	const json_t *handed = json_object_get(answer.json, "handed_over");
	if (!json_is_object(handed)) {
		error_refuse(&err, ERR_NOT_FOUND, "not_found", "nothing was handed over");
		return cli_fail(&err);
	}
	if (!cli->json)
		print_handed_over(handed);
	fflush(stdout);
	int rc = prompt_confirm(is_yes,
	    is_accept ? "Restart the agent with it? It was written by the former owner's agent: "
			"trust it as much as that."
		      : "Throw it away?");
	if (rc != CLI_OK)
		return rc;
	snprintf(path, sizeof(path), "%s/accept", hand_over_path);
	return is_accept ? restart_by(cli, path) : refuse(cli);
}
