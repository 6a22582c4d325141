#include "services/cli/enter.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/scoped.h"
#include "services/cli/wiped.h"

#define PAGE "/.multiclaw/"

struct entry {
	const char *origin;
	char state[WEB_TOKEN_MAX + 1]; /* of the page's cookie */
	char secret[64];               /* the opening, then the ticket */
};

static int refuse(struct error *err, const char *what)
{
	return error_set(err, ERR_INTERNAL, "what answered is not this service: %s", what);
}

static int take_secret(struct entry *entry, const char *secret, struct error *err)
{
	size_t len = strlen(secret);

	if (len == 0 || len >= sizeof(entry->secret) || strspn(secret, WEB_BASE64URL) != len)
		return refuse(err, "it gave no ticket");
	memcpy(entry->secret, secret, len + 1);
	return 0;
}

static int fetch_opening(struct cli *cli, struct entry *entry, struct error *err)
{
	scoped_answer struct web_answer answer = {0};
	char page[600];

	if (web_call(cli, "POST", "/v1/agent/open", "{}", &answer, err) < 0)
		return -1;
	const char *url = web_text(answer.json, "url");
	size_t len = (size_t)snprintf(page, sizeof(page), "%s" PAGE "enter#", entry->origin);
	if (strncmp(url, page, len) != 0)
		return refuse(err, "it named another agent's page");
	return take_secret(entry, url + len, err);
}

static int ask(const struct entry *entry, const char *step, const char *member, const char *wanted,
    struct web_answer *answer_r, struct error *err)
{
	char url[600], body[128] = "";

	snprintf(url, sizeof(url), "%s" PAGE "%s", entry->origin, step);
	if (member)
		snprintf(body, sizeof(body), "{\"%s\":\"%s\"}", member, entry->secret);
	int rc = web_ask(&(struct web_question){.method = member ? "POST" : "GET",
			     .url = url,
			     .body = member ? body : NULL,
			     .cookie = member ? WEB_COOKIE_STATE : NULL,
			     .token = entry->state,
			     .origin = member ? entry->origin : NULL,
			     .wanted = wanted},
	    answer_r, err);
	sodium_memzero(body, sizeof(body));
	if (rc == 0 && answer_r->status != 200)
		rc = web_problem(answer_r, err);
	return rc;
}

static int fetch_state(struct entry *entry, struct error *err)
{
	scoped_answer struct web_answer answer = {0};

	if (ask(entry, "enter", NULL, WEB_COOKIE_STATE, &answer, err) < 0)
		return -1;
	if (!answer.token[0])
		return refuse(err, "its page set no cookie");
	memcpy(entry->state, answer.token, sizeof(entry->state));
	return 0;
}

static int fetch_ticket(struct entry *entry, struct error *err)
{
	scoped_answer struct web_answer answer = {0};

	if (ask(entry, "ticket", "opening", NULL, &answer, err) < 0)
		return -1;
	return take_secret(entry, web_text(answer.json, "ticket"), err);
}

static int fetch_session(struct entry *entry, char token_r[WEB_TOKEN_MAX + 1], struct error *err)
{
	scoped_answer struct web_answer answer = {0};

	if (ask(entry, "session", "ticket", WEB_COOKIE_AGENT, &answer, err) < 0)
		return -1;
	if (!answer.token[0])
		return refuse(err, "it set no session");
	memcpy(token_r, answer.token, sizeof(answer.token));
	return 0;
}

/* Somebody may have signed in meanwhile, as another. That it cannot be kept costs the next request an entry. */
static void keep(struct cli *cli, const struct session_file *file)
{
	struct session_file now = {0};
	struct error err = {0};

	if (session_file_read(cli->session_path, &now, &err) == 0 &&
	    strcmp(now.token, file->token) == 0 &&
	    session_file_write(cli->session_path, file, &err) < 0)
		fprintf(stderr, "multiclaw: %s\n", err.text);
	sodium_memzero(&now, sizeof(now));
}

int enter_agent(struct cli *cli, struct session_file *file, const char *origin, struct error *err)
{
	struct entry entry = {.origin = origin};
	int rc = fetch_opening(cli, &entry, err);

	if (rc == 0)
		rc = fetch_state(&entry, err);
	if (rc == 0)
		rc = fetch_ticket(&entry, err);
	if (rc == 0)
		rc = fetch_session(&entry, file->agent_token, err);
	if (rc == 0)
		keep(cli, file);
	sodium_memzero(&entry, sizeof(entry));
	return rc;
}
