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

int cli_llm(struct cli *cli, int argc, char **argv)
{
	struct error err = {0};
	scoped_answer struct web_answer answer = {0};
	size_t i;
	const json_t *providers;
	json_t *provider;

	if (argc != 2 || strcmp(argv[1], "keys") != 0)
		return cli_usage("llm: 'llm keys'");
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
