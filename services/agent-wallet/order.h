/* order - what an owner wants, read from wallet.build: which operation, with its fields and no others, and which accounts have to be looked at before it
 * can be composed. Pure. */
#ifndef AGENT_WALLET_ORDER_H
#define AGENT_WALLET_ORDER_H

#include "common/base58.h"
#include "common/error.h"
#include "proto/wallet.h"

enum order_kind {
	ORDER_TRANSFER_SOL,
	ORDER_TRANSFER_TOKEN,
	ORDER_TRANSFER_NFT,
	ORDER_CLOSE_ACCOUNTS,
	ORDER_REVOKE_RECORD,
	ORDER_REVOKE_ACCOUNT,
	ORDER_INSTRUCTIONS
};

#define ORDER_CLOSE_MAX 8
/* Places of what is looked at; an operation's own accounts come from ORDER_AT_FIRST on. */
enum { ORDER_AT_WALLET, ORDER_AT_PAYER, ORDER_AT_FIRST };
enum { ORDER_AT_TO = ORDER_AT_FIRST }; /* transfer_sol */
enum {
	ORDER_AT_TOKEN_TO = ORDER_AT_FIRST,
	ORDER_AT_MINT,
	ORDER_AT_SOURCE,
	ORDER_AT_TARGET = ORDER_AT_SOURCE + 2
};
enum { ORDER_AT_NFT = ORDER_AT_FIRST, ORDER_AT_NFT_TO };
enum {
	ORDER_AT_RECORD = ORDER_AT_FIRST
}; /* and the token accounts of close_accounts and revoke_delegate */
#define ORDER_ACCOUNTS_MAX (ORDER_AT_FIRST + ORDER_CLOSE_MAX)

/* Whose wallet. All borrowed. */
struct order_owner {
	const uint8_t *asset, *payer, *wallet, *collection;
};

struct order {
	enum order_kind kind;
	struct order_owner owner;
	const struct wallet_build_req *req;           /* borrowed */
	uint8_t keys[ORDER_ACCOUNTS_MAX][PUBKEY_LEN]; /* to be looked at */
	size_t n_keys;
};

/* ERR_INVALID: operation_invalid, address_invalid, recipient_off_curve, recipient_self, recipient_refused. ERR_DENIED: dangerous. */
int order_read(const struct wallet_build_req *req, const struct order_owner *owner,
    struct order *order_r, struct error *err);

#endif
