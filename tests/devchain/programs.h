/* programs - what the instructions of the programs on this chain do to accounts, as far as wallets use them; any other instruction of theirs fails with
 * InvalidInstructionData. Sources: solana-wire.md 3; Agave, programs/system; solana-program/token and associated-token-account; mpl-core 2181404;
 * mpl-agent, programs/mpl-agent-tools. */
#ifndef DEVCHAIN_PROGRAMS_H
#define DEVCHAIN_PROGRAMS_H

#include "tests/devchain/run.h"

int program_system(struct invocation *in);     /* Transfer */
int program_budget(struct invocation *in);     /* was read before; does nothing */
int program_lighthouse(struct invocation *in); /* every assertion holds */
int program_token(struct invocation
	*in); /* Token and Token-2022: Transfer, TransferChecked, Revoke, CloseAccount */
int program_associated_token(struct invocation *in); /* Create, CreateIdempotent */
int program_core(struct invocation *in);             /* TransferV1, ExecuteV1 */
int program_agent_tools(struct invocation *in);      /* RevokeExecutionV1 */

#endif
