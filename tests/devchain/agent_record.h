/* agent_record - ExecutionDelegateRecordV1 of mpl-agent-tools (solana-wire.md 3.5): who may execute for an asset, whoever owns it now. */
#ifndef DEVCHAIN_AGENT_RECORD_H
#define DEVCHAIN_AGENT_RECORD_H

#include <stdbool.h>

#include "tests/devchain/state.h"

#define AGENT_RECORD_LEN 104

struct agent_record {
	uint8_t profile[PUBKEY_LEN], authority[PUBKEY_LEN], asset[PUBKEY_LEN];
	uint8_t bump;
};

/* Fills *state_r, exempt from rent. */
void agent_record_create(const struct agent_record *record, struct account_state *state_r);
/* What Core takes off before the inner call, whosever it is: the program's, with the first byte of one. */
bool agent_record_is(const struct account_state *state);
/* False: it is not one. */
bool agent_record_read(const struct account_state *state, struct agent_record *record_r);

#endif
