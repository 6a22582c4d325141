#include <string.h>

#include "common/solana_program.h"
#include "tests/devchain/rpc_call.h"
#include "tests/devchain/token.h"

/* {"mint": key} or {"programId": key} */
struct wanted {
	bool by_mint;
	uint8_t key[PUBKEY_LEN];
};

static int read_wanted(struct call *call, struct wanted *wanted)
{
	const json_t *filter = call_param(call, 1), *mint = json_object_get(filter, "mint");

	wanted->by_mint = mint != NULL;
	if (read_key(mint ? mint : json_object_get(filter, "programId"), wanted->key, call->err) !=
	    0)
		return -1;
	enum solana_program program = solana_program_of(wanted->key);
	if (!mint && program != SOLANA_PROGRAM_TOKEN && program != SOLANA_PROGRAM_TOKEN_2022)
		return rpc_fail(
		    call->err, RPC_INVALID_PARAMS, "Invalid param: unrecognized Token program id");
	return 0;
}

static bool is_wanted(
    const struct reading *reading, const struct wanted *wanted, const uint8_t *owner)
{
	/* token_read changes nothing */
	const struct account_state state = {.lamports = reading->lamports,
	    .data = (uint8_t *)(uintptr_t)reading->data,
	    .len = reading->len};
	struct account_state of_program = state;
	struct token token;

	memcpy(of_program.program, reading->program, PUBKEY_LEN);
	enum solana_program program = solana_program_of(reading->program);
	if ((program != SOLANA_PROGRAM_TOKEN && program != SOLANA_PROGRAM_TOKEN_2022) ||
	    !token_read(&of_program, reading->program, &token) ||
	    memcmp(token.owner, owner, PUBKEY_LEN) != 0)
		return false;
	return memcmp(wanted->by_mint ? token.mint : reading->program, wanted->key, PUBKEY_LEN) ==
	       0;
}

int rpc_get_token_accounts_by_owner(struct call *call)
{
	struct node *node = call->rpc->node;
	struct account *const *accounts;
	struct read_config config;
	struct wanted wanted;
	struct reading reading;
	uint8_t owner[PUBKEY_LEN];
	char text[PUBKEY_TEXT_MAX + 1];
	size_t n = chain_accounts(node->chain, &accounts), written = 0;

	if (json_array_size(call->params) < 2)
		return call_missing(call, 2);
	if (read_key(call_param(call, 0), owner, call->err) != 0 ||
	    read_wanted(call, &wanted) != 0 || call_config(call, 2, &config) != 0)
		return -1;
	call_begin_context(call, &config);
	evbuffer_add_printf(call->out, "[");
	for (size_t i = 0; i < n; i++) {
		if (!node_read(
			node, accounts[i]->key, node_height(node, config.commitment), &reading) ||
		    !is_wanted(&reading, &wanted, owner))
			continue;
		evbuffer_add_printf(call->out, "%s{\"account\":", written++ ? "," : "");
		if (write_account(call->out, &config, &reading, call->err) != 0)
			return -1;
		evbuffer_add_printf(
		    call->out, ",\"pubkey\":\"%s\"}", pubkey_text(accounts[i]->key, text));
	}
	evbuffer_add_printf(call->out, "]");
	call_end_context(call);
	return 0;
}
