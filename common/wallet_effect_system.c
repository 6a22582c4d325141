#include "common/little_endian.h"
#include "common/solana_ix_system.h"
#include "common/wallet_amount.h"
#include "common/wallet_effect.h"

static void explain_transfer(const struct wallet_effect *effect, struct wallet_line *line)
{
	char amount[WALLET_AMOUNT_MAX];

	wallet_effect_say(line, "Send %s SOL from ",
	    wallet_amount_text(little_endian_u64(effect->data + 4), WALLET_SOL_DECIMALS, amount));
	wallet_effect_say_spender(
	    effect, wallet_effect_key(effect, 0), wallet_effect_key(effect, 1), line);
	wallet_effect_say(line, " to ");
	wallet_effect_say_recipient(effect, wallet_effect_key(effect, 1), line);
}

static void explain_create(const struct wallet_effect *effect, struct wallet_line *line)
{
	char amount[WALLET_AMOUNT_MAX], program[PUBKEY_TEXT_MAX + 1];

	wallet_effect_say(line, "Create account ");
	wallet_effect_say_key(effect, wallet_effect_key(effect, 1), line);
	wallet_effect_say(line, " of program %s with %s SOL and %llu bytes, paid by ",
	    pubkey_text(effect->data + 20, program),
	    wallet_amount_text(little_endian_u64(effect->data + 4), WALLET_SOL_DECIMALS, amount),
	    (unsigned long long)little_endian_u64(effect->data + 12));
	wallet_effect_say_key(effect, wallet_effect_key(effect, 0), line);
	line->warning = true;
}

static void explain_assign(const struct wallet_effect *effect, struct wallet_line *line)
{
	char program[PUBKEY_TEXT_MAX + 1];

	wallet_effect_say(line, "Give ");
	wallet_effect_say_key(effect, wallet_effect_key(effect, 0), line);
	wallet_effect_say(line, " to program %s, which then decides over all it holds",
	    pubkey_text(effect->data + 4, program));
	line->warning = true;
}

static void explain_allocate(const struct wallet_effect *effect, struct wallet_line *line)
{
	wallet_effect_say(line, "Give ");
	wallet_effect_say_key(effect, wallet_effect_key(effect, 0), line);
	wallet_effect_say(line, " %llu bytes of data, after which it is no ordinary wallet",
	    (unsigned long long)little_endian_u64(effect->data + 4));
	line->warning = true;
}

bool wallet_effect_system(const struct wallet_effect *effect, struct wallet_line *line)
{
	static const struct {
		uint32_t number;
		size_t n_accounts, data_len;
		void (*explain)(const struct wallet_effect *effect, struct wallet_line *line);
	} known[] = {
	    {SOLANA_SYSTEM_TRANSFER, 2, 12, explain_transfer},
	    {SOLANA_SYSTEM_CREATE_ACCOUNT, 2, 52, explain_create},
	    {SOLANA_SYSTEM_ASSIGN, 1, 36, explain_assign},
	    {SOLANA_SYSTEM_ALLOCATE, 1, 12, explain_allocate},
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (effect->data_len == known[i].data_len &&
		    effect->n_accounts == known[i].n_accounts &&
		    little_endian_u32(effect->data) == known[i].number) {
			known[i].explain(effect, line);
			return true;
		}
	return false;
}
