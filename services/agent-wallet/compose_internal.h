/* compose_internal - a transaction while it is composed: compose.c, and compose_token.c for what token programs do. */
#ifndef AGENT_WALLET_COMPOSE_INTERNAL_H
#define AGENT_WALLET_COMPOSE_INTERNAL_H

#include "common/solana_instruction.h"
#include "common/solana_program.h"
#include "services/agent-wallet/compose.h"

#define COMPOSE_INSTRUCTIONS_MAX (1 + ORDER_CLOSE_MAX)

/* What is being composed. */
struct draft {
	const struct order *order;
	const struct compose_facts *facts;
	struct solana_instruction instructions[COMPOSE_INSTRUCTIONS_MAX];
	size_t n, n_executes;
	uint64_t rent;
	unsigned fee_bps;
	struct error *err;
};

/* Of an account that exists and whose owner is one of ours; else OTHER. */
enum solana_program compose_program_of(const struct accounts_item *account);
bool compose_is_token_program(enum solana_program program);
/* One whom what is sent does not reach is refused: a program, a mint, a token account, an NFT, a burned one's remains. Only what is not there yet, or is the
 * System Program's, is somebody's wallet. */
int compose_check_recipient(const struct draft *draft, size_t at);
/* Room for another instruction; borrowed of the draft. */
struct solana_instruction *compose_next(struct draft *draft);
/* Adds inner, put into an ExecuteV1 of the wallet's. */
int compose_execute(struct draft *draft, const struct solana_instruction *inner);

int compose_transfer_token(struct draft *draft);
int compose_close_accounts(struct draft *draft);
int compose_revoke_account(struct draft *draft);

#endif
