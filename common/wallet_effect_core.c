#include <string.h>

#include "common/little_endian.h"
#include "common/pubkey.h"
#include "common/solana_ix_agent.h"
#include "common/solana_ix_core.h"
#include "common/solana_pda.h"
#include "common/solana_program.h"
#include "common/wallet_effect.h"

/* Accounts of TransferV1 and BurnV1. */
enum { NFT_ASSET, NFT_COLLECTION, NFT_PAYER, NFT_AUTHORITY, NFT_NEW_OWNER };
enum { TRANSFER_ACCOUNTS = 7, BURN_ACCOUNTS = 6 };

static bool is(const struct wallet_effect *effect, size_t account, const uint8_t *key)
{
	return memcmp(wallet_effect_key(effect, account), key, PUBKEY_LEN) == 0;
}

/* number, then "no compression proof" */
static bool is_nft_instruction(
    const struct wallet_effect *effect, uint8_t number, size_t n_accounts)
{
	return effect->n_accounts == n_accounts && effect->data_len == 2 &&
	       effect->data[0] == number && effect->data[1] == 0;
}

static void say_nft(const struct wallet_effect *effect, struct wallet_line *line)
{
	char text[PUBKEY_TEXT_MAX + 1];

	wallet_effect_say(line, "NFT %s", pubkey_text(wallet_effect_key(effect, NFT_ASSET), text));
	if (!is(effect, NFT_COLLECTION, effect->program))
		wallet_effect_say(line, " of collection %s",
		    pubkey_text(wallet_effect_key(effect, NFT_COLLECTION), text));
}

static void explain_transfer(const struct wallet_effect *effect, struct wallet_line *line)
{
	wallet_effect_say(line, "Hand over ");
	say_nft(effect, line);
	wallet_effect_say(line, " to ");
	wallet_effect_say_recipient(effect, wallet_effect_key(effect, NFT_NEW_OWNER), line);
	/* whoever gets the asset itself gets everything the agent has */
	if (effect->hints && effect->hints->asset && is(effect, NFT_ASSET, effect->hints->asset)) {
		wallet_effect_say(line, ": the agent itself, with its wallet");
		line->warning = true;
	}
}

static void explain_burn(const struct wallet_effect *effect, struct wallet_line *line)
{
	wallet_effect_say(line, "Destroy ");
	say_nft(effect, line);
	line->warning = true;
}

/* Is the first inner account the record by which the authority may execute? The program takes it off before the inner call, as it does any record, which the bytes do not
 * show: of another's the inner instruction has one account less than here. Whatever is called known is known by its exact number of accounts, and needs them all, so that
 * what is shown then fails on the chain and does nothing else. */
static bool has_record(const struct wallet_effect *effect)
{
	uint8_t profile[PUBKEY_LEN], record[PUBKEY_LEN];
	bool apart = !is(effect, SOLANA_EXECUTE_AUTHORITY, effect->program);

	return effect->n_accounts > SOLANA_EXECUTE_INNER &&
	       solana_pda_executive_profile(
		   wallet_effect_key(
		       effect, apart ? SOLANA_EXECUTE_AUTHORITY : SOLANA_EXECUTE_PAYER),
		   profile) == 0 &&
	       solana_pda_execution_delegate_record(
		   profile, wallet_effect_key(effect, SOLANA_EXECUTE_ASSET), record) == 0 &&
	       is(effect, SOLANA_EXECUTE_INNER, record);
}

static bool is_execute(const struct wallet_effect *effect)
{
	uint8_t pda[PUBKEY_LEN];

	return !effect->wrapped && effect->n_accounts >= SOLANA_EXECUTE_INNER &&
	       effect->data_len >= 5 && effect->data[0] == SOLANA_CORE_EXECUTE &&
	       little_endian_u32(effect->data + 1) == effect->data_len - 5 &&
	       is(effect, SOLANA_EXECUTE_SYSTEM, solana_program_key(SOLANA_PROGRAM_SYSTEM)) &&
	       pubkey_asset_signer(wallet_effect_key(effect, SOLANA_EXECUTE_ASSET), pda, NULL) ==
		   0 &&
	       is(effect, SOLANA_EXECUTE_SIGNER, pda);
}

static void explain_execute(const struct wallet_effect *effect, struct wallet_line *line)
{
	bool delegated = has_record(effect);
	size_t first = SOLANA_EXECUTE_INNER + delegated;
	const uint8_t *signer = wallet_effect_key(effect, SOLANA_EXECUTE_SIGNER);
	struct wallet_effect inner = *effect;

	inner.program = wallet_effect_key(effect, SOLANA_EXECUTE_PROGRAM);
	inner.accounts = effect->accounts + first;
	inner.n_accounts = effect->n_accounts - first;
	inner.data = effect->data + 5;
	inner.data_len = effect->data_len - 5;
	inner.wrapped = true;
	if (delegated) {
		wallet_effect_say(line, "By an execution delegate, not by the owner: ");
		line->warning = true;
	}
	if (effect->wallet && memcmp(signer, effect->wallet, PUBKEY_LEN) != 0) {
		char text[PUBKEY_TEXT_MAX + 1];
		wallet_effect_say(
		    line, "From another agent's wallet %s: ", pubkey_text(signer, text));
		line->warning = true;
	}
	wallet_effect_explain(&inner, line);
	wallet_effect_say(line, " [signed by the wallet of asset ");
	wallet_effect_say_key(effect, wallet_effect_key(effect, SOLANA_EXECUTE_ASSET), line);
	wallet_effect_say(line, "]");
}

bool wallet_effect_core(const struct wallet_effect *effect, struct wallet_line *line)
{
	if (is_execute(effect))
		explain_execute(effect, line);
	else if (is_nft_instruction(effect, SOLANA_CORE_TRANSFER, TRANSFER_ACCOUNTS))
		explain_transfer(effect, line);
	else if (is_nft_instruction(effect, SOLANA_CORE_BURN, BURN_ACCOUNTS))
		explain_burn(effect, line);
	else
		return false;
	return true;
}

bool wallet_effect_agent(const struct wallet_effect *effect, struct wallet_line *line)
{
	static const uint8_t padding[7];
	char record[PUBKEY_TEXT_MAX + 1], asset[PUBKEY_TEXT_MAX + 1];

	if (effect->data_len != 8 || memcmp(effect->data + 1, padding, 7) != 0)
		return false;
	if (effect->data[0] == SOLANA_AGENT_REVOKE && effect->n_accounts == 6) {
		wallet_effect_say(line,
		    "Revoke execution delegate record %s of asset %s; the SOL in it goes to ",
		    pubkey_text(wallet_effect_key(effect, 0), record),
		    pubkey_text(wallet_effect_key(effect, 1), asset));
		wallet_effect_say_recipient(effect, wallet_effect_key(effect, 2), line);
		return true;
	}
	if (effect->data[0] == SOLANA_AGENT_DELEGATE && effect->n_accounts == 7) {
		wallet_effect_say(line,
		    "Let executive profile %s spend from the wallet of asset %s, also after a sale",
		    pubkey_text(wallet_effect_key(effect, 0), record),
		    pubkey_text(wallet_effect_key(effect, 1), asset));
		line->warning = true;
		return true;
	}
	return false;
}
