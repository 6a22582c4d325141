#include <string.h>

#include "common/pubkey.h"
#include "common/solana_ix_core.h"
#include "common/solana_program.h"
#include "tests/devchain/agent_record.h"
#include "tests/devchain/core.h"
#include "tests/devchain/programs.h"

/* mpl-core, error.rs */
enum {
	DESERIALIZATION = 1,
	INVALID_AUTHORITY = 9,
	INVALID_COLLECTION = 19,
	MISSING_COLLECTION = 25,
	NO_APPROVALS = 26,
	INVALID_EXECUTE_PDA = 49,
};
#define NEGATIVE_LAMPORTS 1
#define FEE_LEN 7 /* rent for so many bytes is the fee */

/* An account that is not given is the program itself. */
static bool is_given(const struct invocation *in, const struct invocation_account *account)
{
	return !run_is_key(account, in->program);
}

static int check_asset(const struct invocation *in, const struct invocation_account *asset,
    const struct invocation_account *collection)
{
	uint8_t expected[PUBKEY_LEN];

	if (!core_is_asset(&asset->account->state)) {
		run_log(in->run, "Program log: Error deserializing account");
		return run_fail_custom(in, DESERIALIZATION);
	}
	bool has = core_asset_collection(&asset->account->state, expected);
	if (has && !is_given(in, collection))
		return run_fail_custom(in, MISSING_COLLECTION);
	if (is_given(in, collection) && (!has || !run_is_key(collection, expected)))
		return run_fail_custom(in, INVALID_COLLECTION);
	return 0;
}

static bool is_owner(
    const struct invocation_account *asset, const struct invocation_account *authority)
{
	uint8_t owner[PUBKEY_LEN];

	return core_asset_owner(&asset->account->state, owner) && run_is_key(authority, owner);
}

/* ---- TransferV1 ---- */

static int approve_transfer(const struct invocation *in, const struct invocation_account *asset,
    const struct invocation_account *authority)
{
	const struct account_state *state = &asset->account->state;
	const uint8_t *who = authority->account->key;
	bool frozen = core_asset_is_set(state, CORE_FREEZE_DELEGATE) ||
		      core_asset_is_set(state, CORE_PERMANENT_FREEZE_DELEGATE);

	if (core_asset_is_held_by(state, CORE_PERMANENT_TRANSFER_DELEGATE, who))
		return 0;
	if (!is_owner(asset, authority) &&
	    !core_asset_is_held_by(state, CORE_TRANSFER_DELEGATE, who))
		return run_fail_custom(in, NO_APPROVALS);
	return frozen ? run_fail_custom(in, INVALID_AUTHORITY) : 0;
}

static int transfer(struct invocation *in)
{
	struct invocation_account *asset = run_at(in, 0), *collection = run_at(in, 1),
				  *payer = run_at(in, 2), *authority = run_at(in, 3),
				  *to = run_at(in, 4);

	if (!asset || !collection || !payer || !authority || !to)
		return -1;
	if (!is_given(in, authority))
		authority = payer;
	if (run_need_signer(in, payer) < 0 || run_need_signer(in, authority) < 0 ||
	    check_asset(in, asset, collection) < 0 || approve_transfer(in, asset, authority) < 0 ||
	    run_need_writable(in, asset) < 0)
		return -1;
	return core_transfer(&asset->account->state, to->account->key, NULL) < 0
		   ? run_fail_custom(in, DESERIALIZATION)
		   : 0;
}

/* ---- ExecuteV1 ---- */

struct execution {
	struct invocation_account *at[SOLANA_EXECUTE_INNER];
	struct invocation_account *authority; /* the payer, if none is given */
	size_t inner;                         /* place of the inner instruction's first account */
};

/* By the owner, or by a record that stands where the inner accounts begin. */
static int approve_execution(struct invocation *in, struct execution *execution)
{
	const struct account_state *asset = &execution->at[SOLANA_EXECUTE_ASSET]->account->state;
	const struct invocation_account *authority = execution->authority;
	struct agent_record record;

	if (core_asset_is_set(asset, CORE_FREEZE_EXECUTE) ||
	    core_asset_is_set(asset, CORE_PERMANENT_FREEZE_EXECUTE))
		return run_fail_custom(in, INVALID_AUTHORITY);
	if (is_owner(execution->at[SOLANA_EXECUTE_ASSET], authority))
		return 0;
	if (in->n > SOLANA_EXECUTE_INNER && core_asset_lets_agents_execute(asset) &&
	    agent_record_read(&in->at[SOLANA_EXECUTE_INNER].account->state, &record) &&
	    run_is_key(authority, record.authority) &&
	    run_is_key(execution->at[SOLANA_EXECUTE_ASSET], record.asset))
		return 0;
	return run_fail_custom(in, NO_APPROVALS);
}

static int read_execution(struct invocation *in, struct execution *execution)
{
	uint8_t pda[PUBKEY_LEN];

	for (size_t i = 0; i < SOLANA_EXECUTE_INNER; i++) {
		execution->at[i] = run_at(in, i);
		if (!execution->at[i])
			return -1;
	}
	execution->inner = SOLANA_EXECUTE_INNER;
	/* any record, needed or not */
	if (in->n > SOLANA_EXECUTE_INNER &&
	    agent_record_is(&in->at[SOLANA_EXECUTE_INNER].account->state))
		execution->inner++;
	execution->authority = execution->at[SOLANA_EXECUTE_AUTHORITY];
	if (!is_given(in, execution->authority))
		execution->authority = execution->at[SOLANA_EXECUTE_PAYER];
	if (run_need_signer(in, execution->at[SOLANA_EXECUTE_PAYER]) < 0 ||
	    run_need_signer(in, execution->authority) < 0 ||
	    check_asset(in, execution->at[SOLANA_EXECUTE_ASSET],
		execution->at[SOLANA_EXECUTE_COLLECTION]) < 0)
		return -1;
	if (pubkey_asset_signer(execution->at[SOLANA_EXECUTE_ASSET]->account->key, pda, NULL) < 0 ||
	    !run_is_key(execution->at[SOLANA_EXECUTE_SIGNER], pda))
		return run_fail_custom(in, INVALID_EXECUTE_PDA);
	return approve_execution(in, execution);
}

static int run_inner(
    struct invocation *in, const struct execution *execution, const uint8_t *data, size_t len)
{
	const struct run_account *pda = execution->at[SOLANA_EXECUTE_SIGNER]->account;
	struct invocation inner = {.run = in->run,
	    .depth = in->depth + 1,
	    .index = in->index,
	    .program = execution->at[SOLANA_EXECUTE_PROGRAM]->account->key,
	    .data = data,
	    .len = len};

	for (size_t i = execution->inner; i < in->n; i++) {
		inner.at[inner.n] = in->at[i];
		inner.at[inner.n++].signer |= in->at[i].account == pda;
	}
	return run_invoke(&inner);
}

static int execute(struct invocation *in)
{
	struct execution execution;

	if (in->len < 5 || run_le(in->data + 1, 4) > in->len - 5)
		return run_fail(in, "InvalidInstructionData");
	if (read_execution(in, &execution) < 0 ||
	    run_move(in, execution.at[SOLANA_EXECUTE_PAYER], execution.at[SOLANA_EXECUTE_ASSET],
		rent_exempt(FEE_LEN) - rent_exempt(0), NEGATIVE_LAMPORTS) < 0)
		return -1;
	return run_inner(in, &execution, in->data + 5, run_le(in->data + 1, 4));
}

int program_core(struct invocation *in)
{
	switch (in->len > 0 ? in->data[0] : UINT8_MAX) {
	case SOLANA_CORE_TRANSFER:
		return transfer(in);
	case SOLANA_CORE_EXECUTE:
		return execute(in);
	default:
		return run_fail(in, "InvalidInstructionData");
	}
}
