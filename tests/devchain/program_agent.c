#include <string.h>

#include "common/solana_ix_agent.h"
#include "common/solana_pda.h"
#include "common/solana_program.h"
#include "tests/devchain/agent_record.h"
#include "tests/devchain/core.h"
#include "tests/devchain/programs.h"

/* mpl-agent-tools, error.rs; the last two as of the revision that has revoke_execution_v1, by their order */
enum {
	INVALID_CORE_ASSET = 4,
	INVALID_DERIVATION = 6,
	MUST_BE_INITIALIZED = 12,
	UNAUTHORIZED = 13
};

static int check_record(const struct invocation *in, const struct invocation_account *account,
    const struct invocation_account *asset, struct agent_record *record_r)
{
	uint8_t address[PUBKEY_LEN];

	if (!agent_record_read(&account->account->state, record_r))
		return run_fail_custom(in, MUST_BE_INITIALIZED);
	if (!run_is_key(asset, record_r->asset) ||
	    solana_pda_execution_delegate_record(record_r->profile, record_r->asset, address) < 0 ||
	    !run_is_key(account, address))
		return run_fail_custom(in, INVALID_DERIVATION);
	return core_is_asset(&asset->account->state) ? 0 : run_fail_custom(in, INVALID_CORE_ASSET);
}

static int revoke(struct invocation *in)
{
	struct invocation_account *account = run_at(in, 0), *asset = run_at(in, 1),
				  *to = run_at(in, 2), *payer = run_at(in, 3),
				  *authority = run_at(in, 4);
	struct agent_record record;
	uint8_t owner[PUBKEY_LEN];

	if (!account || !asset || !to || !payer || !authority ||
	    check_record(in, account, asset, &record) < 0 || run_need_signer(in, payer) < 0)
		return -1;
	if (run_is_key(authority, in->program))
		authority = payer;
	if (run_need_signer(in, authority) < 0)
		return -1;
	if (!core_asset_owner(&asset->account->state, owner) ||
	    (!run_is_key(authority, owner) && !run_is_key(authority, record.authority)))
		return run_fail_custom(in, UNAUTHORIZED);
	if (run_move(in, account, to, account->account->state.lamports, 0) < 0)
		return -1;
	account_state_clear(&account->account->state);
	return 0;
}

int program_agent_tools(struct invocation *in)
{
	if (in->len < 8 || in->data[0] != SOLANA_AGENT_REVOKE)
		return run_fail(in, "InvalidInstructionData");
	return revoke(in);
}
