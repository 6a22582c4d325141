#include "services/cli/wallet_order.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/pubkey.h"
#include "common/scoped.h"
#include "common/wallet_amount.h"
#include "services/cli/prompt.h"
#include "services/cli/signed_text.h"
#include "services/cli/wallet_act.h"
#include "services/cli/wallet_json.h"

/* Options that every transaction has. 1: taken, 0: not one of them, -1: wrong and said. */
static int take_common(struct wallet_act *act, int argc, char **argv, int *at)
{
	struct error err;
	const char *value;

	if ((value = cli_option("--keypair", argc, argv, at))) {
		act->keypair_path = value;
	} else if ((value = cli_option("--max-fee", argc, argv, at))) {
		if (wallet_amount_parse(value, WALLET_SOL_DECIMALS,
			&act->wanted.max_priority_lamports, &err) != 0) {
			cli_usage("--max-fee: %s", err.text);
			return -1;
		}
	} else if (strcmp(argv[*at], "--yes") == 0) {
		act->is_yes = true;
	} else if (strcmp(argv[*at], "--finalized") == 0) {
		act->until_final = true;
	} else if (strcmp(argv[*at], "--allow-off-curve") == 0) {
		act->off_curve = true;
	} else {
		return 0;
	}
	return 1;
}

static int check_keypair(const struct wallet_act *act, const char *name)
{
	if (act->keypair_path)
		return CLI_OK;
	return cli_usage("wallet %s: --keypair FILE of the owner's wallet is needed", name);
}

/* CLI_OK, or CLI_USAGE and it is said. */
static int take_key(const char *text, uint8_t key[PUBKEY_LEN])
{
	if (pubkey_parse(text, key) == 0)
		return CLI_OK;
	return cli_usage("'%s' is not an address: 32 bytes in base58", text);
}

static void put(json_t *order, const char *name, const char *text)
{
	json_object_set_new(order, name, json_string(text));
}

static void put_number(json_t *order, const char *name, uint64_t number)
{
	json_object_set_new(order, name, json_sprintf("%" PRIu64, number));
}

/* ---- send ---- */

struct sending {
	const char *sol, *token, *amount, *nft, *to;
};

static int check_sending(const struct sending *sending)
{
	int things = (sending->sol != NULL) + (sending->token != NULL) + (sending->nft != NULL);

	if (things != 1)
		return cli_usage("wallet send: one of --sol AMOUNT, --token MINT --amount AMOUNT, "
				 "--nft ADDRESS is needed");
	if ((sending->token != NULL) != (sending->amount != NULL))
		return cli_usage("wallet send: --token and --amount belong together");
	return sending->to ? CLI_OK : cli_usage("wallet send: --to ADDRESS is needed");
}

/* "all" is no amount, but a word for what the service knows. */
static const char *typed(const char *amount)
{
	return strcmp(amount, "all") == 0 ? NULL : amount;
}

static int order_sol(struct wallet_act *act, const char *text, struct error *err)
{
	uint64_t lamports;

	act->wanted.want = WALLET_WANT_SOL;
	act->wanted.amount = typed(text);
	put(act->order, "operation", "transfer_sol");
	if (!act->wanted.amount) {
		put(act->order, "lamports", "all");
		return 0;
	}
	if (wallet_amount_parse(text, WALLET_SOL_DECIMALS, &lamports, err) != 0)
		return -1;
	put_number(act->order, "lamports", lamports);
	return 0;
}

/* Of a token that the wallet has. It is the service's word, and only says what to ask for: the transaction is compared with what was typed, by the decimals that the
 * token's own program checks. */
static int find_decimals(struct cli *cli, const char *mint, uint8_t *decimals_r, struct error *err)
{
	scoped_answer struct web_answer answer = {0};
	const json_t *tokens, *token;
	size_t i;

	if (web_call(cli, "GET", "/v1/wallet", NULL, &answer, err) < 0 ||
	    !(tokens = web_list(&answer, "tokens", err)))
		return -1;
	json_array_foreach(tokens, i, token)
	{
		const json_t *decimals = json_object_get(token, "decimals");
		json_int_t n = json_integer_value(decimals);
		if (strcmp(web_text(token, "mint"), mint) != 0 || !json_is_integer(decimals))
			continue;
		if (n < 0 || n > UINT8_MAX)
			break;
		*decimals_r = (uint8_t)n;
		return 0;
	}
	return error_refuse(
	    err, ERR_NOT_FOUND, "token_refused", "the agent's wallet has no account of this token");
}

static int order_token(struct wallet_act *act, const struct sending *sending, struct error *err)
{
	uint8_t decimals = 0;
	uint64_t amount;

	act->wanted.want = WALLET_WANT_TOKEN;
	act->wanted.amount = typed(sending->amount);
	put(act->order, "operation", "transfer_token");
	put(act->order, "mint", sending->token);
	if (!act->wanted.amount) {
		put(act->order, "amount", "all");
		return 0;
	}
	if (find_decimals(act->cli, sending->token, &decimals, err) != 0 ||
	    wallet_amount_parse(sending->amount, decimals, &amount, err) != 0)
		return -1;
	put_number(act->order, "amount", amount);
	return 0;
}

static int order_send(struct wallet_act *act, const struct sending *sending, struct error *err)
{
	put(act->order, "to", sending->to);
	if (act->off_curve)
		json_object_set_new(act->order, "allow_off_curve", json_true());
	if (sending->sol)
		return order_sol(act, sending->sol, err);
	if (sending->token && sending->amount)
		return order_token(act, sending, err);
	act->wanted.want = WALLET_WANT_NFT;
	put(act->order, "operation", "transfer_nft");
	put(act->order, "nft", sending->nft);
	return 0;
}

/* An address that no key belongs to may be a program's, or a slip. */
static int ask_off_curve(struct wallet_act *act)
{
	if (act->off_curve || pubkey_is_on_curve(act->wanted.to))
		return CLI_OK;
	if (act->is_yes)
		return cli_usage("wallet send: the recipient is a program's address, nobody has "
				 "its key: --allow-off-curve sends it there nevertheless");
	act->off_curve = true;
	return prompt_confirm(
	    false, "The recipient is a program's address: nobody has its key. Go on?");
}

int wallet_order_send(struct cli *cli, int argc, char **argv)
{
	scoped_act struct wallet_act act = {.cli = cli,
	    .order = json_object(),
	    .wanted = {.max_priority_lamports = WALLET_ACT_PRIORITY_MAX}};
	struct sending sending = {NULL, NULL, NULL, NULL, NULL};
	struct error err = {0};
	const char *value;
	int code;

	for (int i = 2; i < argc; i++) {
		if ((value = cli_option("--sol", argc, argv, &i)))
			sending.sol = value;
		else if ((value = cli_option("--token", argc, argv, &i)))
			sending.token = value;
		else if ((value = cli_option("--amount", argc, argv, &i)))
			sending.amount = value;
		else if ((value = cli_option("--nft", argc, argv, &i)))
			sending.nft = value;
		else if ((value = cli_option("--to", argc, argv, &i)))
			sending.to = value;
		else if ((code = take_common(&act, argc, argv, &i)) < 0)
			return CLI_USAGE;
		else if (code == 0)
			return cli_usage("wallet send: what is '%s'?", argv[i]);
	}
	const char *what = sending.token ? sending.token : sending.nft;
	if ((code = check_sending(&sending)) != CLI_OK ||
	    (code = check_keypair(&act, "send")) != CLI_OK ||
	    (code = take_key(sending.to, act.wanted.to)) != CLI_OK ||
	    (what && (code = take_key(what, act.wanted.what)) != CLI_OK) ||
	    (code = ask_off_curve(&act)) != CLI_OK)
		return code;
	if (wallet_act_open(&act, &err) < 0 || order_send(&act, &sending, &err) < 0)
		return cli_fail(&err);
	return wallet_act_run(&act);
}

/* ---- close ---- */

static bool is_empty(const json_t *token)
{
	uint64_t amount;

	return wallet_json_amount(token, "amount", &amount) && amount == 0 &&
	       !json_is_true(json_object_get(token, "frozen")) &&
	       !json_is_true(json_object_get(token, "wrapped_sol"));
}

static int add_account(struct wallet_act *act, const char *text, struct error *err)
{
	if (act->wanted.n_keys == WALLET_ACT_KEYS_MAX)
		return error_set(
		    err, ERR_INVALID, "at most %d accounts at one time", WALLET_ACT_KEYS_MAX);
	if (pubkey_parse(text, act->keys[act->wanted.n_keys]) != 0)
		return error_set(err, ERR_INVALID, "not an address: 32 bytes in base58");
	act->wanted.n_keys++;
	json_array_append_new(json_object_get(act->order, "accounts"), json_string(text));
	return 0;
}

/* As the service says: one that lies can have any of the wallet's wrapped SOL unwrapped, which ends in the agent's wallet or the owner's; an account with anything else in it
 * no program closes. */
static int add_empty(struct wallet_act *act, struct error *err)
{
	scoped_answer struct web_answer answer = {0};
	const json_t *tokens, *token;
	size_t i;

	if (web_call(act->cli, "GET", "/v1/wallet", NULL, &answer, err) < 0 ||
	    !(tokens = web_list(&answer, "tokens", err)))
		return -1;
	json_array_foreach(tokens, i, token)
	{
		if (is_empty(token) && act->wanted.n_keys < WALLET_ACT_KEYS_MAX &&
		    add_account(act, web_text(token, "account"), err) != 0)
			return -1;
	}
	return act->wanted.n_keys ? 0
				  : error_refuse(err, ERR_NOT_FOUND, "token_refused",
					"the wallet has no empty token account");
}

int wallet_order_close(struct cli *cli, int argc, char **argv)
{
	scoped_act struct wallet_act act = {.cli = cli,
	    .order = json_pack("{s:s, s:[]}", "operation", "close_accounts", "accounts"),
	    .wanted = {
		.want = WALLET_WANT_CLOSE, .max_priority_lamports = WALLET_ACT_PRIORITY_MAX}};
	struct error err = {0};
	bool every = false;
	int code;

	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--empty") == 0)
			every = true;
		else if ((code = take_common(&act, argc, argv, &i)) < 0)
			return CLI_USAGE;
		else if (code == 0 && argv[i][0] == '-')
			return cli_usage("wallet close: what is '%s'?", argv[i]);
		else if (code == 0 && add_account(&act, argv[i], &err) < 0)
			return cli_usage("wallet close: '%s': %s", argv[i], err.text);
	}
	if (every == (act.wanted.n_keys > 0))
		return cli_usage("wallet close: token accounts, or --empty for all that are empty");
	if ((code = check_keypair(&act, "close")) != CLI_OK)
		return code;
	if (wallet_act_open(&act, &err) < 0 || (every && add_empty(&act, &err) < 0))
		return cli_fail(&err);
	act.wanted.keys = (const uint8_t(*)[PUBKEY_LEN])act.keys;
	return wallet_act_run(&act);
}

/* ---- revoke a delegate ---- */

int wallet_order_revoke(struct cli *cli, int argc, char **argv)
{
	scoped_act struct wallet_act act = {.cli = cli,
	    .order = json_pack("{s:s}", "operation", "revoke_delegate"),
	    .wanted = {.max_priority_lamports = WALLET_ACT_PRIORITY_MAX}};
	const char *record = NULL, *account = NULL, *value;
	struct error err = {0};
	int code;

	for (int i = 2; i < argc; i++) {
		if ((value = cli_option("--token-account", argc, argv, &i)))
			account = value;
		else if ((code = take_common(&act, argc, argv, &i)) < 0)
			return CLI_USAGE;
		else if (code == 0 && (argv[i][0] == '-' || record))
			return cli_usage("wallet revoke-delegate: what is '%s'?", argv[i]);
		else if (code == 0)
			record = argv[i];
	}
	if ((record != NULL) == (account != NULL))
		return cli_usage("wallet revoke-delegate: a RECORD (see 'wallet delegates') or "
				 "--token-account ACCOUNT");
	act.wanted.want = record ? WALLET_WANT_REVOKE_RECORD : WALLET_WANT_REVOKE_TOKEN;
	put(act.order, record ? "record" : "account", record ? record : account);
	if ((code = take_key(record ? record : account, act.wanted.what)) != CLI_OK ||
	    (code = check_keypair(&act, "revoke-delegate")) != CLI_OK)
		return code;
	return wallet_act_open(&act, &err) < 0 ? cli_fail(&err) : wallet_act_run(&act);
}

/* ---- raw instructions ---- */

static int read_account(const json_t *json, struct solana_instruction *ix, struct error *err)
{
	uint8_t key[PUBKEY_LEN];
	unsigned flags = SOLANA_READ;

	if (pubkey_parse(web_text(json, "address"), key) != 0)
		return error_set(err, ERR_INVALID, "an account without an address");
	if (json_is_true(json_object_get(json, "signer")))
		flags |= SOLANA_SIGN;
	if (json_is_true(json_object_get(json, "writable")))
		flags |= SOLANA_WRITE;
	solana_instruction_account(ix, key, (enum solana_flags)flags);
	return 0;
}

static int read_instruction(const json_t *json, struct solana_instruction *ix, struct error *err)
{
	const char *text = web_text(json, "data");
	uint8_t program[PUBKEY_LEN], data[SOLANA_DATA_MAX];
	const json_t *account;
	size_t i, len;

	if (pubkey_parse(web_text(json, "program"), program) != 0)
		return error_set(err, ERR_INVALID, "an instruction without a program");
	if (sodium_base642bin(data, sizeof(data), text, strlen(text), NULL, &len, NULL,
		sodium_base64_VARIANT_ORIGINAL) != 0)
		return error_set(err, ERR_INVALID, "an instruction's data is not base64");
	solana_instruction_init(ix, program);
	json_array_foreach(json_object_get(json, "accounts"), i, account)
	{
		if (read_account(account, ix, err) != 0)
			return -1;
	}
	solana_instruction_bytes(ix, data, len);
	return solana_instruction_check(ix, err);
}

/* A list as POST /v1/wallet/transactions takes it. */
static int read_instructions(struct wallet_act *act, const char *path, struct error *err)
{
	json_error_t wrong;
	json_t *list = json_load_file(path, JSON_REJECT_DUPLICATES, &wrong);
	const json_t *item;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) == 0 ||
	    json_array_size(list) > WALLET_ACT_INSTRUCTIONS_MAX) {
		json_decref(list);
		return error_set(err, ERR_INVALID,
		    "%s: no JSON list of 1 to %d instructions {program, accounts: [{address, "
		    "signer, writable}], data in base64}",
		    path, WALLET_ACT_INSTRUCTIONS_MAX);
	}
	json_object_set_new(act->order, "instructions", list);
	act->instructions = calloc(json_array_size(list), sizeof(*act->instructions));
	bug_if(!act->instructions);
	json_array_foreach(list, i, item)
	{
		if (read_instruction(item, &act->instructions[i], err) != 0)
			return -1;
	}
	act->wanted.instructions = act->instructions;
	act->wanted.n_instructions = json_array_size(list);
	return 0;
}

/* The service builds none without a signature of the owner's that names the act. */
static int prove(struct wallet_act *act, struct error *err)
{
	char wallet[PUBKEY_TEXT_MAX + 1], statement[SIGNED_TEXT_MAX],
	    signature_text[SIGNATURE_TEXT_MAX + 2];
	scoped_answer struct web_answer issued = {0};
	uint8_t signature[SIGNATURE_LEN];

	if (web_call(act->cli, "POST", "/v1/wallet/transactions/challenge", "{}", &issued, err) < 0)
		return -1;
	const char *message = web_text(issued.json, "message");
	const struct signed_text expected = {.url = act->session.url,
	    .wallet = pubkey_text(act->keypair.public_key, wallet),
	    .statement = signed_text_raw_instructions(act->session.asset, statement),
	    .what = "the composing of raw instructions for this agent"};
	if (signed_text_check(&expected, message, err) != 0)
		return -1;
	keypair_sign(&act->keypair, message, strlen(message), signature);
	base58_encode(signature, sizeof(signature), signature_text, sizeof(signature_text));
	put(act->order, "nonce", web_text(issued.json, "nonce"));
	put(act->order, "signature", signature_text);
	return 0;
}

int wallet_order_instructions(struct cli *cli, int argc, char **argv)
{
	scoped_act struct wallet_act act = {.cli = cli,
	    .order = json_pack("{s:s, s:b}", "operation", "instructions", "dangerous", 1),
	    .wanted = {.want = WALLET_WANT_INSTRUCTIONS,
		.max_priority_lamports = WALLET_ACT_PRIORITY_MAX}};
	const char *path = NULL;
	bool dangerous = false;
	struct error err = {0};
	int code;

	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--dangerous") == 0)
			dangerous = true;
		else if ((code = take_common(&act, argc, argv, &i)) < 0)
			return CLI_USAGE;
		else if (code == 0 && (argv[i][0] == '-' || path))
			return cli_usage("wallet instructions: what is '%s'?", argv[i]);
		else if (code == 0)
			path = argv[i];
	}
	if (!path)
		return cli_usage("wallet instructions: a FILE with them is needed");
	if (!dangerous)
		return cli_usage("wallet instructions: they can give the whole wallet away: "
				 "--dangerous says that you know what they do");
	if ((code = check_keypair(&act, "instructions")) != CLI_OK)
		return code;
	if (read_instructions(&act, path, &err) < 0 || wallet_act_open(&act, &err) < 0 ||
	    prove(&act, &err) < 0)
		return cli_fail(&err);
	return wallet_act_run(&act);
}
