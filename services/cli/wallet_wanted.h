/* wallet_wanted - is a transaction that the service built the one that was asked for? What was asked for is composed here anew, with the same builders and
 * from what was typed, and compared instruction by instruction, account by account, flag by flag. What the service may choose is little, and read from its
 * transaction: the collection of an NFT and the token account that is spent from (the programs refuse wrong ones), whether the recipient's token account is
 * created first and who of owner and agent pays that, whether a closed account's SOL goes to the owner or to the agent, Compute Budget up to
 * a maximum fee. Pure. */
#ifndef CLI_WALLET_WANTED_H
#define CLI_WALLET_WANTED_H

#include "common/solana_instruction.h"
#include "common/solana_tx.h"

enum wallet_want {
	WALLET_WANT_SOL,           /* amount of SOL to `to` */
	WALLET_WANT_TOKEN,         /* amount of the token `what` to `to`'s associated account */
	WALLET_WANT_NFT,           /* the Core asset `what` to `to`; an SPL NFT is a token */
	WALLET_WANT_CLOSE,         /* the token accounts in keys, or if there are none any */
	WALLET_WANT_REVOKE_RECORD, /* the execution delegate's record `what` */
	WALLET_WANT_REVOKE_TOKEN,  /* the delegate of token account `what` */
	WALLET_WANT_INSTRUCTIONS,  /* these, each within ExecuteV1 */
};

struct wallet_wanted {
	enum wallet_want want;
	uint8_t asset[PUBKEY_LEN];
	uint8_t owner[PUBKEY_LEN]; /* pays the fees, and alone signs */
	uint8_t what[PUBKEY_LEN], to[PUBKEY_LEN];
	const char *amount; /* as it was typed; NULL: all there is, which the service knows */
	const uint8_t (*keys)[PUBKEY_LEN];
	size_t n_keys;
	const struct solana_instruction *instructions;
	size_t n_instructions;
	uint64_t max_priority_lamports;
};

/* 0, or -1 with ERR_DENIED and reason not_asked_for (text: what is not), or ERR_INVALID, reason amount: it cannot be an amount of that token. */
int wallet_wanted_check(
    const struct wallet_wanted *wanted, const struct solana_tx *tx, struct error *err);

#endif
