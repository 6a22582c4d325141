/* `vault rotate`: a change of the master key, from making the next one to putting it in its place. Every step may be done again after a crash, and is, by
 * giving the same command again. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "services/cli/keys_file.h"
#include "services/cli/prompt.h"
#include "services/cli/vault_key.h"
#include "services/cli/vaults.h"

#define PASSPHRASE_MAX 1024
#define LOOK_EVERY_US 200000
#define IDLE_LOOKS_MAX 300 /* a minute */

struct rotating {
	struct operator operator;
	const struct cli *cli;
	char key[PATH_MAX];
	bool makes_key, by_passphrase, was_done;
	char key_id[16 + 1]; /* before */
	struct vault_state_rsp state;
};

/* The operator's seat is in the state folder: a path that was typed begins where it was typed. */
static int absolute(const char *path, char *buf, size_t size)
{
	char here[PATH_MAX];

	if (path[0] == '/' || !getcwd(here, sizeof(here)))
		return cli_copy(buf, size, path, "a file's name");
	int len = snprintf(buf, size, "%s/%s", here, path);
	return len > 0 && (size_t)len < size ? CLI_OK : cli_usage("the name is too long: %s", path);
}

static int key_of_suite(struct rotating *rotating)
{
	char name[PATH_MAX];
	int len = snprintf(name, sizeof(name), "%s/vault.key", rotating->operator.settings.keys);

	return len > 0 && (size_t)len < sizeof(name)
		   ? absolute(name, rotating->key, sizeof(rotating->key))
		   : CLI_USAGE;
}

static int make_next(const struct rotating *rotating, struct error *err)
{
	char next[PATH_MAX + 8];

	if (!vault_key_next(rotating->key, next, sizeof(next), err))
		return -1;
	int there = key_file_exists(next, err);
	if (there != 0)
		return there < 0 ? -1 : 0; /* of a rotation that was begun */
	return vault_key_create_beside(next, rotating->key, err);
}

static int call(struct rotating *rotating, const struct secret *passphrase, struct error *err)
{
	scoped_vaults_call struct vaults_call call = {0};

	vaults_call_new(&call, &vault_rotate_call);
	struct vault_rotate_req *req = call.req;
	if (passphrase)
		memcpy(req->passphrase, secret_bytes(passphrase), secret_len(passphrase));
	if (vaults_call_any(&rotating->operator, & call, err) < 0)
		return -1;
	memcpy(&rotating->state, call.rsp, sizeof(rotating->state));
	return 0;
}

static int ask_passphrase(struct rotating *rotating, struct error *err)
{
	const struct prompt prompt = {.question = "New passphrase",
	    .what = "the new passphrase",
	    .max = PASSPHRASE_MAX,
	    .twice = true};
	scoped_secret struct secret *passphrase = prompt_secret(&prompt, err);

	rotating->by_passphrase = true;
	return passphrase ? call(rotating, passphrase, err) : -1;
}

/* A store that is sealed with the next key alone has been rotated already: what is left is the file. */
static int begin(struct rotating *rotating, struct error *err)
{
	if (call(rotating, NULL, err) == 0)
		return 0;
	if (strcmp(err->reason, "passphrase_missing") == 0)
		return ask_passphrase(rotating, err);
	rotating->was_done = strcmp(err->reason, "key_unchanged") == 0;
	return rotating->was_done ? 0 : -1;
}

static void show(const struct rotating *rotating)
{
	const struct vault_state_rsp *state = &rotating->state;

	if (!rotating->cli->json)
		fprintf(stderr, "%" PRIu64 " of %" PRIu64 " data keys are under %s\n",
		    state->rewrapped, state->periods, state->next_key_id);
}

static int look(struct rotating *rotating, struct error *err)
{
	scoped_vaults_call struct vaults_call call = {0};

	vaults_call_new(&call, &vault_state_call);
	if (vaults_call_any(&rotating->operator, & call, err) < 0)
		return -1;
	memcpy(&rotating->state, call.rsp, sizeof(rotating->state));
	return 0;
}

/* The old key is needed until the store is sealed with another one, and there is no change under way. */
static bool is_over(const struct rotating *rotating)
{
	const struct vault_state_rsp *state = &rotating->state;

	return !state->next_key_id[0] && state->key_id[0] &&
	       (rotating->was_done || strcmp(state->key_id, rotating->key_id) != 0);
}

static int wait_for_end(struct rotating *rotating, struct error *err)
{
	uint64_t shown = UINT64_MAX;
	unsigned idle = 0;

	while (look(rotating, err) == 0) {
		if (is_over(rotating))
			return 0;
		if (rotating->state.next_key_id[0] && rotating->state.rewrapped != shown)
			show(rotating);
		idle = rotating->state.rewrapped == shown ? idle + 1 : 0;
		shown = rotating->state.rewrapped;
		if (idle > IDLE_LOOKS_MAX)
			return error_set(err, ERR_UNAVAILABLE,
			    "the vault does not go on (%s: %s); give the same command again",
			    rotating->state.state, rotating->state.why);
		usleep(LOOK_EVERY_US);
	}
	return -1;
}

static int rotate(struct rotating *rotating, struct error *err)
{
	if (look(rotating, err) < 0)
		return -1;
	snprintf(rotating->key_id, sizeof(rotating->key_id), "%s", rotating->state.key_id);
	if (rotating->makes_key && make_next(rotating, err) < 0)
		return -1;
	if (begin(rotating, err) < 0 || wait_for_end(rotating, err) < 0)
		return -1;
	return rotating->by_passphrase ? 0 : vault_key_promote(rotating->key, err);
}

static int report(const struct rotating *rotating)
{
	const struct vault_state_rsp *state = &rotating->state;

	if (rotating->cli->json) {
		cli_print_json(vaults_state_json(rotating->operator.address, state));
		return CLI_OK;
	}
	printf(
	    "The store is sealed with %s; the master key before it opens nothing in it any more.\n",
	    state->key_id);
	if (!rotating->by_passphrase)
		printf("The key is in %s: keep a copy where the store's backups are not.\n",
		    rotating->key);
	return CLI_OK;
}

int vaults_rotate(struct cli *cli, int argc, char **argv)
{
	struct rotating *rotating = calloc(1, sizeof(*rotating));
	struct error err = {0};
	const char *value, *key = NULL;
	int rc = CLI_OK;

	bug_if(!rotating);
	rotating->cli = cli;
	for (int i = 2; i < argc && rc == CLI_OK; i++) {
		if ((value = cli_option("--key", argc, argv, &i)))
			rc = absolute(key = value, rotating->key, sizeof(rotating->key));
		else if (strcmp(argv[i], "--new-key") == 0)
			rotating->makes_key = true;
		else
			rc = cli_usage("vault rotate: what is '%s'?", argv[i]);
	}
	if (rc == CLI_OK && vaults_open(&rotating->operator, cli, &err) < 0)
		rc = cli_fail(&err);
	if (rc == CLI_OK && !key)
		rc = key_of_suite(rotating);
	if (rc == CLI_OK)
		rc = rotate(rotating, &err) == 0 ? report(rotating) : cli_fail(&err);
	operator_close(&rotating->operator);
	free(rotating);
	return rc;
}
