/* push_message - what a node says over PubSub (solana-wire.md 4.2), sorted. Hostile input. */
#ifndef CHAIN_ORACLE_PUSH_MESSAGE_H
#define CHAIN_ORACLE_PUSH_MESSAGE_H

#include "services/chain-oracle/rpc_answer.h"

enum push_kind {
	PUSH_REPLY,   /* id, subscription (or `true`, of an unsubscribe: then 0) */
	PUSH_REFUSAL, /* id */
	PUSH_ACCOUNT, /* subscription, slot, account */
	PUSH_PROGRAM, /* subscription, slot, key, account */
	PUSH_SLOT,    /* subscription */
	PUSH_OTHER,   /* nothing that was asked for */
};
struct push_message {
	enum push_kind kind;
	uint64_t id, subscription, slot;
	uint8_t key[PUBKEY_LEN];
	struct rpc_account account;
	char text[80]; /* of a refusal */
};
/* -1 with ERR_INVALID: not a message of PubSub at all, or one of ours with the wrong content. */
int push_message_read(
    const char *text, size_t len, struct push_message *message_r, struct error *err);

#endif
