/* What an owner does with the agent: look at it, start, stop, open, read what it wrote. The words of operators are in agents.c, what is saved in snapshots.c. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/scoped.h"
#include "services/cli/agents.h"
#include "services/cli/snapshots.h"
#include "services/cli/web.h"

/* In plain words: what it means for whoever waits. */
static const struct {
	const char *state, *words;
} states[] = {
    {"stopped", "stopped: nothing runs; 'multiclaw agent start' starts it"},
    {"starting", "starting"},
    {"running", "running"},
    {"sleeping", "sleeping: the next request wakes it"},
    {"failed", "failed: it does not start, or ended too often; 'multiclaw agent logs' may say why"},
};

static void print_state(const char *state)
{
	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		if (strcmp(states[i].state, state) == 0) {
			fputs(states[i].words, stdout);
			return;
		}
	cli_print_text(state);
}

static void print_member(const json_t *agent, const char *label, const char *name)
{
	const char *text = web_text(agent, name);

	printf("\n%-9s", label);
	cli_print_text(text[0] ? text : "-");
}

/* The newest one, and a try after it that made none. */
static void print_snapshot(const json_t *snapshot)
{
	const json_t *id = json_object_get(snapshot, "id");

	printf("\n%-9s", "snapshot");
	if (json_is_integer(id)) {
		printf("%" JSON_INTEGER_FORMAT " of ", json_integer_value(id));
		cli_print_text(web_text(snapshot, "created_at"));
	} else {
		putchar('-');
	}
	if (web_text(snapshot, "why")[0])
		print_member(snapshot, "unsaved", "why");
}

void agents_show(const json_t *agent)
{
	fputs("state    ", stdout);
	print_state(web_text(agent, "state"));
	if (web_text(agent, "why")[0])
		print_member(agent, "why", "why");
	print_member(agent, "agent", "agent_id");
	print_member(agent, "url", "url");
	print_member(agent, "since", "started_at");
	print_member(agent, "boot", "boot_id");
	print_member(agent, "image", "image");
	print_snapshot(json_object_get(agent, "snapshot"));
	putchar('\n');
}

static int show(struct cli *cli, const char *method, const char *path, const char *body)
{
	scoped_answer struct web_answer answer = {0};
	struct error err = {0};

	if (web_call(cli, method, path, body, &answer, &err) < 0)
		return cli_fail(&err);
	if (cli->json) {
		cli_print_json(json_incref(answer.json));
		return CLI_OK;
	}
	agents_show(answer.json);
	return CLI_OK;
}

static int status(struct cli *cli, int argc, char **argv)
{
	if (argc > 2)
		return cli_usage("agent status: what is '%s'?", argv[2]);
	return show(cli, "GET", "/v1/agent", NULL);
}

/* start, stop, restart: done when the answer says so, which may be before the agent is there. */
static int change(struct cli *cli, int argc, char **argv)
{
	char path[64];

	if (argc > 2)
		return cli_usage("agent %s: what is '%s'?", argv[1], argv[2]);
	snprintf(path, sizeof(path), "/v1/agent/%s", argv[1]);
	return show(cli, "POST", path, "{}");
}

/* ---- open ---- */

/* Good for 30 s and one browser; whoever has it is the owner for the agent, so it goes to a terminal or where it was sent. */
static bool is_url(const char *url)
{
	if (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0)
		return false;
	for (; *url; url++)
		if (*url <= ' ' || *url > '~')
			return false;
	return true;
}

/* In a process of its own, because a browser may stay. Its arguments are seen by other users of this machine, who cannot use the address a second time. */
static bool open_browser(const char *url)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		execlp("xdg-open", "xdg-open", url, (char *)NULL);
		_exit(127);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static bool is_desktop(void)
{
	return isatty(STDOUT_FILENO) && (getenv("DISPLAY") || getenv("WAYLAND_DISPLAY"));
}

static int open_page(struct cli *cli, int argc, char **argv)
{
	scoped_answer struct web_answer answer = {0};
	struct error err = {0};
	bool only_print = argc == 3 && strcmp(argv[2], "--print") == 0;

	if (argc > 3 || (argc == 3 && !only_print))
		return cli_usage("agent open: what is '%s'?", argv[argc - 1]);
	if (web_call(cli, "POST", "/v1/agent/open", "{}", &answer, &err) < 0)
		return cli_fail(&err);
	const char *url = web_text(answer.json, "url");
	if (!is_url(url)) {
		error_set(&err, ERR_INTERNAL, "what answered is not this service: it named no URL");
		return cli_fail(&err);
	}
	if (cli->json) {
		cli_print_json(json_incref(answer.json));
		return CLI_OK;
	}
	puts(url);
	fflush(stdout);
	if (!only_print && is_desktop() && !open_browser(url))
		fputs("multiclaw: no browser was opened: open the address above within 30 s\n",
		    stderr);
	return CLI_OK;
}

/* ---- logs ---- */

struct following {
	bool json, raw;
	char event[32]; /* whose data comes */
	char end[64];   /* why the service ended it, "" if it did not say */
};

void agents_print(const char *bytes, size_t len, bool raw)
{
	if (raw)
		fwrite(bytes, 1, len, stdout);
	else
		cli_print_body(bytes, len);
}

static void print_data(struct following *following, const char *data)
{
	scoped_json json_t *json = json_loads(data, JSON_ALLOW_NUL, NULL);
	const json_t *line = json_object_get(json, "line");

	if (strcmp(following->event, "log") == 0 && json_is_string(line)) {
		agents_print(json_string_value(line), json_string_length(line), following->raw);
		putchar('\n');
	} else if (strcmp(following->event, "lost") == 0) {
		fputs("multiclaw: here is a gap: it wrote faster, or more, than is kept\n", stderr);
	}
}

static bool follow_line(void *arg, const char *text)
{
	struct following *following = arg;

	if (strncmp(text, "event:", 6) == 0) {
		text += 6 + (text[6] == ' ');
		snprintf(following->event, sizeof(following->event), "%.*s",
		    (int)strcspn(text, "\r"), text);
	} else if (strncmp(text, "data:", 5) == 0) {
		text += 5 + (text[5] == ' ');
		if (strcmp(following->event, "session_ended") == 0) {
			scoped_json json_t *json = json_loads(text, 0, NULL);
			snprintf(
			    following->end, sizeof(following->end), "%s", web_text(json, "reason"));
		}
		if (!following->json) {
			print_data(following, text);
		} else if (strcmp(following->event, "log") == 0) {
			cli_print_text(text);
			putchar('\n');
		}
	}
	fflush(stdout);
	return true;
}

static int follow(struct cli *cli, bool raw)
{
	struct following following = {.json = cli->json, .raw = raw};
	struct session_file file;
	struct error err = {0};
	char url[1024];

	if (session_file_read(cli->session_path, &file, &err) < 0)
		return cli_fail(&err);
	snprintf(url, sizeof(url), "%s/v1/agent/logs?follow=1", file.url);
	int rc = web_stream(url, file.token, follow_line, &following, &err);
	sodium_memzero(&file, sizeof(file));
	if (rc == 0 && following.end[0])
		rc = error_refuse(&err, ERR_UNAUTHENTICATED, following.end, "the session is over");
	return rc == 0 ? CLI_OK : cli_fail(&err);
}

static int last(struct cli *cli, bool raw)
{
	scoped_answer struct web_answer answer = {0};
	struct session_file file;
	struct error err = {0};
	char url[1024];

	if (session_file_read(cli->session_path, &file, &err) < 0)
		return cli_fail(&err);
	snprintf(url, sizeof(url), "%s/v1/agent/logs", file.url);
	int rc = web_request("GET", url, NULL, file.token, &answer, &err);
	sodium_memzero(&file, sizeof(file));
	if (rc == 0 && answer.status != 200)
		rc = web_problem(&answer, &err);
	if (rc < 0)
		return cli_fail(&err);
	if (!answer.body)
		return CLI_OK;
	if (cli->json) {
		json_t *text = json_stringn(answer.body, answer.len);
		cli_print_json(json_pack("{so}", "logs", text ? text : json_null()));
		return CLI_OK;
	}
	agents_print(answer.body, answer.len, raw);
	if (answer.len && answer.body[answer.len - 1] != '\n' && !raw)
		putchar('\n');
	return CLI_OK;
}

static int logs(struct cli *cli, int argc, char **argv)
{
	bool is_following = false, raw = false;

	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "-f") == 0 || strcmp(argv[i], "--follow") == 0)
			is_following = true;
		else if (strcmp(argv[i], "--raw") == 0)
			raw = true;
		else
			return cli_usage("agent logs: what is '%s'?", argv[i]);
	}
	return is_following ? follow(cli, raw) : last(cli, raw);
}

int cli_agent(struct cli *cli, int argc, char **argv)
{
	static const struct {
		const char *word;
		int (*run)(struct cli *cli, int argc, char **argv);
	} words[] = {{"status", status}, {"start", change}, {"stop", change}, {"restart", change},
	    {"open", open_page}, {"logs", logs}, {"list", agents_list}, {"halt", agents_change},
	    {"wake", agents_change}, {"exec", agents_exec}, {"move", agents_move},
	    {"snapshots", snapshots_list}, {"snapshot", snapshots_make},
	    {"restore", snapshots_restore}, {"discard", snapshots_discard},
	    {"hand-over", snapshots_hand_over}, {"accept", snapshots_answer},
	    {"refuse", snapshots_answer}};

	if (argc == 1)
		return status(cli, argc, argv);
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(words[i].word, argv[1]) == 0)
			return words[i].run(cli, argc, argv);
	return cli_usage("agent: there is no 'agent %s'", argv[1]);
}
