#include <string.h>

#include "common/solana_lighthouse.h"
#include "common/solana_ix_system.h"
#include "common/solana_program.h"
#include "tests/devchain/programs.h"

#define NEGATIVE_LAMPORTS 1 /* SystemError::ResultWithNegativeLamports */

static int transfer(struct invocation *in, uint64_t lamports)
{
	struct invocation_account *from = run_at(in, 0), *to = run_at(in, 1);

	if (!from || !to || run_need_signer(in, from) < 0)
		return -1;
	if (from->account->state.len > 0) {
		run_log(in->run, "Transfer: `from` must not carry data");
		return run_fail(in, "InvalidArgument");
	}
	if (memcmp(from->account->state.program, in->program, PUBKEY_LEN) != 0)
		return run_fail(in, "ExternalAccountLamportSpend");
	return run_move(in, from, to, lamports, NEGATIVE_LAMPORTS);
}

int program_system(struct invocation *in)
{
	if (in->len < 12 || run_le(in->data, 4) != SOLANA_SYSTEM_TRANSFER)
		return run_fail(in, "InvalidInstructionData");
	return transfer(in, run_le(in->data + 4, 8));
}

int program_budget(struct invocation *in)
{
	(void)in;
	return 0;
}

int program_lighthouse(struct invocation *in)
{
	return solana_lighthouse_is_assertion(in->data, in->len)
		   ? 0
		   : run_fail(in, "InvalidInstructionData");
}
