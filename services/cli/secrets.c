/* What an owner keeps in the vault: set, list, remove; and where the keys of each LLM provider come from. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "common/scoped.h"
#include "services/cli/prompt.h"
#include "services/cli/web.h"
#include "services/cli/wiped.h"

#define VALUE_MAX 65536
#define NAME_MAX_LEN 64
#define PATH_SIZE 128

/* Part of a path: whatever would make it another one is refused here. */
static int path_of(const char *kind, const char *name, char path[PATH_SIZE])
{
	static const char lower[] = "abcdefghijklmnopqrstuvwxyz";
	static const char named[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";

	if (!kind[0] || strlen(kind) > 8 || strspn(kind, lower) != strlen(kind))
		return cli_usage("a kind is llm, bot or custom, not '%s'", kind);
	if (!name[0] || strlen(name) > NAME_MAX_LEN || strspn(name, named) != strlen(name))
		return cli_usage("a name is 1 to 64 of a-z 0-9 _ -, not '%s'", name);
	snprintf(path, PATH_SIZE, "/v1/secrets/%s/%s", kind, name);
	return CLI_OK;
}

/* {"value":"..."}, and delivery unless it is NULL; NULL: not UTF-8. */
static char *body_of(const struct secret *value, const char *delivery)
{
	scoped_json json_t *text =
	    json_stringn((const char *)secret_bytes(value), secret_len(value));
	scoped_json json_t *body =
	    text ? json_pack("{sO s:s*}", "value", text, "delivery", delivery) : NULL;

	return body ? json_dumps(body, JSON_COMPACT) : NULL;
}

static int put(
    struct cli *cli, const char *path, const char *id, const char *delivery, struct error *err)
{
	char question[160];

	snprintf(question, sizeof(question), "Value of %s (not shown)", id);
	const struct prompt prompt = {.question = question, .what = "the value", .max = VALUE_MAX};
	scoped_secret struct secret *value = prompt_secret(&prompt, err);
	if (!value)
		return -1;
	scoped_wiped char *body = body_of(value, delivery);
	if (!body)
		return error_set(err, ERR_INVALID, "the value is not UTF-8 text");
	return web_change(cli, "PUT", path, body, err);
}

/* Nobody should type a secret to be told that nobody is signed in. */
static int check_session(const struct cli *cli, struct error *err)
{
	struct session_file session;
	int rc = session_file_read(cli->session_path, &session, err);

	sodium_memzero(&session, sizeof(session));
	return rc;
}

static int set(struct cli *cli, const char *kind, const char *name, const char *delivery)
{
	struct error err = {0};
	char path[PATH_SIZE], id[PATH_SIZE], done[PATH_SIZE + 64];

	if (path_of(kind, name, path) != CLI_OK)
		return CLI_USAGE;
	snprintf(id, sizeof(id), "%s/%s", kind, name);
	if (check_session(cli, &err) < 0 || put(cli, path, id, delivery, &err) < 0)
		return cli_fail(&err);
	snprintf(done, sizeof(done), "Stored %s; the agent gets it at its next start.", id);
	return cli_report(cli, "stored", id, done);
}

static int rm(struct cli *cli, const char *kind, const char *name)
{
	struct error err = {0};
	char path[PATH_SIZE], id[PATH_SIZE], done[PATH_SIZE + 16];

	if (path_of(kind, name, path) != CLI_OK)
		return CLI_USAGE;
	snprintf(id, sizeof(id), "%s/%s", kind, name);
	if (web_change(cli, "DELETE", path, NULL, &err) < 0) {
		if (err.code == ERR_NOT_FOUND)
			error_refuse(&err, ERR_NOT_FOUND, "not_found", "there is no %s", id);
		return cli_fail(&err);
	}
	snprintf(done, sizeof(done), "Destroyed %s.", id);
	return cli_report(cli, "destroyed", id, done);
}

/* Padded to width by its bytes; what is shown of a value may be anything that an owner typed. */
static void print_padded(const char *text, int width)
{
	cli_print_text(text);
	printf("%*s", width > (int)strlen(text) ? width - (int)strlen(text) : 1, "");
}

static int list(struct cli *cli)
{
	struct error err = {0};
	scoped_answer struct web_answer answer = {0};
	size_t i;
	const json_t *secrets;
	json_t *secret;

	if (web_call(cli, "GET", "/v1/secrets", NULL, &answer, &err) < 0 ||
	    !(secrets = web_list(&answer, "secrets", &err)))
		return cli_fail(&err);
	if (cli->json) {
		cli_print_json(json_incref(answer.json));
		return CLI_OK;
	}
	json_array_foreach(secrets, i, secret)
	{
		const char *preview = web_text(secret, "preview");
		print_padded(web_text(secret, "kind"), 7);
		print_padded(web_text(secret, "name"), 24);
		printf(" version %-4" JSON_INTEGER_FORMAT " ",
		    json_integer_value(json_object_get(secret, "version")));
		print_padded(web_text(secret, "updated_at"), 25);
		cli_print_text(preview);
		printf("%s%s\n", preview[0] ? "..." : "",
		    strcmp(web_text(secret, "delivery"), "file") == 0 ? "  (a file in the agent)"
								      : "");
	}
	return CLI_OK;
}

int cli_secrets(struct cli *cli, int argc, char **argv)
{
	if (argc == 1 || (argc == 2 && strcmp(argv[1], "list") == 0))
		return list(cli);
	if (argc == 4 && strcmp(argv[1], "set") == 0)
		return set(cli, argv[2], argv[3], NULL);
	if (argc == 6 && strcmp(argv[1], "set") == 0 && strcmp(argv[4], "--delivery") == 0)
		return set(cli, argv[2], argv[3], argv[5]);
	if (argc == 4 && strcmp(argv[1], "rm") == 0)
		return rm(cli, argv[2], argv[3]);
	if (argc > 4 && strcmp(argv[1], "set") == 0)
		return cli_usage(
		    "secrets set: the value comes from standard input or is typed: on the "
		    "command line others could read it");
	return cli_usage("secrets: 'secrets list', 'secrets set KIND NAME [--delivery "
			 "gateway|file]' or 'secrets rm KIND NAME'");
}

static void print_provider(const json_t *provider)
{
	const char *preview = web_text(provider, "preview");

	print_padded(web_text(provider, "provider"), 24);
	print_padded(web_text(provider, "source"), 8);
	cli_print_text(preview);
	puts(preview[0] ? "..." : "");
}

static int llm_keys(struct cli *cli)
{
	struct error err = {0};
	scoped_answer struct web_answer answer = {0};
	size_t i;
	const json_t *providers;
	json_t *provider;

	if (web_call(cli, "GET", "/v1/llm/keys", NULL, &answer, &err) < 0 ||
	    !(providers = web_list(&answer, "providers", &err)))
		return cli_fail(&err);
	if (cli->json) {
		cli_print_json(json_incref(answer.json));
		return CLI_OK;
	}
	json_array_foreach(providers, i, provider) print_provider(provider);
	return CLI_OK;
}

static json_int_t number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static void print_row(const char *day, const json_t *row)
{
	const char *model = web_text(row, "model"), *cost = web_text(row, "cost_usd");

	print_padded(day, 12);
	print_padded(web_text(row, "provider"), 16);
	print_padded(model[0] ? model : "-", 32);
	print_padded(web_text(row, "source"), 7);
	printf("%9" JSON_INTEGER_FORMAT " %12" JSON_INTEGER_FORMAT " %12" JSON_INTEGER_FORMAT
	       " %8" JSON_INTEGER_FORMAT " ",
	    number(row, "requests"), number(row, "input_tokens"), number(row, "output_tokens"),
	    number(row, "unknown"));
	cli_print_text(cost[0] ? cost : "?");
	putchar('\n');
}

static void print_limit(const char *what, const json_t *limit)
{
	const json_t *left = json_object_get(limit, "left"), *of = json_object_get(limit, "limit");

	if (!json_is_object(limit))
		return;
	printf("%s: ", what);
	if (json_is_integer(left)) {
		printf("%" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " left\n",
		    json_integer_value(left), json_integer_value(of));
		return;
	}
	cli_print_text(web_text(limit, "left"));
	printf(" of ");
	cli_print_text(web_text(limit, "limit"));
	puts(" USD left");
}

static void print_limits(const json_t *limits)
{
	static const struct {
		const char *what, *name;
	} rows[] = {{"requests this minute", "requests_minute"},
	    {"tokens this minute", "tokens_minute"}, {"requests today", "requests_day"},
	    {"tokens today", "tokens_day"},
	    {"the operator's keys today, at most", "global_usd_day"}};
	const json_t *agent = json_object_get(limits, "agent");

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		print_limit(rows[i].what, json_object_get(agent, rows[i].name));
}

static int llm_usage(struct cli *cli, const char *days)
{
	struct error err = {0};
	scoped_answer struct web_answer answer = {0};
	size_t i, k;
	const json_t *list;
	json_t *day, *row;
	char path[64];

	snprintf(path, sizeof(path), "/v1/llm/usage%s%s", days ? "?days=" : "", days ? days : "");
	if (web_call(cli, "GET", path, NULL, &answer, &err) < 0 ||
	    !(list = web_list(&answer, "days", &err)))
		return cli_fail(&err);
	if (cli->json) {
		cli_print_json(json_incref(answer.json));
		return CLI_OK;
	}
	printf("%-12s%-16s%-32s%-7s%9s %12s %12s %8s %s\n", "day", "provider", "model", "key",
	    "requests", "tokens in", "tokens out", "unknown", "USD");
	json_array_foreach(list, i, day)
	{
		json_array_foreach(json_object_get(day, "usage"), k, row)
		    print_row(web_text(day, "day"), row);
	}
	print_limits(json_object_get(answer.json, "limits"));
	return CLI_OK;
}

int cli_llm(struct cli *cli, int argc, char **argv)
{
	const char *days = NULL;

	if (argc == 2 && strcmp(argv[1], "keys") == 0)
		return llm_keys(cli);
	if (argc < 2 || strcmp(argv[1], "usage") != 0)
		return cli_usage("llm: 'llm keys' or 'llm usage [--days N]'");
	for (int i = 2; i < argc; i++)
		if (!(days = cli_option("--days", argc, argv, &i)))
			return cli_usage("llm usage: what is '%s'?", argv[i]);
	if (days && (!*days || strlen(days) > 2 || strspn(days, "0123456789") != strlen(days)))
		return cli_usage("llm usage: --days takes a number from 1 to 31, not '%s'", days);
	return llm_usage(cli, days);
}
