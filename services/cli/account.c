/* What an owner does with a session: look at it, list, end, use it. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/scoped.h"
#include "services/cli/web.h"

static const char *text_of(const json_t *doc, const char *name)
{
	const char *text = json_string_value(json_object_get(doc, name));

	return text ? text : "-";
}

/* A service may be anybody's: its texts are shown like a stranger's. */
static void print_member(const char *before, const json_t *doc, const char *name)
{
	fputs(before, stdout);
	cli_print_text(text_of(doc, name));
}

int cli_whoami(struct cli *cli, int argc, char **argv)
{
	struct error err = {0};
	scoped_answer struct web_answer answer = {0};

	if (argc > 1)
		return cli_usage("whoami: what is '%s'?", argv[1]);
	if (web_call(cli, "GET", "/v1/session", NULL, &answer, &err) < 0)
		return cli_fail(&err);
	if (cli->json) {
		cli_print_json(json_incref(answer.json));
		return CLI_OK;
	}
	print_member("asset    ", answer.json, "asset");
	print_member("  ", answer.json, "name");
	print_member("\nagent    ", answer.json, "agent_id");
	print_member("\nwallet   ", answer.json, "wallet");
	print_member("\nsession  ", answer.json, "jti");
	print_member("\nsince    ", answer.json, "issued_at");
	print_member("\nuntil    ", answer.json, "expires_at");
	putchar('\n');
	return CLI_OK;
}

static int list_sessions(struct cli *cli)
{
	struct error err = {0};
	scoped_answer struct web_answer answer = {0};
	const json_t *sessions;
	size_t i;
	json_t *s;

	if (web_call(cli, "GET", "/v1/sessions", NULL, &answer, &err) < 0 ||
	    !(sessions = web_list(&answer, "sessions", &err)))
		return cli_fail(&err);
	if (cli->json) {
		cli_print_json(json_incref(answer.json));
		return CLI_OK;
	}
	json_array_foreach(sessions, i, s)
	{
		print_member(json_is_true(json_object_get(s, "current")) ? "*" : " ", s, "jti");
		print_member("  since ", s, "issued_at");
		print_member("  seen ", s, "last_seen_at");
		print_member("  from ", s, "ip");
		print_member("  ", s, "user_agent");
		putchar('\n');
	}
	return CLI_OK;
}

/* Whoever lives has enforced it when it is answered, or is named. */
static int end_all_sessions(struct cli *cli)
{
	struct error err = {0};
	scoped_answer struct web_answer answer = {0};
	const json_t *replicas;
	size_t i;
	json_t *r;

	if (web_call(cli, "DELETE", "/v1/sessions", NULL, &answer, &err) < 0 ||
	    !(replicas = web_list(&answer, "replicas", &err)))
		return cli_fail(&err);
	bool is_done = json_is_true(json_object_get(answer.json, "done"));
	if (cli->json) {
		cli_print_json(json_incref(answer.json));
		return is_done ? CLI_OK : CLI_UNAVAILABLE;
	}
	print_member("All have ended: event ", answer.json, "event");
	putchar('\n');
	json_array_foreach(replicas, i, r)
	{
		print_member("  ", r, "replica");
		print_member("  ", r, "state");
		if (json_is_integer(json_object_get(r, "ms")))
			printf("  after %lld ms",
			    (long long)json_integer_value(json_object_get(r, "ms")));
		putchar('\n');
	}
	if (!is_done)
		puts("Not everybody has enforced it yet.");
	return is_done ? CLI_OK : CLI_UNAVAILABLE;
}

int cli_sessions(struct cli *cli, int argc, char **argv)
{
	struct error err = {0};
	char path[128] = "/v1/sessions";

	if (argc == 1)
		return list_sessions(cli);
	if (argc != 3 || strcmp(argv[1], "end") != 0)
		return cli_usage("sessions: 'sessions', 'sessions end JTI' or 'sessions end all'");
	if (strcmp(argv[2], "all") == 0)
		return end_all_sessions(cli);
	snprintf(path, sizeof(path), "/v1/sessions/%.64s", argv[2]);
	if (web_change(cli, "DELETE", path, NULL, &err) < 0)
		return cli_fail(&err);
	return cli_report(cli, "ended", argv[2], NULL);
}

int cli_logout(struct cli *cli, int argc, char **argv)
{
	struct error err = {0};

	if (argc > 1)
		return cli_usage("logout: what is '%s'?", argv[1]);
	int rc = web_change(cli, "POST", "/v1/auth/logout", "{}", &err);
	/* a session that is over already needs no ending; one that could not be ended is kept for another try */
	if (rc < 0 &&
	    (err.code != ERR_UNAUTHENTICATED || strcmp(err.reason, "session_missing") == 0))
		return cli_fail(&err);
	if (session_file_remove(cli->session_path, &err) < 0)
		return cli_fail(&err);
	return cli_report(cli, "signed_out", "yes", "Signed out.");
}

/* Server-sent events, one line of text each: "kind  data". */
static bool print_event(void *arg, const char *text)
{
	bool json = *(bool *)arg;

	if (strncmp(text, "data:", 5) == 0) {
		cli_print_text(text + 5 + (text[5] == ' '));
		putchar('\n');
	} else if (!json && strncmp(text, "event:", 6) == 0) {
		cli_print_text(text + 6 + (text[6] == ' '));
		fputs("  ", stdout);
	}
	fflush(stdout);
	return true;
}

int cli_events(struct cli *cli, int argc, char **argv)
{
	struct session_file file;
	struct error err = {0};
	char url[1024];

	if (argc > 1)
		return cli_usage("events: what is '%s'?", argv[1]);
	if (session_file_read(cli->session_path, &file, &err) < 0)
		return cli_fail(&err);
	snprintf(url, sizeof(url), "%s/v1/events", file.url);
	int rc = web_stream(url, file.token, print_event, &cli->json, &err);
	sodium_memzero(&file, sizeof(file));
	return rc == 0 ? CLI_OK : cli_fail(&err);
}
