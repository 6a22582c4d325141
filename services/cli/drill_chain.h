/* drill_chain - the drill's side of the development chain: an asset of its own, minted for the drill, given back and forth, burned at the end. No other asset
 * can be named to it. Blocking, but for the loop that performs the requests.
 */
#ifndef CLI_DRILL_CHAIN_H
#define CLI_DRILL_CHAIN_H

#include "common/base58.h"
#include "services/cli/web.h"

struct drill_chain {
	char url[128]; /* of its RPC, on this machine */
	struct web_loop loop;
	char asset[PUBKEY_TEXT_MAX + 1]; /* "" until it is minted */
};

/* Checks that a development chain answers at url, and nothing else than one. loop: borrowed, without its connect_to. ERR_DENIED, ERR_UNAVAILABLE. */
int drill_chain_open(
    struct drill_chain *chain, const char *url, const struct web_loop *loop, struct error *err);
/* ERR_DENIED where the collection is not on this chain: then the suite stands on another. */
int drill_chain_mint(
    struct drill_chain *chain, const char *collection, const char *owner, struct error *err);
/* Waits until the new owner is confirmed. slot_r: when it changed. */
int drill_chain_transfer(
    struct drill_chain *chain, const char *to, uint64_t *slot_r, struct error *err);
void drill_chain_burn(struct drill_chain *chain);
/* When the asset's change at slot or later was first pushed to a WebSocket, in Unix microseconds; 0: it was not. */
uint64_t drill_chain_pushed(struct drill_chain *chain, uint64_t slot);
/* Is there a fault at every node that keeps pushes from coming in time? */
bool drill_chain_is_mute(struct drill_chain *chain);

#endif
