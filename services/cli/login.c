#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "common/scoped.h"
#include "services/cli/sign_in.h"

static void print_choices(const struct web_answer *answer)
{
	size_t i;
	json_t *item;

	fprintf(stderr, "This wallet owns several; name one with --asset:\n");
	fflush(stderr);
	json_array_foreach(json_object_get(answer->json, "assets"), i, item)
	{
		printf("  %s  ", web_text(item, "asset"));
		cli_print_text(web_text(item, "name"));
		putchar('\n');
	}
}

/* asset: that was asked for; NULL: the only one */
static int store(
    const struct cli *cli, const char *asset, const struct web_answer *answer, struct error *err)
{
	struct session_file file = {0};
	int rc;

	snprintf(file.url, sizeof(file.url), "%s", cli->url);
	snprintf(file.token, sizeof(file.token), "%s", answer->token);
	snprintf(file.asset, sizeof(file.asset), "%.44s", web_text(answer->json, "asset"));
	snprintf(file.agent_id, sizeof(file.agent_id), "%.32s", web_text(answer->json, "agent_id"));
	if (!file.token[0])
		rc = error_set(err, ERR_INTERNAL, "the service sent no session");
	/* what is signed later is for this one */
	else if (asset && strcmp(asset, file.asset) != 0)
		rc = error_set(err, ERR_DENIED,
		    "the service opened a session for another agent than %s", asset);
	else
		rc = session_file_write(cli->session_path, &file, err);
	sodium_memzero(&file, sizeof(file));
	return rc;
}

static int report(const struct cli *cli, const struct web_answer *answer)
{
	if (cli->json) {
		cli_print_json(json_incref(answer->json));
		return CLI_OK;
	}
	printf("Signed in to %s\n  asset    %s  ", cli->url, web_text(answer->json, "asset"));
	cli_print_text(web_text(answer->json, "name"));
	printf("\n  agent    %s\n  wallet   %s\n  until    %s\n  session  %s\n",
	    web_text(answer->json, "agent_id"), web_text(answer->json, "wallet"),
	    web_text(answer->json, "expires_at"), cli->session_path);
	return CLI_OK;
}

int cli_login(struct cli *cli, int argc, char **argv)
{
	const char *path = NULL, *asset = NULL, *value;
	struct error err = {0};
	struct keypair keypair = {0};
	struct session_file old = {0};
	struct error ignored;

	for (int i = 1; i < argc; i++) {
		if ((value = cli_option("--keypair", argc, argv, &i)))
			path = value;
		else if ((value = cli_option("--asset", argc, argv, &i)))
			asset = value;
		else
			return cli_usage("login: what is '%s'?", argv[i]);
	}
	if (!path)
		return cli_usage("login: --keypair FILE is needed");
	if (keypair_read(path, &keypair, &err) < 0)
		return cli_fail(&err);
	/* presented, so that a session of the same asset is replaced and not left behind */
	const char *old_token = session_file_read(cli->session_path, &old, &ignored) == 0 &&
					strcmp(old.url, cli->url) == 0
				    ? old.token
				    : NULL;

	scoped_answer struct web_answer answer = {0};
	int rc = sign_in(
	    &(struct sign_in){
		.url = cli->url, .keypair = &keypair, .asset = asset, .old = old_token},
	    &answer, &err);
	keypair_wipe(&keypair);
	sodium_memzero(&old, sizeof(old));
	if (rc == 0)
		rc = store(cli, asset, &answer, &err);
	sodium_memzero(answer.token, sizeof(answer.token));
	if (rc == 0)
		return report(cli, &answer);
	if (strcmp(err.reason, "asset_required") == 0 && cli->json)
		cli_print_json(json_incref(answer.json));
	else if (strcmp(err.reason, "asset_required") == 0)
		print_choices(&answer);
	return cli_fail(&err);
}

/* For a sign-in by hand: the text of a challenge comes on standard input, its signature goes to standard output. */
int cli_sign(struct cli *cli, int argc, char **argv)
{
	const char *path = NULL, *value;
	struct error err = {0};
	struct keypair keypair = {0};
	char wallet[PUBKEY_TEXT_MAX + 1], signature_text[SIGNATURE_TEXT_MAX + 2], message[2048];
	uint8_t signature[SIGNATURE_LEN];

	for (int i = 1; i < argc; i++) {
		if ((value = cli_option("--keypair", argc, argv, &i)))
			path = value;
		else
			return cli_usage("sign: what is '%s'?", argv[i]);
	}
	if (!path)
		return cli_usage("sign: --keypair FILE is needed");
	size_t len = fread(message, 1, sizeof(message) - 1, stdin);
	message[len] = '\0';
	if (keypair_read(path, &keypair, &err) < 0)
		return cli_fail(&err);
	int rc = sign_in_check(cli->url, pubkey_text(keypair.public_key, wallet), message, &err);
	if (rc == 0)
		keypair_sign(&keypair, message, len, signature);
	keypair_wipe(&keypair);
	if (rc < 0)
		return cli_fail(&err);
	base58_encode(signature, sizeof(signature), signature_text, sizeof(signature_text));
	return cli_report(cli, "signature", signature_text, signature_text);
}
