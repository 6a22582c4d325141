#include "tests/devchain/control_money.h"

#include <string.h>

#include "common/scoped.h"
#include "common/solana_pda.h"
#include "common/solana_program.h"
#include "tests/devchain/agent_record.h"
#include "tests/devchain/control_args.h"
#include "tests/devchain/core.h"
#include "tests/devchain/token.h"

#define LAMPORTS_PER_SOL 1000000000u
#define SOL_MAX 1000000u
#define DECIMALS_MAX 18

int control_airdrop(struct control_call *call, struct error *err)
{
	struct account_state scoped_state state = {0};
	uint8_t to[PUBKEY_LEN];
	uint64_t sol = 0, lamports = 0;

	if (arg_key(call, "to", to, err) != 0 || arg_u64(call, "sol", &sol, err) != 0 ||
	    arg_u64(call, "lamports", &lamports, err) != 0)
		return -1;
	if (sol > SOL_MAX || lamports > SOL_MAX * (uint64_t)LAMPORTS_PER_SOL)
		return error_set(err, ERR_INVALID, "at most %u SOL", SOL_MAX);
	lamports += sol * LAMPORTS_PER_SOL;
	if (lamports == 0)
		lamports = LAMPORTS_PER_SOL;
	control_newest_or_new(call, to, &state);
	state.lamports += lamports;
	control_put(call, to, &state);
	json_object_set_new(call->reply, "lamports", json_integer((json_int_t)state.lamports));
	return devchain_save(call->devchain, err);
}

/* ---- tokens ---- */

static int arg_program(
    const struct control_call *call, const uint8_t **program_r, struct error *err)
{
	const char *name = arg_text(call, "program");

	if (name && strcmp(name, "token") != 0 && strcmp(name, "token-2022") != 0)
		return error_set(err, ERR_INVALID, "program is token or token-2022");
	*program_r =
	    solana_program_key(name && strcmp(name, "token-2022") == 0 ? SOLANA_PROGRAM_TOKEN_2022
								       : SOLANA_PROGRAM_TOKEN);
	return 0;
}

int control_create_mint(struct control_call *call, struct error *err)
{
	struct account_state scoped_state state = {0};
	uint8_t mint[PUBKEY_LEN], authority[PUBKEY_LEN];
	const uint8_t *program = NULL;
	uint64_t decimals = 6;

	if (arg_key_or_random(call, "mint", mint, err) != 0 ||
	    arg_key_or_random(call, "authority", authority, err) != 0 ||
	    arg_u64(call, "decimals", &decimals, err) != 0 ||
	    arg_program(call, &program, err) != 0 || control_check_free(call, mint, err) != 0)
		return -1;
	if (decimals > DECIMALS_MAX)
		return error_set(err, ERR_INVALID, "at most %d decimals", DECIMALS_MAX);
	token_mint_create(program, authority, (uint8_t)decimals, UINT64_MAX / 2, &state);
	control_put(call, mint, &state);
	control_reply_key(call, "mint", mint);
	return devchain_save(call->devchain, err);
}

static int arg_optional_key(const struct control_call *call, const char *name, bool *has_r,
    uint8_t *key_r, struct error *err)
{
	*has_r = arg_text(call, name) != NULL;
	return *has_r ? arg_key(call, name, key_r, err) : 0;
}

static int read_token(
    const struct control_call *call, struct token *token, uint8_t *account, struct error *err)
{
	struct account_state scoped_state mint = {0};
	uint8_t decimals;

	token->state = arg_bool(call, "frozen") ? TOKEN_FROZEN : TOKEN_INITIALIZED;
	token->is_native = arg_bool(call, "wrapped");
	if (arg_key(call, "mint", token->mint, err) != 0 ||
	    arg_key(call, "owner", token->owner, err) != 0 ||
	    arg_u64(call, "amount", &token->amount, err) != 0 ||
	    arg_u64(call, "delegated", &token->delegated, err) != 0 ||
	    arg_optional_key(call, "delegate", &token->has_delegate, token->delegate, err) != 0 ||
	    arg_optional_key(call, "closer", &token->has_closer, token->closer, err) != 0 ||
	    control_newest(call, token->mint, &mint, err) != 0)
		return -1;
	if (!token_mint_decimals(&mint, mint.program, &decimals))
		return error_set(err, ERR_INVALID, "no such mint");
	if (arg_text(call, "account"))
		return arg_key(call, "account", account, err);
	if (solana_pda_associated_token(token->owner, mint.program, token->mint, account) != 0)
		return error_set(err, ERR_INVALID, "no associated account");
	return 0;
}

int control_fund(struct control_call *call, struct error *err)
{
	struct account_state scoped_state mint = {0}, state = {0};
	struct token token = {0};
	uint8_t account[PUBKEY_LEN];

	if (read_token(call, &token, account, err) != 0 ||
	    control_newest(call, token.mint, &mint, err) != 0)
		return -1;
	token_create(mint.program, &token, &state);
	control_put(call, account, &state);
	control_reply_key(call, "account", account);
	return devchain_save(call->devchain, err);
}

/* ---- delegates ---- */

static int add_identity(struct control_call *call, const uint8_t *asset, struct error *err)
{
	struct account_state scoped_state state = {0};

	if (control_newest(call, asset, &state, err) != 0)
		return -1;
	if (core_asset_lets_agents_execute(&state))
		return 0;
	if (core_asset_add_identity(&state, "https://example.org/agent.json", err) != 0)
		return -1;
	control_put(call, asset, &state);
	return 0;
}

int control_delegate(struct control_call *call, struct error *err)
{
	struct account_state scoped_state state = {0};
	struct agent_record record = {.bump = 255};
	const char *identity = arg_text(call, "identity");
	uint8_t address[PUBKEY_LEN];

	if (arg_key(call, "asset", record.asset, err) != 0 ||
	    arg_key(call, "authority", record.authority, err) != 0)
		return -1;
	if (arg_text(call, "profile")
		? arg_key(call, "profile", record.profile, err) != 0
		: solana_pda_executive_profile(record.authority, record.profile) != 0)
		return -1;
	if (solana_pda_execution_delegate_record(record.profile, record.asset, address) != 0)
		return error_set(err, ERR_INVALID, "no address for the record");
	if ((!identity || strcmp(identity, "no") != 0) &&
	    add_identity(call, record.asset, err) != 0)
		return -1;
	agent_record_create(&record, &state);
	control_put(call, address, &state);
	control_reply_key(call, "record", address);
	control_reply_key(call, "profile", record.profile);
	return devchain_save(call->devchain, err);
}
