/* curl - a request with the session: the console's for its API, the agent's own, entered when there is none, for the agent's origin. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/cli/enter.h"

struct wish {
	const char *method, *data, *where;
	bool show_status;
};

/* Where agents live: as the suite was told; by default, beside a console on this machine. */
static const char *agents_domain(const struct session_file *file)
{
	static const char local[] = "://localhost";
	const char *told = getenv("MULTICLAW_AGENTS_DOMAIN"), *host = strstr(file->url, "://");

	if (told && told[0])
		return told;
	bool is_local =
	    host && strncmp(host, local, strlen(local)) == 0 && strchr(":", host[strlen(local)]);
	return is_local ? host + 3 : NULL;
}

static int agent_origin(
    const struct session_file *file, char *origin, size_t size, struct error *err)
{
	const char *domain = agents_domain(file);

	if (!domain || !file->agent_id[0])
		return error_set(err, ERR_INVALID,
		    "set MULTICLAW_AGENTS_DOMAIN to where this service's agents live");
	int len = snprintf(origin, size, "%.*s://%s.%s", (int)strcspn(file->url, ":"), file->url,
	    file->agent_id, domain);
	return (size_t)len < size
		   ? 0
		   : error_set(err, ERR_INVALID, "MULTICLAW_AGENTS_DOMAIN is too long");
}

static int ask_console(const struct wish *wish, const struct session_file *file,
    struct web_answer *answer_r, struct error *err)
{
	char url[2048];

	snprintf(url, sizeof(url), "%s%s", file->url, wish->where);
	return web_request(wish->method, url, wish->data, file->token, answer_r, err);
}

/* The tokens go to the console they came from and to that agent's own origin, nowhere else: anybody can have a name that begins like the agent's. */
static int ask_agent(struct cli *cli, const struct wish *wish, struct session_file *file,
    struct web_answer *answer_r, struct error *err)
{
	char origin[512];

	if (agent_origin(file, origin, sizeof(origin), err) < 0)
		return -1;
	size_t len = strlen(origin);
	if (strncmp(wish->where, origin, len) != 0 || !strchr("/?", wish->where[len]))
		return error_set(err, ERR_INVALID,
		    "curl takes a path (/v1/session) or a URL of the agent's own origin, %s",
		    origin);
	const struct web_question question = {.method = wish->method,
	    .url = wish->where,
	    .body = wish->data,
	    .cookie = WEB_COOKIE_AGENT,
	    .token = file->agent_token};
	bool is_kept = file->agent_token[0];
	if (!is_kept && enter_agent(cli, file, origin, err) < 0)
		return -1;
	if (web_ask(&question, answer_r, err) < 0)
		return -1;
	/* the one that was kept may be over: what was refused was not done */
	if (!is_kept || answer_r->status != 401)
		return 0;
	web_answer_free(answer_r);
	if (enter_agent(cli, file, origin, err) < 0)
		return -1;
	return web_ask(&question, answer_r, err);
}

static int show(const struct wish *wish, const struct web_answer *answer)
{
	if (wish->show_status)
		printf("HTTP %ld\n", answer->status);
	if (answer->body)
		cli_print_body(answer->body, answer->len);
	if (answer->body && answer->len && answer->body[answer->len - 1] != '\n')
		putchar('\n');
	return answer->status < 400    ? CLI_OK
	       : answer->status == 401 ? CLI_SIGNED_OUT
	       : answer->status >= 500 ? CLI_UNAVAILABLE
				       : CLI_FAILED;
}

static int read_wish(int argc, char **argv, struct wish *wish_r)
{
	const char *value;

	*wish_r = (struct wish){0};
	for (int i = 1; i < argc; i++) {
		if ((value = cli_option("-X", argc, argv, &i)))
			wish_r->method = value;
		else if ((value = cli_option("-d", argc, argv, &i)))
			wish_r->data = value;
		else if (strcmp(argv[i], "-i") == 0)
			wish_r->show_status = true;
		else if (argv[i][0] != '-' && !wish_r->where)
			wish_r->where = argv[i];
		else
			return cli_usage("curl: what is '%s'?", argv[i]);
	}
	if (!wish_r->where)
		return cli_usage("curl: a path is needed, such as /v1/session");
	if (!wish_r->method)
		wish_r->method = wish_r->data ? "POST" : "GET";
	return CLI_OK;
}

int cli_curl(struct cli *cli, int argc, char **argv)
{
	struct session_file file = {0};
	struct error err = {0};
	struct wish wish;
	int code = read_wish(argc, argv, &wish);

	if (code != CLI_OK)
		return code;
	bug_if(!wish.where);
	scoped_answer struct web_answer answer = {0};
	int rc = session_file_read(cli->session_path, &file, &err);
	if (rc == 0)
		rc = wish.where[0] == '/' ? ask_console(&wish, &file, &answer, &err)
					  : ask_agent(cli, &wish, &file, &answer, &err);
	sodium_memzero(&file, sizeof(file));
	return rc < 0 ? cli_fail(&err) : show(&wish, &answer);
}
