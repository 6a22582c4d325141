#include "services/cli/wallet_act.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/pubkey.h"
#include "common/scoped.h"
#include "common/wallet_amount.h"
#include "common/wallet_summary.h"
#include "services/cli/prompt.h"
#include "services/cli/wallet_json.h"

#define TRANSACTIONS "/v1/wallet/transactions"
#define ID_LEN 32
#define PATH_SIZE 128
/* The service looks every two seconds, and takes 120 questions a minute. */
#define POLL_MS 500
#define POLL_MAX_MS 2000
/* A blockhash lives about 90 s; after that the service knows. */
#define PATIENCE_MS 150000
#define SUBMIT_TRIES 5
#define BASE64_SIZE sodium_base64_ENCODED_LEN(SOLANA_TX_MAX, sodium_base64_VARIANT_ORIGINAL)

void wallet_act_wipe(struct wallet_act *act)
{
	sodium_memzero(&act->session, sizeof(act->session));
	keypair_wipe(&act->keypair);
	json_decref(act->order);
	free(act->instructions);
}

int wallet_act_open(struct wallet_act *act, struct error *err)
{
	if (session_file_read(act->cli->session_path, &act->session, err) < 0 ||
	    keypair_read(act->keypair_path, &act->keypair, err) < 0)
		return -1;
	memcpy(act->wanted.owner, act->keypair.public_key, PUBKEY_LEN);
	if (pubkey_parse(act->session.asset, act->wanted.asset) != 0)
		return error_set(err, ERR_INVALID, "the session names no agent; sign in again");
	return 0;
}

/* ---- what was built ---- */

struct built {
	uint8_t bytes[SOLANA_TX_MAX];
	size_t len;
	struct solana_tx tx; /* of bytes */
	char id[ID_LEN + 1];
};

static int read_built(const json_t *answer, struct built *built, struct error *err)
{
	const char *text = web_text(answer, "transaction"), *id = web_text(answer, "id");

	if (strlen(id) != ID_LEN || strspn(id, "0123456789abcdef") != ID_LEN)
		return error_set(err, ERR_INTERNAL, "the service's answer has no id");
	memcpy(built->id, id, ID_LEN + 1);
	if (sodium_base642bin(built->bytes, sizeof(built->bytes), text, strlen(text), NULL,
		&built->len, NULL, sodium_base64_VARIANT_ORIGINAL) != 0)
		return error_set(err, ERR_INTERNAL, "the service's answer has no transaction");
	return solana_tx_parse(built->bytes, built->len, &built->tx, err);
}

/* With --json, standard output is one document. */
static FILE *out_of(const struct wallet_act *act)
{
	return act->cli->json ? stderr : stdout;
}

/* From the bytes alone: what the service says in its summary is not looked at. */
static void show_bytes(const struct wallet_act *act, const struct built *built)
{
	scoped_free struct wallet_summary *summary = calloc(1, sizeof(*summary));
	const uint8_t *wallets[] = {act->wanted.to};
	const struct wallet_hints hints = {
	    .asset = act->wanted.asset, .wallets = wallets, .n_wallets = ARRAY_LEN(wallets)};
	FILE *out = out_of(act);

	bug_if(!summary);
	wallet_summary_read(&built->tx, &hints, summary);
	fputs("The transaction, read from its own bytes:\n", out);
	for (size_t i = 0; i < summary->n_lines; i++) {
		fputs(summary->lines[i].warning ? "  ! " : "    ", out);
		cli_print_text_to(out, summary->lines[i].text);
		fputc('\n', out);
	}
	if (summary->warning)
		fputs("  Lines with ! ask for a second look.\n", out);
}

static void show_rent(const json_t *answer, FILE *out)
{
	char text[WALLET_AMOUNT_MAX];
	uint64_t lamports;

	if (wallet_json_amount(answer, "rent_lamports", &lamports) && lamports)
		fprintf(out,
		    "The service says: rent for accounts that are created, at least %s SOL\n",
		    wallet_amount_text(lamports, WALLET_SOL_DECIMALS, text));
}

/* Returns false if the node says that it fails. */
static bool show_simulation(const json_t *answer, FILE *out)
{
	const json_t *simulation = json_object_get(answer, "simulation");
	const char *says = web_text(simulation, "node_says");
	bool fails = strcmp(says, "fails") == 0;

	if (strcmp(says, "passes") == 0) {
		fputs("One node says, and may be wrong: it would succeed\n", out);
	} else if (fails) {
		fputs("One node says, and may be wrong: it would fail: ", out);
		cli_print_text_to(out, web_text(simulation, "error"));
		fputc('\n', out);
	} else {
		fputs("No node has tried it: ", out);
		cli_print_text_to(out, web_text(simulation, "why"));
		fputc('\n', out);
	}
	return !fails;
}

static int check(const struct wallet_act *act, const struct built *built, struct error *err)
{
	struct error why = {0};

	if (wallet_wanted_check(&act->wanted, &built->tx, &why) == 0)
		return 0;
	return error_refuse(err, ERR_DENIED, "not_asked_for",
	    "not signed: what the service built is not what was asked for: %s", why.text);
}

static int ask(const struct wallet_act *act, bool succeeds)
{
	if (act->is_yes && !succeeds) {
		fputs("multiclaw: not signed: a node says that it would fail; without --yes you "
		      "are asked\n",
		    stderr);
		return CLI_FAILED;
	}
	return prompt_confirm(act->is_yes, "Sign and send it?");
}

/* ---- send it ---- */

static int sign(const struct wallet_act *act, struct built *built,
    char signature_r[SIGNATURE_TEXT_MAX + 2], struct error *err)
{
	uint8_t signature[SIGNATURE_LEN];

	keypair_sign(&act->keypair, built->tx.message, built->tx.message_len, signature);
	if (solana_tx_put_signature(built->bytes, built->len, act->wanted.owner, signature, err) !=
	    0)
		return -1;
	base58_encode(signature, sizeof(signature), signature_r, SIGNATURE_TEXT_MAX + 2);
	return 0;
}

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

/* The same bytes again do no harm, so an answer that was lost is asked for again. */
static int submit(const struct wallet_act *act, const struct built *built, struct error *err)
{
	char path[PATH_SIZE], text[BASE64_SIZE];

	snprintf(path, sizeof(path), TRANSACTIONS "/%s/submit", built->id);
	sodium_bin2base64(
	    text, sizeof(text), built->bytes, built->len, sodium_base64_VARIANT_ORIGINAL);
	scoped_json json_t *body = json_pack("{ss}", "transaction", text);
	scoped_free char *body_text = json_dumps(body, JSON_COMPACT);
	for (int i = 0;; i++) {
		scoped_answer struct web_answer answer = {0};
		if (web_call(act->cli, "POST", path, body_text, &answer, err) == 0)
			return 0;
		if (err->code != ERR_UNAVAILABLE || i == SUBMIT_TRIES)
			return -1;
		pause_ms(POLL_MS);
	}
}

/* Once it is signed and out, whatever the service answers leaves it open what comes of it: one that says no may send it all the same. */
static int fail_submitted(const struct built *built, const char *signature, struct error *err)
{
	int code = cli_fail(err);

	fprintf(stderr,
	    "  It may have been sent all the same: transaction %s\n  The service has your "
	    "signature, "
	    "which is good for about two minutes: look for the transaction before you\n  send "
	    "again. 'multiclaw wallet status %s' tells what the service says of it\n",
	    signature, built->id);
	return code;
}

static int build(struct wallet_act *act, struct web_answer *answer, struct error *err)
{
	scoped_free char *body = json_dumps(act->order, JSON_COMPACT);

	bug_if(!body);
	return web_call(act->cli, "POST", TRANSACTIONS, body, answer, err);
}

int wallet_act_run(struct wallet_act *act)
{
	scoped_answer struct web_answer answer = {0};
	char signature[SIGNATURE_TEXT_MAX + 2];
	struct built built = {.len = 0};
	struct error err = {0};

	if (build(act, &answer, &err) < 0 || read_built(answer.json, &built, &err) < 0)
		return cli_fail(&err);
	show_bytes(act, &built);
	if (check(act, &built, &err) != 0)
		return cli_fail(&err);
	show_rent(answer.json, out_of(act));
	bool succeeds = show_simulation(answer.json, out_of(act));
	fflush(out_of(act));
	int code = ask(act, succeeds);
	if (code != CLI_OK)
		return code;
	if (sign(act, &built, signature, &err) < 0)
		return cli_fail(&err);
	if (submit(act, &built, &err) < 0)
		return fail_submitted(&built, signature, &err);
	return wallet_act_follow(act->cli, built.id, signature, act->until_final);
}

/* ---- what became of it ---- */

static bool is_one_of(const char *text, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(text, list[i]) == 0)
			return true;
	return false;
}

static bool is_over(const char *state, bool is_final)
{
	static const char *const over[] = {"finalized", "failed", "expired", "confirmed"};

	return is_one_of(state, over, ARRAY_LEN(over) - (is_final ? 1 : 0));
}

static int code_of(const char *state)
{
	static const char *const good[] = {"confirmed", "finalized"};
	static const char *const bad[] = {"failed", "expired"};

	if (is_one_of(state, good, ARRAY_LEN(good)))
		return CLI_OK;
	return is_one_of(state, bad, ARRAY_LEN(bad)) ? CLI_FAILED : CLI_UNAVAILABLE;
}

static const char *words_of(const char *state)
{
	static const char *const words[][2] = {
	    {"built", "built: nobody has signed it"},
	    {"sent", "sent: it has not landed yet, and still may"},
	    {"confirmed", "confirmed: it has landed; not final yet"},
	    {"finalized", "finalized: it has landed for good"},
	    {"failed", "failed: it has landed and did nothing but pay its fee"},
	    {"expired", "expired: it never landed, and cannot any more; nothing was spent"},
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(words[i][0], state) == 0)
			return words[i][1];
	return "in a state that this command does not know";
}

static void print_named(const char *name, const char *text)
{
	fputs(name, stdout);
	cli_print_text(text);
	putchar('\n');
}

static int tell_text(const json_t *state, const char *signature)
{
	const char *name = web_text(state, "state"), *error = web_text(state, "error");
	int code = code_of(name);

	printf("The service says: %s", words_of(name));
	if (error[0]) {
		fputs(": ", stdout);
		cli_print_text(error);
	}
	putchar('\n');
	if (json_is_true(json_object_get(state, "nodes_differ")))
		puts("  ! the nodes contradict each other");
	print_named("  id          ", web_text(state, "id"));
	if (!signature)
		signature = web_text(state, "signature");
	if (signature[0])
		print_named("  transaction ", signature);
	return code;
}

int wallet_act_tell(const struct cli *cli, const json_t *state, const char *signature)
{
	const char *said = web_text(state, "signature");

	if (signature && said[0] && strcmp(said, signature) != 0)
		fprintf(stderr,
		    "multiclaw: warning: the service speaks of another transaction than the one "
		    "that was signed; look for %s yourself\n",
		    signature);
	if (!cli->json)
		return tell_text(state, signature);
	int code = code_of(web_text(state, "state"));
	scoped_json json_t *doc = json_deep_copy(state);
	if (doc && signature)
		json_object_set_new(doc, "signature", json_string(signature));
	cli_print_json(json_incref(doc));
	return code;
}

int wallet_act_follow(struct cli *cli, const char *id, const char *signature, bool is_final)
{
	uint64_t until_ms = clock_boot_ms() + PATIENCE_MS;
	char path[PATH_SIZE];
	struct error err = {0};
	long ms = POLL_MS;

	snprintf(path, sizeof(path), TRANSACTIONS "/%s", id);
	for (;; pause_ms(ms), ms = ms < POLL_MAX_MS ? ms + POLL_MS / 5 : ms) {
		scoped_answer struct web_answer answer = {0};
		bool late = clock_boot_ms() > until_ms;
		if (web_call(cli, "GET", path, NULL, &answer, &err) < 0) {
			/* a service that is away for a moment is waited for */
			if ((err.code == ERR_UNAVAILABLE || err.code == ERR_BUSY) && !late)
				continue;
			int code = cli_fail(&err);
			if (signature)
				fprintf(stderr, "  It was sent: transaction %s\n", signature);
			return code;
		}
		if (late || is_over(web_text(answer.json, "state"), is_final))
			return wallet_act_tell(cli, answer.json, signature);
	}
}
