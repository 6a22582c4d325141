/* `wallet`: the agent's on-chain wallet. What it holds and who else can spend from it is told here; what spends from it is in wallet_order.c and wallet_act.c. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "common/pubkey.h"
#include "common/wallet_amount.h"
#include "services/cli/hot_wallet.h"
#include "services/cli/wallet_act.h"
#include "services/cli/wallet_json.h"
#include "services/cli/wallet_order.h"

#define WALLET "/v1/wallet"
#define TRANSACTIONS WALLET "/transactions"

/* Everything shown is a node's or the service's word, and some of it whatever somebody wrote to the chain. */
static void print(const char *before, const json_t *doc, const char *name, const char *after)
{
	fputs(before, stdout);
	cli_print_text(web_text(doc, name));
	fputs(after, stdout);
}

static void print_sol(const char *before, const json_t *doc, const char *name, const char *after)
{
	char text[WALLET_AMOUNT_MAX];
	uint64_t lamports;

	if (wallet_json_amount(doc, name, &lamports))
		printf("%s%s SOL%s", before,
		    wallet_amount_text(lamports, WALLET_SOL_DECIMALS, text), after);
	else
		printf("%s?%s", before, after);
}

/* In the token's own decimals, or in smallest units where nobody knows them. */
static void print_amount(const json_t *token, const char *name)
{
	const json_t *decimals = json_object_get(token, "decimals");
	json_int_t n = json_integer_value(decimals);
	char text[WALLET_AMOUNT_MAX];
	uint64_t amount;

	if (!wallet_json_amount(token, name, &amount))
		fputs("?", stdout);
	else if (json_is_integer(decimals) && n >= 0 && n <= UINT8_MAX)
		fputs(wallet_amount_text(amount, (uint8_t)n, text), stdout);
	else
		printf("%s smallest units", wallet_amount_text(amount, 0, text));
}

static void print_token(const json_t *token)
{
	fputs("  ", stdout);
	print_amount(token, "amount");
	print(" of ", token, "mint", "");
	print(" (", token, "program", ")");
	print(", account ", token, "account", "");
	puts(json_is_true(json_object_get(token, "frozen")) ? ", frozen" : "");
	if (web_text(token, "delegate")[0]) {
		print("  ! ", token, "delegate", " may move ");
		print_amount(token, "delegated_amount");
		print(" of it: 'wallet revoke-delegate --token-account ", token, "account", "'\n");
	}
	if (web_text(token, "close_authority")[0])
		print("  ! ", token, "close_authority", " may close it and keep its SOL\n");
}

static void print_delegate(const json_t *delegate, bool in_words)
{
	print("  ! record ", delegate, "record", "");
	print(", authority ", delegate, "authority", "\n");
	if (in_words)
		print("    ", delegate, "warning", "\n");
}

/* Returns how many there are. in_words: with their warnings, unless those were told before. */
static size_t print_delegates(const json_t *shown, bool in_words)
{
	const json_t *delegates = json_object_get(shown, "delegates"), *delegate;
	size_t i;

	json_array_foreach(delegates, i, delegate) print_delegate(delegate, in_words);
	if (json_is_true(json_object_get(shown, "more_delegates")))
		puts("  ! and more");
	if (i && !json_is_true(json_object_get(shown, "identity")))
		puts("    (the asset carries no AgentIdentity now: without one they cannot "
		     "execute)");
	return i;
}

static void print_tokens(const json_t *shown)
{
	const json_t *token;
	size_t i;

	puts("tokens");
	json_array_foreach(json_object_get(shown, "tokens"), i, token) print_token(token);
	if (i == 0)
		puts("  none");
	if (json_is_true(json_object_get(shown, "more_tokens")))
		puts("  and more");
}

static void print_warnings(const json_t *shown)
{
	const json_t *line;
	size_t i;

	json_array_foreach(json_object_get(shown, "warnings"), i, line) print(
	    json_is_true(json_object_get(line, "warning")) ? "  ! " : "    ", line, "text", "\n");
}

static void print_hot(const json_t *shown)
{
	const json_t *hot = json_object_get(shown, "hot_wallet");

	if (json_is_object(hot)) {
		print("hot wallet  ", hot, "address", "");
		print_sol("  ", hot, "lamports", "\n");
	} else {
		puts(
		    hot ? "hot wallet  none" : "hot wallet  not known now: the vault does not say");
	}
}

/* The address follows from the asset: what the service says of it is not needed, and where it says another one, somebody wants to be funded. */
static int check_address(const struct session_file *session, const json_t *shown, struct error *err)
{
	uint8_t asset[PUBKEY_LEN], wallet[PUBKEY_LEN];
	char text[PUBKEY_TEXT_MAX + 1];
	const char *said = web_text(shown, "address");

	if (pubkey_parse(session->asset, asset) != 0 ||
	    pubkey_asset_signer(asset, wallet, NULL) != 0)
		return error_set(err, ERR_INVALID, "the session names no agent; sign in again");
	if (!said[0] || strcmp(said, pubkey_text(wallet, text)) == 0)
		return 0;
	return error_refuse(err, ERR_DENIED, "address_wrong",
	    "the service names an address that is not this agent's wallet; fund nothing. The "
	    "wallet is %s",
	    text);
}

static int get_wallet(struct cli *cli, struct web_answer *answer, struct error *err)
{
	struct session_file session;
	int rc = web_call(cli, "GET", WALLET, NULL, answer, err);

	if (rc == 0)
		rc = session_file_read(cli->session_path, &session, err);
	if (rc == 0)
		rc = check_address(&session, answer->json, err);
	sodium_memzero(&session, sizeof(session));
	return rc;
}

static void print_wallet(const json_t *shown)
{
	bool captured = strcmp(web_text(shown, "state"), "clean") != 0;

	print("state       ", shown, "state",
	    captured ? ": do not fund it\n" : " (the account and tokens: one node's word)\n");
	print_warnings(shown);
	if (web_text(shown, "address")[0])
		print("address     ", shown, "address", "\n");
	print_sol("balance     ", shown, "lamports", " (one node's word)\n");
	if (json_is_true(json_object_get(shown, "execute_frozen")))
		puts("  ! the asset is frozen for execution: nothing can be spent");
	print_tokens(shown);
	puts("execution delegates");
	if (print_delegates(shown, false) == 0)
		puts("  none");
	print_hot(shown);
}

static int show(struct cli *cli, int argc, char **argv)
{
	scoped_answer struct web_answer answer = {0};
	struct error err = {0};

	if (argc > 2)
		return cli_usage("wallet show: what is '%s'?", argv[2]);
	if (get_wallet(cli, &answer, &err) < 0)
		return cli_fail(&err);
	if (cli->json)
		cli_print_json(json_incref(answer.json));
	else
		print_wallet(answer.json);
	return CLI_OK;
}

static int delegates(struct cli *cli, int argc, char **argv)
{
	scoped_answer struct web_answer answer = {0};
	struct error err = {0};
	const json_t *list, *token;
	size_t i, n;

	if (argc > 2)
		return cli_usage("wallet delegates: what is '%s'?", argv[2]);
	if (get_wallet(cli, &answer, &err) < 0 || !(list = web_list(&answer, "delegates", &err)))
		return cli_fail(&err);
	if (cli->json) {
		cli_print_json(json_pack("{sO, sO}", "delegates", list, "tokens",
		    json_object_get(answer.json, "tokens")));
		return CLI_OK;
	}
	n = print_delegates(answer.json, true);
	json_array_foreach(json_object_get(answer.json, "tokens"), i, token)
	{
		if (!web_text(token, "delegate")[0] && !web_text(token, "close_authority")[0])
			continue;
		print_token(token);
		n++;
	}
	if (n == 0)
		puts("nobody but the owner can spend from it");
	return CLI_OK;
}

static int recent(struct cli *cli, int argc, char **argv)
{
	scoped_answer struct web_answer answer = {0};
	struct error err = {0};
	const json_t *list, *item;
	size_t i;

	if (argc > 2)
		return cli_usage("wallet recent: what is '%s'?", argv[2]);
	if (web_call(cli, "GET", TRANSACTIONS, NULL, &answer, &err) < 0 ||
	    !(list = web_list(&answer, "transactions", &err)))
		return cli_fail(&err);
	if (cli->json) {
		cli_print_json(json_incref(answer.json));
		return CLI_OK;
	}
	json_array_foreach(list, i, item)
	{
		const char *error = web_text(item, "error");
		print("", item, "at", "  ");
		cli_print_text(web_text(item, "signature"));
		print(error[0] ? "  failed: " : "", item, "error", "\n");
	}
	if (i == 0)
		puts("one node knows of no transaction of it");
	return CLI_OK;
}

static int status(struct cli *cli, int argc, char **argv)
{
	scoped_answer struct web_answer answer = {0};
	bool waits = false, final = false;
	const char *id = NULL;
	struct error err = {0};
	char path[128];

	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--wait") == 0)
			waits = true;
		else if (strcmp(argv[i], "--finalized") == 0)
			final = true;
		else if (argv[i][0] == '-' || id)
			return cli_usage("wallet status: what is '%s'?", argv[i]);
		else
			id = argv[i];
	}
	if (!id || strlen(id) != 32 || strspn(id, "0123456789abcdef") != 32)
		return cli_usage("wallet status: the ID that 'wallet send' and the others say");
	if (waits || final)
		return wallet_act_follow(cli, id, NULL, final);
	snprintf(path, sizeof(path), TRANSACTIONS "/%s", id);
	if (web_call(cli, "GET", path, NULL, &answer, &err) < 0)
		return cli_fail(&err);
	return wallet_act_tell(cli, answer.json, NULL);
}

int cli_wallet(struct cli *cli, int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(struct cli *cli, int argc, char **argv);
	} all[] = {
	    {"show", show},
	    {"delegates", delegates},
	    {"recent", recent},
	    {"status", status},
	    {"send", wallet_order_send},
	    {"close", wallet_order_close},
	    {"revoke-delegate", wallet_order_revoke},
	    {"instructions", wallet_order_instructions},
	    {"hot", hot_wallet},
	};

	if (argc == 1)
		return show(cli, argc, argv);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (strcmp(argv[1], all[i].name) == 0)
			return all[i].run(cli, argc, argv);
	return cli_usage("wallet: show, send, close, delegates, revoke-delegate, status, recent, "
			 "instructions or hot, not '%s'",
	    argv[1]);
}
