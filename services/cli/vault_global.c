/* The operators' own keys of LLM providers, which all agents may use through the gateway. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/scoped.h"
#include "services/cli/prompt.h"
#include "services/cli/vaults.h"

static int call_any(struct cli *cli, struct vaults_call *call)
{
	scoped_operator struct operator operator= {0};
	struct error err = {0};

	if (vaults_open(&operator, cli, &err) < 0 || vaults_call_any(&operator, call, &err) < 0)
		return cli_fail(&err);
	return CLI_OK;
}

/* Nobody should type a secret to be told that there are no settings. */
static int put(struct cli *cli, struct vaults_call *call, struct error *err)
{
	scoped_operator struct operator operator= {0};
	struct vault_global_put_req *req = call->req;
	char question[160];
	const struct prompt prompt = {
	    .question = question, .what = "the value", .max = VAULT_VALUE_MAX};

	if (vaults_open(&operator, cli, err) < 0)
		return -1;
	snprintf(question, sizeof(question), "Global key of %s (not shown)", req->provider);
	scoped_secret struct secret *value = prompt_secret(&prompt, err);
	if (!value)
		return -1;
	req->value.len = secret_len(value);
	memcpy(req->value.data, secret_bytes(value), secret_len(value));
	return vaults_call_any(&operator, call, err);
}

static int set(struct cli *cli, const char *provider)
{
	scoped_vaults_call struct vaults_call call = {0};
	struct error err = {0};
	char done[160];

	vaults_call_new(&call, &vault_global_put_call);
	struct vault_global_put_req *req = call.req;
	if (cli_copy(req->provider, sizeof(req->provider), provider, "a provider") != CLI_OK)
		return CLI_USAGE;
	if (put(cli, &call, &err) < 0)
		return cli_fail(&err);
	const struct vault_global_put_rsp *rsp = call.rsp;
	snprintf(done, sizeof(done), "Stored the global key of %s, version %" PRIu64 ".",
	    req->provider, rsp->version);
	return cli_report(cli, "stored", req->provider, done);
}

static int rm(struct cli *cli, const char *provider)
{
	scoped_vaults_call struct vaults_call call = {0};
	char done[160];

	vaults_call_new(&call, &vault_global_delete_call);
	struct vault_global_delete_req *req = call.req;
	const struct vault_global_delete_rsp *rsp = call.rsp;
	if (cli_copy(req->provider, sizeof(req->provider), provider, "a provider") != CLI_OK)
		return CLI_USAGE;
	int rc = call_any(cli, &call);
	if (rc != CLI_OK)
		return rc;
	snprintf(done, sizeof(done),
	    rsp->existed ? "Destroyed the global key of %s." : "There was no global key of %s.",
	    req->provider);
	cli_report(cli, rsp->existed ? "destroyed" : "missing", req->provider, done);
	return rsp->existed ? CLI_OK : CLI_FAILED;
}

static json_t *key_json(const struct secrets_item *item)
{
	char at[CLOCK_RFC3339_LEN + 1];

	return json_pack("{ss ss sI ss}", "provider", item->name, "preview", item->preview,
	    "version", (json_int_t)item->version, "updated_at",
	    clock_rfc3339(item->updated_ms, at, sizeof(at)));
}

static void print_key(const struct secrets_item *item)
{
	char at[CLOCK_RFC3339_LEN + 1];

	printf("%-20s version %-4" PRIu64 " %s  ", item->name, item->version,
	    clock_rfc3339(item->updated_ms, at, sizeof(at)));
	cli_print_text(item->preview);
	puts(item->preview[0] ? "..." : "");
}

static int list(struct cli *cli)
{
	scoped_vaults_call struct vaults_call call = {0};

	vaults_call_new(&call, &vault_global_list_call);
	const struct vault_global_list_rsp *rsp = call.rsp;
	int rc = call_any(cli, &call);
	if (rc != CLI_OK)
		return rc;
	json_t *keys = cli->json ? json_array() : NULL;
	for (size_t i = 0; i < rsp->secrets.len; i++) {
		if (keys)
			json_array_append_new(keys, key_json(&rsp->secrets.item[i]));
		else
			print_key(&rsp->secrets.item[i]);
	}
	if (keys)
		cli_print_json(json_pack("{so}", "keys", keys));
	return CLI_OK;
}

int vaults_global(struct cli *cli, int argc, char **argv)
{
	const char *what = argc > 2 ? argv[2] : "list";

	if (strcmp(what, "list") == 0 && argc <= 3)
		return list(cli);
	if (strcmp(what, "set") == 0 && argc == 4)
		return set(cli, argv[3]);
	if (strcmp(what, "rm") == 0 && argc == 4)
		return rm(cli, argv[3]);
	return cli_usage(
	    "vault global: 'list', 'set PROVIDER' (the value comes from standard input or "
	    "is typed) or 'rm PROVIDER'");
}
