/* view - what is to be said of a wallet, from what was read of the chain: clean, or captured and why; execution delegates with what they can do. Pure. */
#ifndef AGENT_WALLET_VIEW_H
#define AGENT_WALLET_VIEW_H

#include "common/base58.h"
#include "proto/wallet.h"

/* Who looks, and since when the wallet is the owner's. */
struct view_owner {
	const char *pda; /* base58 */
	const uint8_t *asset;
};

/* An associated account of the wallet's: where others send what is meant for it, whoever's it is by now. */
struct view_place {
	uint8_t mint[PUBKEY_LEN], account[PUBKEY_LEN];
};
#define VIEW_PLACES_MAX 64
/* Those of wrapped SOL, USDC, USDT and the tokens held, in the Token program and without those that are listed as the wallet's; Token-2022's cannot be given
 * away. Returns how many. */
size_t view_places(const struct view_owner *owner, const struct wallet_show_rsp *rsp,
    struct view_place places_r[VIEW_PLACES_MAX]);
/* account: what is there, with the beginning of its data. */
void view_judge_place(const struct view_owner *owner, const struct view_place *place,
    const struct accounts_item *account, struct wallet_show_rsp *rsp);

/* Adds lines, state, usable, address; lines that are there already, of view_judge_place, are why it is captured. holdings, delegates, identity, execute_frozen are filled in already. */
void view_judge(const struct view_owner *owner, const struct accounts_item *wallet,
    struct wallet_show_rsp *rsp);
/* Of the asset's own account: what cannot be read may carry an AgentIdentity. */
void view_add_asset(const struct chain_account_rsp *account, struct wallet_show_rsp *rsp);
/* Adds what nodes name, if its address is that of such a record: another is a node's lie. Returns how many were none. */
size_t view_add_delegates(
    const struct chain_records_rsp *records, const uint8_t asset[32], struct wallet_show_rsp *rsp);
/* made_slot: of the oldest transaction that names the record, 0 if not known; other_slot: somebody else was seen as owner up to there; slot: of proof. */
void view_set_age(
    struct delegates_item *delegate, uint64_t made_slot, uint64_t other_slot, uint64_t slot);

#endif
