#include "services/cli/vaults.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/cli/audit_head.h"

void vaults_call_new(struct vaults_call *call_r, const struct proto_call *call)
{
	/* a message without fields has no bytes */
	call_r->call = call;
	call_r->req = calloc(1, call->req->size + 1);
	call_r->rsp = calloc(1, call->rsp->size + 1);
	bug_if(!call_r->req || !call_r->rsp);
}

void vaults_call_wipe(struct vaults_call *call)
{
	if (!call->call)
		return;
	sodium_memzero(call->req, call->call->req->size);
	sodium_memzero(call->rsp, call->call->rsp->size);
	free(call->req);
	free(call->rsp);
	call->call = NULL;
}

int vaults_open(struct operator* operator, const struct cli * cli, struct error *err)
{
	if (operator_open(operator, cli, err) < 0)
		return -1;
	operator->call_ms = VAULTS_CALL_MS;
	if (!operator->settings.vaults.len)
		return error_set(err, ERR_INVALID, "MULTICLAW_VAULTS names no replica");
	return 0;
}

/* A reason is all that the bus carries of an error, except of one that says what was wrong with the request. */
static const struct explained {
	const char *reason, *text;
} explained[] = {
    {"key_unchanged", "the next master key is the one in use"},
    {"next_key_missing", "there is no next master key: --new-key makes one"},
    {"not_finalized", "the chain does not say so at finalized yet"},
    {"not_owner", "the chain says that this wallet does not own the asset"},
    {"passphrase_wrong", "this is not the passphrase that the store waits for"},
    {"period_live", "it is not locked"},
    {"period_unknown", "this wallet keeps nothing for this asset"},
    {"rotation_under_way", "the master key is being changed to another one than that"},
    {"storage_unavailable", "the storage does not answer; the vault's log says why"},
    {"vault_busy", "the vault is being opened"},
    {"vault_foreign_key", "the store is sealed with another master key than this vault has"},
    {"vault_sealed", "the vault is not open: see 'vault status'"},
};

static int explain(const struct proto_call *call, struct error *err)
{
	char prefix[64];
	int len = snprintf(prefix, sizeof(prefix), "%s: %s: ", call->name, error_name(err->code));

	/* the operator is known; what was refused is what was said */
	if (err->code == ERR_UNAUTHENTICATED)
		err->code = ERR_DENIED;
	if (len > 0 && strncmp(err->text, prefix, (size_t)len) == 0)
		memmove(err->text, err->text + len, strlen(err->text + len) + 1);

	for (size_t i = 0; i < ARRAY_LEN(explained); i++)
		if (strcmp(explained[i].reason, err->reason) == 0)
			snprintf(err->text, sizeof(err->text), "%s", explained[i].text);
	return -1;
}

int vaults_call_at(
    struct operator* operator, const char * address, struct vaults_call *call, struct error *err)
{
	if (operator_call(operator, address, ROLE_VAULT, call->call, call->req, call->rsp, err) < 0)
		return explain(call->call, err);
	return 0;
}

int vaults_call_any(struct operator* operator, struct vaults_call * call, struct error *err)
{
	const struct setting_list *vaults = &operator->settings.vaults;

	for (size_t i = 0; i < vaults->len; i++) {
		if (vaults_call_at(operator, vaults->item[i], call, err) == 0)
			return 0;
		if (err->code != ERR_UNAVAILABLE)
			return -1;
	}
	return -1;
}

static const char *head_of(const struct vault_state_rsp *state, char text[AUDIT_HEAD_TEXT_MAX + 1])
{
	struct audit_head head = {.seq = state->head_seq};

	if (state->head.len == AUDIT_HASH_LEN)
		memcpy(head.hash, state->head.data, AUDIT_HASH_LEN);
	return audit_head_text(&head, text);
}

void vaults_print_state(const char *address, const struct vault_state_rsp *state)
{
	char head[AUDIT_HEAD_TEXT_MAX + 1];

	printf("%s  %s", address, state->state);
	if (state->why[0]) {
		fputs(": ", stdout);
		cli_print_text(state->why);
	}
	printf("\n  store     %s\n  key       %s", state->store,
	    state->key_id[0] ? state->key_id : "none yet");
	if (state->next_key_id[0])
		printf(", changing to %s: %" PRIu64 " of %" PRIu64 " done", state->next_key_id,
		    state->rewrapped, state->periods);
	printf("\n  periods   %" PRIu64 ", of them %" PRIu64
	       " locked until their transfer is finalized\n  audit     head %s\n",
	    state->periods, state->locked, head_of(state, head));
	if (state->breaker)
		puts("  breaker   tripped: nothing is erased until 'vault reset-breaker'");
}

json_t *vaults_state_json(const char *address, const struct vault_state_rsp *state)
{
	char head[AUDIT_HEAD_TEXT_MAX + 1];

	return json_pack("{ss ss ss ss ss ss sI sI sI sb ss}", "address", address, "state",
	    state->state, "why", state->why, "store", state->store, "key_id", state->key_id,
	    "next_key_id", state->next_key_id, "periods", (json_int_t)state->periods, "rewrapped",
	    (json_int_t)state->rewrapped, "locked", (json_int_t)state->locked, "breaker",
	    state->breaker, "head", head_of(state, head));
}
