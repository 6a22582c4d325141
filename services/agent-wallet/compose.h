/* compose - from an order and what was read of the chain to an unsigned transaction, or to the refusal with its numbers. Pure. What was read is a node's
 * word: a lie in it makes a transaction that fails or that the owner is shown for what it is, as the summary is made from the bytes. */
#ifndef AGENT_WALLET_COMPOSE_H
#define AGENT_WALLET_COMPOSE_H

#include "common/solana_tx.h"
#include "services/agent-wallet/order.h"

struct compose_facts {
	const struct accounts_item *accounts; /* in the order of order's keys */
	uint64_t rent_zero,
	    rent_seven; /* of accounts with 0 and 7 bytes; what Core takes for ExecuteV1 is the difference */
	uint64_t rent_created; /* of the account that is created, with compose_created_size bytes */
	uint8_t blockhash[SOLANA_BLOCKHASH_LEN];
};

struct composed {
	uint8_t bytes[SOLANA_TX_MAX];
	size_t len;
	uint64_t fee_lamports, execute_lamports, rent_lamports; /* paid by the owner */
	unsigned
	    fee_bps; /* of what is sent the token's program may withhold that much, in hundredths of a percent */
};

/* Of a wallet's account: absent, or System-owned without data. why_r (may be NULL) says what it is otherwise. */
bool compose_wallet_is_clean(const struct accounts_item *wallet, const char **why_r);
/* Of the recipient's token account, if it has to be created; else 0. */
size_t compose_created_size(const struct order *order, const struct accounts_item *accounts);
int compose(const struct order *order, const struct compose_facts *facts,
    struct composed *composed_r, struct error *err);

#endif
