/* asking - a call made for an owner: session says who it is (never router), the ledger that nobody else was seen to own the asset since, and a token
 * bucket of the asset that there are not too many. Then the call goes on in next. */
#ifndef AGENT_WALLET_ASKING_H
#define AGENT_WALLET_ASKING_H

#include "services/agent-wallet/wallet.h"

/* First member of each call's own struct, which was made with malloc and ends with the request. */
struct asking {
	struct wallet *wallet;
	struct bus_request *request;
	bool is_build; /* counts as one, not as another call */
	bool is_alone; /* one at a time for an asset: it asks nodes for much */
	bool has_turn; /* it is the one */
	void (*next)(struct asking *asking);
	void (*owned)(struct asking *asking); /* of asking_read_owner */
	LIST_ENTRY(asking) link;
	uint64_t ticket;   /* of an event that came meanwhile: follower_hold */
	bool is_overtaken; /* by it: what was judged before may hold no more */

	/* once next is called */
	char asset[PUBKEY_TEXT_MAX + 1], owner[PUBKEY_TEXT_MAX + 1], pda[PUBKEY_TEXT_MAX + 1];
	uint8_t asset_key[PUBKEY_LEN], owner_key[PUBKEY_LEN], pda_key[PUBKEY_LEN];
	uint64_t slot;       /* of proof, the session's */
	uint64_t other_slot; /* up to which somebody else was seen to own it */
};

/* Something of asset ("*": of all) ended: what is under way of it is judged anew, by whoever asks again. */
void askings_overtake(struct wallet *wallet, const char *asset);
/* Before the step that cannot be taken back: -1 if an event came since it was judged. */
int asking_still(const struct asking *asking, struct error *err);
/* Takes asking over, once wallet, request, is_build, is_alone and next are set. token: borrowed of the request. */
void asking_begin(struct asking *asking, const char *token);
/* Each ends the request and asking. */
void asking_refuse(struct asking *asking, const struct error *err);
void asking_reply(struct asking *asking, const void *rsp);
/* Reads the owner from the chain, as for a sign-in, and goes on in owned if it is still this one: else denied, not_owner or asset_refused. */
void asking_read_owner(struct asking *asking, void (*owned)(struct asking *asking));
/* A call of chain-oracle's, for this request. arg of done is asking. */
void asking_ask(
    struct asking *asking, const struct proto_call *call, const void *req, bus_done done);

#endif
