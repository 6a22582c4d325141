/* The agent's hot wallet: its address, and its making, whose secret key is shown once and never again. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "common/scoped.h"
#include "services/cli/hot_wallet.h"
#include "services/cli/keypair.h"
#include "services/cli/sealed_key.h"
#include "services/cli/signed_text.h"
#include "services/cli/web.h"
#include "services/cli/wiped.h"

#define CHALLENGE "/v1/wallet/hot/challenge"
#define HOT "/v1/wallet/hot"

static int show_address(struct cli *cli)
{
	struct error err = {0};
	scoped_answer struct web_answer answer = {0};

	if (web_call(cli, "GET", HOT, NULL, &answer, &err) < 0) {
		if (err.code == ERR_NOT_FOUND)
			error_refuse(&err, ERR_NOT_FOUND, "not_found",
			    "there is no hot wallet yet: 'wallet hot create' makes it");
		return cli_fail(&err);
	}
	if (!web_text(answer.json, "address")[0]) {
		error_set(&err, ERR_INTERNAL, "the service's answer has no address");
		return cli_fail(&err);
	}
	if (cli->json) {
		cli_print_json(json_incref(answer.json));
		return CLI_OK;
	}
	cli_print_text(web_text(answer.json, "address"));
	putchar('\n');
	return CLI_OK;
}

/* What one making needs, in the order in which it comes to be. */
struct making {
	struct cli *cli;
	const char *keypair_path, *out;
	bool show;
	struct session_file session;
	struct keypair keypair;
	struct recipient recipient;
	struct key_place place;
	char recipient_base64[RECIPIENT_BASE64_SIZE];
};

static void making_wipe(struct making *making)
{
	sodium_memzero(&making->session, sizeof(making->session));
	keypair_wipe(&making->keypair);
	recipient_wipe(&making->recipient);
	key_place_close(&making->place);
}
#define scoped_making __attribute__((cleanup(making_wipe)))

static int challenge(struct making *making, struct web_answer *answer, struct error *err)
{
	char wallet[PUBKEY_TEXT_MAX + 1], recipient[PUBKEY_TEXT_MAX + 1],
	    statement[SIGNED_TEXT_MAX];
	scoped_json json_t *body = json_pack("{ss}", "recipient", making->recipient_base64);
	scoped_free char *text = json_dumps(body, 0);

	if (web_call(making->cli, "POST", CHALLENGE, text, answer, err) < 0)
		return -1;
	const struct signed_text expected = {.url = making->session.url,
	    .wallet = pubkey_text(making->keypair.public_key, wallet),
	    .statement = signed_text_hot_wallet(making->session.asset,
		pubkey_text(making->recipient.public_key, recipient), statement),
	    .what = "the making of this agent's hot wallet for this command"};
	return signed_text_check(&expected, web_text(answer->json, "message"), err);
}

static int ask(
    struct making *making, const json_t *issued, struct web_answer *answer, struct error *err)
{
	char signature_text[SIGNATURE_TEXT_MAX + 2];
	uint8_t signature[SIGNATURE_LEN];
	const char *message = web_text(issued, "message");

	keypair_sign(&making->keypair, message, strlen(message), signature);
	base58_encode(signature, sizeof(signature), signature_text, sizeof(signature_text));
	scoped_json json_t *body = json_pack("{ssssss}", "nonce", web_text(issued, "nonce"),
	    "signature", signature_text, "recipient", making->recipient_base64);
	scoped_free char *text = json_dumps(body, 0);
	return web_call(making->cli, "POST", HOT, text, answer, err);
}

/* From here on the key exists and nobody can have it a second time: whatever fails is said together with the address. */
static int hand_over(struct making *making, const json_t *answer, struct error *err)
{
	char text[SIGNATURE_TEXT_MAX + 2];
	const char *address = web_text(answer, "address");
	scoped_secret struct secret *key = sealed_key_open(
	    &making->recipient, web_text(answer, "sealed_secret_key"), address, err);

	if (!key)
		return -1;
	if (making->out)
		return key_place_fill(&making->place, key, err);
	base58_encode(secret_bytes(key), secret_len(key), text, sizeof(text));
	if (making->cli->json)
		cli_print_json(json_pack("{ssss}", "address", address, "secret_key", text));
	else
		puts(text);
	sodium_memzero(text, sizeof(text));
	return fflush(stdout) == 0
		   ? 0
		   : error_set(err, ERR_UNAVAILABLE, "cannot write: %s", strerror(errno));
}

static int make(struct making *making, struct web_answer *answer, struct error *err)
{
	scoped_answer struct web_answer issued = {0};

	if (session_file_read(making->cli->session_path, &making->session, err) < 0 ||
	    keypair_read(making->keypair_path, &making->keypair, err) < 0)
		return -1;
	recipient_new(&making->recipient);
	sodium_bin2base64(making->recipient_base64, sizeof(making->recipient_base64),
	    making->recipient.public_key, sizeof(making->recipient.public_key),
	    sodium_base64_VARIANT_ORIGINAL);
	if (making->out && key_place_reserve(making->out, &making->place, err) < 0)
		return -1;
	if (challenge(making, &issued, err) < 0 || ask(making, issued.json, answer, err) < 0)
		return -1;
	return hand_over(making, answer->json, err);
}

static int report(const struct making *making, const char *address)
{
	if (making->show && making->cli->json)
		return CLI_OK;
	if (making->cli->json) {
		cli_print_json(json_pack("{ssss}", "address", address, "file", making->out));
		return CLI_OK;
	}
	/* with --show, standard output is the key and nothing else */
	FILE *out = making->show ? stderr : stdout;
	fprintf(out, "Made the hot wallet %s.\n", address);
	if (making->out)
		fprintf(out, "Its secret key is in %s; nobody can get it from the service again.\n",
		    making->out);
	return CLI_OK;
}

static int create(struct making *making)
{
	struct error err = {0};
	scoped_answer struct web_answer answer = {0};
	uint8_t address[PUBKEY_LEN];

	if (make(making, &answer, &err) == 0)
		return report(making, web_text(answer.json, "address"));
	if (pubkey_parse(web_text(answer.json, "address"), address) == 0)
		fprintf(stderr,
		    "multiclaw: the hot wallet %s was made, but its key could not be kept:\n",
		    web_text(answer.json, "address"));
	return cli_fail(&err);
}

int hot_wallet(struct cli *cli, int argc, char **argv)
{
	scoped_making struct making making = {.cli = cli, .place = {.fd = -1}};
	const char *value;

	if (argc == 2)
		return show_address(cli);
	if (strcmp(argv[2], "create") != 0)
		return cli_usage(
		    "wallet: 'wallet hot' or 'wallet hot create --keypair FILE --out FILE|--show'");
	for (int i = 3; i < argc; i++) {
		if ((value = cli_option("--keypair", argc, argv, &i)))
			making.keypair_path = value;
		else if ((value = cli_option("--out", argc, argv, &i)))
			making.out = value;
		else if (strcmp(argv[i], "--show") == 0)
			making.show = true;
		else
			return cli_usage("wallet hot create: what is '%s'?", argv[i]);
	}
	if (!making.keypair_path)
		return cli_usage(
		    "wallet hot create: --keypair FILE of the owner's wallet is needed");
	if (making.show == (making.out != NULL))
		return cli_usage(
		    "wallet hot create: --out FILE or --show: the key can be had only now");
	return create(&making);
}
