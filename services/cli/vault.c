/* What an operator does with secret-vault. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/scoped.h"
#include "services/cli/prompt.h"
#include "services/cli/vault_key.h"
#include "services/cli/vaults.h"

#define PASSPHRASE_MAX 1024

/* One replica's answer, or why there is none; counts what is not open. */
struct told {
	json_t *all; /* --json */
	size_t not_open;
};

/* It opens by itself once it has looked at every ownership period. */
static bool is_opening(const struct vault_state_rsp *state)
{
	return strcmp(state->state, "open") == 0 || strcmp(state->state, "catching_up") == 0;
}

static void tell(struct told *told, const char *address, const struct vault_state_rsp *state,
    const struct error *err)
{
	told->not_open += !state || !is_opening(state);
	if (told->all)
		json_array_append_new(
		    told->all, state ? vaults_state_json(address, state)
				     : json_pack("{ssss}", "address", address, "error", err->text));
	else if (state)
		vaults_print_state(address, state);
	else {
		printf("%s  DOWN: ", address);
		cli_print_text(err->text);
		putchar('\n');
	}
}

static int told_all(struct told *told)
{
	if (told->all)
		cli_print_json(told->all);
	return told->not_open ? CLI_UNAVAILABLE : CLI_OK;
}

static int status(struct cli *cli)
{
	scoped_operator struct operator operator= {0};
	struct told told = {0};
	struct error err = {0};

	if (vaults_open(&operator, cli, &err) < 0)
		return cli_fail(&err);
	operator.call_ms = 0;
	operator.ready_ms = READY_SOON_MS;
	told.all = cli->json ? json_array() : NULL;
	for (size_t i = 0; i < operator.settings.vaults.len; i++) {
		scoped_vaults_call struct vaults_call call = {0};
		const char *address = operator.settings.vaults.item[i];
		vaults_call_new(&call, &vault_state_call);
		int rc = vaults_call_at(&operator, address, &call, &err);
		tell(&told, address, rc == 0 ? call.rsp : NULL, &err);
	}
	return told_all(&told);
}

/* ---- unseal */

struct unsealing {
	struct operator operator;
	bool adopt;
	struct secret *passphrase; /* asked for when the first vault wants one */
};

static void unsealing_wipe(struct unsealing *unsealing)
{
	secret_destroy(&unsealing->passphrase);
	operator_close(&unsealing->operator);
}
#define scoped_unsealing __attribute__((cleanup(unsealing_wipe)))

static int ask_passphrase(
    struct unsealing *unsealing, const struct vault_state_rsp *state, struct error *err)
{
	char question[200];
	/* of a new store nothing could tell a slip of the finger */
	const struct prompt prompt = {.question = question,
	    .what = "the passphrase",
	    .max = PASSPHRASE_MAX,
	    .twice = !state->key_id[0] && strstr(state->why, "first passphrase")};

	snprintf(question, sizeof(question), "Passphrase (%s)", state->why);
	if (!unsealing->passphrase)
		unsealing->passphrase = prompt_secret(&prompt, err);
	return unsealing->passphrase ? 0 : -1;
}

static int open_one(struct unsealing *unsealing, const char *address, bool with_passphrase,
    struct vault_state_rsp *state, struct error *err)
{
	scoped_vaults_call struct vaults_call call = {0};
	const struct secret *passphrase = with_passphrase ? unsealing->passphrase : NULL;

	vaults_call_new(&call, &vault_unseal_call);
	struct vault_unseal_req *req = call.req;
	req->adopt = unsealing->adopt;
	if (passphrase)
		memcpy(req->passphrase, secret_bytes(passphrase), secret_len(passphrase));
	if (vaults_call_at(&unsealing->operator, address, &call, err) < 0)
		return -1;
	memcpy(state, call.rsp, sizeof(*state));
	return 0;
}

/* What the vault waits for says what it is given. While the master key is being changed it may want the passphrases of both. */
static int unseal_one(struct unsealing *unsealing, const char *address,
    struct vault_state_rsp *state, struct error *err)
{
	scoped_vaults_call struct vaults_call call = {0};

	vaults_call_new(&call, &vault_state_call);
	if (vaults_call_at(&unsealing->operator, address, &call, err) < 0)
		return -1;
	memcpy(state, call.rsp, sizeof(*state));
	if (is_opening(state))
		return 0;
	bool is_sealed = strcmp(state->state, "sealed") == 0;
	if (is_sealed && ask_passphrase(unsealing, state, err) < 0)
		return -1;
	return open_one(unsealing, address, is_sealed, state, err);
}

static int unseal(struct cli *cli, int argc, char **argv)
{
	scoped_unsealing struct unsealing unsealing = {0};
	struct told told = {0};
	struct error err = {0};
	int rc = CLI_OK;

	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--adopt") != 0)
			return cli_usage("vault unseal: what is '%s'?", argv[i]);
		unsealing.adopt = true;
	}
	if (vaults_open(&unsealing.operator, cli, &err) < 0)
		return cli_fail(&err);
	told.all = cli->json ? json_array() : NULL;
	for (size_t i = 0; i < unsealing.operator.settings.vaults.len; i++) {
		struct vault_state_rsp state;
		const char *address = unsealing.operator.settings.vaults.item[i];
		int done = unseal_one(&unsealing, address, &state, &err);
		if (done < 0)
			rc = cli_fail(&err);
		if (done == 0 || told.all)
			tell(&told, address, done == 0 ? &state : NULL, &err);
	}
	int all = told_all(&told);
	return rc != CLI_OK ? rc : all;
}

/* ---- what one call does */

static int asset_and_wallet(int argc, char **argv, char *asset, char *wallet, bool *yes)
{
	const char *value;
	int rc = CLI_OK;

	for (int i = 2; i < argc && rc == CLI_OK; i++) {
		if ((value = cli_option("--asset", argc, argv, &i)))
			rc = cli_copy(asset, 45, value, "an address");
		else if ((value = cli_option("--wallet", argc, argv, &i)))
			rc = cli_copy(wallet, 45, value, "an address");
		else if (yes && strcmp(argv[i], "--yes") == 0)
			*yes = true;
		else
			rc = cli_usage("vault %s: what is '%s'?", argv[1], argv[i]);
	}
	if (rc == CLI_OK && (!asset[0] || !wallet[0]))
		rc =
		    cli_usage("vault %s: --asset ADDRESS and --wallet ADDRESS are needed", argv[1]);
	return rc;
}

static int call_once(struct cli *cli, struct vaults_call *call)
{
	scoped_operator struct operator operator= {0};
	struct error err = {0};

	if (vaults_open(&operator, cli, &err) < 0 || vaults_call_any(&operator, call, &err) < 0)
		return cli_fail(&err);
	return CLI_OK;
}

static int report_number(const struct cli *cli, const char *name, uint64_t n, const char *text)
{
	if (cli->json)
		cli_print_json(json_pack("{sI}", name, (json_int_t)n));
	else
		printf(text, n);
	return CLI_OK;
}

static int destroy_owner(struct cli *cli, int argc, char **argv)
{
	scoped_vaults_call struct vaults_call call = {0};
	bool yes = false;

	vaults_call_new(&call, &vault_destroy_owner_call);
	struct vault_destroy_owner_req *req = call.req;
	const struct vault_destroy_owner_rsp *rsp = call.rsp;
	int rc = asset_and_wallet(argc, argv, req->asset, req->wallet, &yes);
	if (rc != CLI_OK)
		return rc;
	if (!yes)
		return cli_usage(
		    "vault destroy-owner: what this wallet keeps for this asset would be "
		    "gone for good; say --yes");
	rc = call_once(cli, &call);
	return rc != CLI_OK ? rc
			    : report_number(cli, "periods", rsp->periods,
				  "Destroyed the data keys of %" PRIu64 " ownership periods.\n");
}

static int reinstate(struct cli *cli, int argc, char **argv)
{
	scoped_vaults_call struct vaults_call call = {0};

	vaults_call_new(&call, &vault_reinstate_call);
	struct vault_reinstate_req *req = call.req;
	const struct vault_reinstate_rsp *rsp = call.rsp;
	int rc = asset_and_wallet(argc, argv, req->asset, req->wallet, NULL);
	if (rc == CLI_OK)
		rc = call_once(cli, &call);
	return rc != CLI_OK ? rc
			    : report_number(cli, "slot", rsp->slot,
				  "Open again; proven from slot %" PRIu64 " on.\n");
}

static int reset_breaker(struct cli *cli)
{
	scoped_operator struct operator operator= {0};
	struct told told = {0};
	struct error err = {0};

	if (vaults_open(&operator, cli, &err) < 0)
		return cli_fail(&err);
	told.all = cli->json ? json_array() : NULL;
	for (size_t i = 0; i < operator.settings.vaults.len; i++) {
		scoped_vaults_call struct vaults_call call = {0};
		const char *address = operator.settings.vaults.item[i];
		vaults_call_new(&call, &vault_reset_breaker_call);
		int rc = vaults_call_at(&operator, address, &call, &err);
		tell(&told, address, rc == 0 ? call.rsp : NULL, &err);
	}
	return told_all(&told);
}

int vaults_new_key(struct cli *cli, int argc, char **argv)
{
	struct error err = {0};
	char done[512];

	if (argc != 3)
		return cli_usage("vault new-key: one file is needed");
	if (vault_key_create(argv[2], &err) < 0)
		return cli_fail(&err);
	snprintf(
	    done, sizeof(done), "made %s; keep a copy where the store's backups are not", argv[2]);
	return cli_report(cli, "made", argv[2], done);
}

int cli_vault(struct cli *cli, int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "status") == 0 && argc == 2)
		return status(cli);
	if (strcmp(what, "unseal") == 0)
		return unseal(cli, argc, argv);
	if (strcmp(what, "rotate") == 0)
		return vaults_rotate(cli, argc, argv);
	if (strcmp(what, "new-key") == 0)
		return vaults_new_key(cli, argc, argv);
	if (strcmp(what, "global") == 0)
		return vaults_global(cli, argc, argv);
	if (strcmp(what, "destroy-owner") == 0)
		return destroy_owner(cli, argc, argv);
	if (strcmp(what, "reinstate") == 0)
		return reinstate(cli, argc, argv);
	if (strcmp(what, "reset-breaker") == 0 && argc == 2)
		return reset_breaker(cli);
	if (strcmp(what, "audit") == 0)
		return vaults_audit(cli, argc, argv);
	return cli_usage(
	    "vault: status, unseal, rotate, new-key, global, destroy-owner, reinstate, "
	    "reset-breaker or audit export");
}
