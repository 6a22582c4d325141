/* solana_ix_agent - instructions of Metaplex Agent Tools (mpl-agent 326b76a, revoke_execution_v1; solana-wire.md 3.5). */
#ifndef COMMON_SOLANA_IX_AGENT_H
#define COMMON_SOLANA_IX_AGENT_H

#include "common/solana_instruction.h"

enum { SOLANA_AGENT_DELEGATE = 1, SOLANA_AGENT_REVOKE = 2 };

/* Closes an ExecutionDelegateRecord; the rent goes to destination. payer is the asset's present owner (or the executive) and signs. Not to be
 * wrapped in ExecuteV1: the program asks for the owner, not for the asset's wallet. */
void solana_ix_agent_revoke(const uint8_t record[PUBKEY_LEN], const uint8_t asset[PUBKEY_LEN],
    const uint8_t destination[PUBKEY_LEN], const uint8_t payer[PUBKEY_LEN],
    struct solana_instruction *ix_r);

#endif
