#include "tests/sim/chain.h"

#include <string.h>

#include "common/base58.h"
#include "common/pubkey.h"

#define OWNERS_MAX 64
#define FIRST_SLOT 1000

struct asset {
	unsigned len;
	struct {
		uint64_t slot;
		unsigned wallet; /* CHAIN_WALLETS: nobody */
	} owner[OWNERS_MAX];
};

static struct {
	unsigned nassets, behind, lies_percent;
	uint64_t slot_us;
	struct asset asset[CHAIN_ASSETS];
} own;
/* the same in every seed */
static struct {
	bool is_ready;
	char asset[CHAIN_ASSETS][PUBKEY_TEXT_MAX + 1], wallet[CHAIN_WALLETS][PUBKEY_TEXT_MAX + 1];
	char agent[CHAIN_ASSETS][AGENT_ID_LEN + 1];
} names;

static void name_all(void)
{
	uint8_t key[PUBKEY_LEN];

	for (unsigned i = 0; i < CHAIN_ASSETS + CHAIN_WALLETS; i++) {
		memset(key, (int)(17 + 13 * i), sizeof(key));
		bool is_asset = i < CHAIN_ASSETS;
		pubkey_text(key, is_asset ? names.asset[i] : names.wallet[i - CHAIN_ASSETS]);
		if (is_asset)
			agent_id(key, names.agent[i]);
	}
	names.is_ready = true;
}

static uint64_t slot_now(void)
{
	return FIRST_SLOT + world.now / own.slot_us;
}

void chain_begin(void)
{
	if (!names.is_ready)
		name_all();
	own.nassets = (unsigned)world_between(1, CHAIN_ASSETS);
	own.slot_us = world_between(80, 400) * MS;
	own.behind = own.lies_percent = 0;
	for (unsigned i = 0; i < own.nassets; i++) {
		own.asset[i].len = 1;
		own.asset[i].owner[0].slot = 1;
		own.asset[i].owner[0].wallet = i;
	}
}

unsigned chain_nassets(void)
{
	return own.nassets;
}

const char *chain_asset(unsigned asset)
{
	return names.asset[asset];
}

const char *chain_agent(unsigned asset)
{
	return names.agent[asset];
}

const char *chain_wallet(unsigned wallet)
{
	return wallet < CHAIN_WALLETS ? names.wallet[wallet] : LEDGER_NOBODY;
}

static const char *owner_at(unsigned asset, uint64_t slot)
{
	const struct asset *of = &own.asset[asset];
	unsigned i = of->len - 1;

	while (i > 0 && of->owner[i].slot > slot)
		i--;
	return chain_wallet(of->owner[i].wallet);
}

const char *chain_owner(unsigned asset)
{
	return owner_at(asset, slot_now());
}

/* Within one slot only the last one is ever seen. */
void chain_transfer(unsigned asset, unsigned wallet)
{
	struct asset *of = &own.asset[asset];

	if (of->owner[of->len - 1].slot != slot_now()) {
		if (of->len == OWNERS_MAX)
			return;
		of->len++;
	}
	of->owner[of->len - 1].slot = slot_now();
	of->owner[of->len - 1].wallet = wallet;
	world_trace("chain: %.8s belongs to %.8s, slot %llu", chain_asset(asset),
	    chain_wallet(wallet), (unsigned long long)slot_now());
}

/* (the slot that is under way has not ended: it may still change hands) */
bool chain_read(unsigned asset, uint64_t least_slot, struct chain_view *view_r)
{
	uint64_t late = world_between(1, 1 + own.behind);
	uint64_t slot = slot_now() - late;

	if (slot < least_slot)
		return false;
	view_r->slot = slot;
	view_r->owner = owner_at(asset, slot);
	if (world_chance(own.lies_percent))
		view_r->owner = owner_at(asset, slot - world_below(12));
	return true;
}

void chain_trouble(unsigned behind, unsigned lies_percent)
{
	own.behind = behind;
	own.lies_percent = lies_percent;
}
