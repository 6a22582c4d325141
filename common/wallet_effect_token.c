#include <string.h>

#include "common/little_endian.h"
#include "common/pubkey.h"
#include "common/solana_ix_token.h"
#include "common/solana_pda.h"
#include "common/solana_program.h"
#include "common/wallet_amount.h"
#include "common/wallet_effect.h"

/* Accounts of the Associated Token Account program's two ways to create. */
enum { CREATE_FUNDER, CREATE_ACCOUNT, CREATE_WALLET, CREATE_MINT, CREATE_SYSTEM, CREATE_PROGRAM };

static bool belongs_to(const uint8_t *wallet, const uint8_t *account, const uint8_t *mint,
    const uint8_t *token_program)
{
	uint8_t pda[PUBKEY_LEN];

	return wallet && solana_pda_associated_token(wallet, token_program, mint, pda) == 0 &&
	       memcmp(pda, account, PUBKEY_LEN) == 0;
}

/* The wallet that an instruction of the transaction creates this account for, wrapped or not; not verified yet. */
static const uint8_t *created_for(const struct solana_tx *tx, const uint8_t *account)
{
	const uint8_t *creator = solana_program_key(SOLANA_PROGRAM_ASSOCIATED_TOKEN);

	for (size_t i = 0; i < tx->n_instructions; i++) {
		const struct solana_tx_instruction *ix = &tx->instructions[i];
		/* the creator's accounts, wherever its id stands before them */
		bool direct = memcmp(solana_tx_program(tx, ix), creator, PUBKEY_LEN) == 0;
		bool within = ix->n_accounts > 7 &&
			      memcmp(solana_tx_account(tx, ix, 6), creator, PUBKEY_LEN) == 0;
		size_t first = direct ? 0 : 7;
		if ((direct || within) && ix->n_accounts == first + CREATE_PROGRAM + 1 &&
		    memcmp(solana_tx_account(tx, ix, first + CREATE_ACCOUNT), account,
			PUBKEY_LEN) == 0)
			return solana_tx_account(tx, ix, first + CREATE_WALLET);
	}
	return NULL;
}

/* Whose associated account this is, as far as the bytes and the hints tell; NULL if they do not. */
static const uint8_t *holder(
    const struct wallet_effect *effect, const uint8_t *account, const uint8_t *mint)
{
	const struct wallet_hints *hints = effect->hints;
	const uint8_t *known[] = {
	    created_for(effect->tx, account), effect->wallet, solana_tx_key(effect->tx, 0)};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (belongs_to(known[i], account, mint, effect->program))
			return known[i];
	for (size_t i = 0; hints && i < hints->n_wallets; i++)
		if (belongs_to(hints->wallets[i], account, mint, effect->program))
			return hints->wallets[i];
	return NULL;
}

static bool is_2022(const uint8_t *program)
{
	return solana_program_of(program) == SOLANA_PROGRAM_TOKEN_2022;
}

static void say_amount(const struct wallet_effect *effect, const uint8_t *mint, const char *verb,
    struct wallet_line *line)
{
	char amount[WALLET_AMOUNT_MAX], text[PUBKEY_TEXT_MAX + 1];
	uint8_t decimals = effect->data[9];

	wallet_effect_say(line, "%s %s of token %s (%u decimals%s) ", verb,
	    wallet_amount_text(little_endian_u64(effect->data + 1), decimals, amount),
	    pubkey_text(mint, text), decimals, is_2022(effect->program) ? ", Token-2022" : "");
}

/* ...of a token whose mint, and so its decimals, the instruction does not name. */
static void say_units(
    const struct wallet_effect *effect, const char *verb, struct wallet_line *line)
{
	wallet_effect_say(line, "%s %llu smallest units of a token that is not named, ", verb,
	    (unsigned long long)little_endian_u64(effect->data + 1));
	line->warning = true;
}

static void say_account(
    const struct wallet_effect *effect, size_t account, struct wallet_line *line)
{
	wallet_effect_say_key(effect, wallet_effect_key(effect, account), line);
}

static void explain_transfer_checked(const struct wallet_effect *effect, struct wallet_line *line)
{
	const uint8_t *mint = wallet_effect_key(effect, 1), *to = wallet_effect_key(effect, 2),
		      *wallet = holder(effect, to, mint);
	char text[PUBKEY_TEXT_MAX + 1];

	say_amount(effect, mint, "Send", line);
	wallet_effect_say(line, "of ");
	wallet_effect_say_spender(effect, wallet_effect_key(effect, 3), wallet, line);
	wallet_effect_say(line, " from token account ");
	say_account(effect, 0, line);
	wallet_effect_say(line, " to ");
	if (wallet) {
		wallet_effect_say_recipient(effect, wallet, line);
		wallet_effect_say(line, ", token account %s", pubkey_text(to, text));
	} else {
		wallet_effect_say(line,
		    "token account %s, whose owner the transaction does not name",
		    pubkey_text(to, text));
		line->warning = true;
	}
	/* whether it does, only the mint's account says */
	if (is_2022(effect->program))
		wallet_effect_say(line, ", less what its mint withholds");
}

static void explain_transfer(const struct wallet_effect *effect, struct wallet_line *line)
{
	say_units(effect, "Send", line);
	wallet_effect_say(line, "of ");
	say_account(effect, 2, line);
	wallet_effect_say(line, " from token account ");
	say_account(effect, 0, line);
	wallet_effect_say(line, " to token account ");
	say_account(effect, 1, line);
}

static void explain_close(const struct wallet_effect *effect, struct wallet_line *line)
{
	wallet_effect_say(line, "Close token account ");
	say_account(effect, 0, line);
	wallet_effect_say(line, " of ");
	say_account(effect, 2, line);
	wallet_effect_say(line, "; the SOL in it goes to ");
	wallet_effect_say_recipient(effect, wallet_effect_key(effect, 1), line);
}

static void explain_revoke(const struct wallet_effect *effect, struct wallet_line *line)
{
	wallet_effect_say(line, "Take the delegate off token account ");
	say_account(effect, 0, line);
	wallet_effect_say(line, " of ");
	say_account(effect, 1, line);
}

static void explain_approve(const struct wallet_effect *effect, struct wallet_line *line)
{
	say_units(effect, "Approve spending", line);
	wallet_effect_say(line, "from token account ");
	say_account(effect, 0, line);
	wallet_effect_say(line, ", by ");
	say_account(effect, 1, line);
}

static void explain_approve_checked(const struct wallet_effect *effect, struct wallet_line *line)
{
	say_amount(effect, wallet_effect_key(effect, 1), "Approve spending", line);
	wallet_effect_say(line, "from token account ");
	say_account(effect, 0, line);
	wallet_effect_say(line, ", by ");
	say_account(effect, 2, line);
	line->warning = true;
}

static void explain_burn(const struct wallet_effect *effect, struct wallet_line *line)
{
	if (effect->data[0] == SOLANA_TOKEN_BURN_CHECKED)
		say_amount(effect, wallet_effect_key(effect, 1), "Destroy", line);
	else
		say_units(effect, "Destroy", line);
	wallet_effect_say(line, "in token account ");
	say_account(effect, 0, line);
	line->warning = true;
}

static void explain_authority(const struct wallet_effect *effect, struct wallet_line *line)
{
	char text[PUBKEY_TEXT_MAX + 1];

	wallet_effect_say(line, "Change who controls ");
	say_account(effect, 0, line);
	wallet_effect_say(line, " (authority %u) to %s", effect->data[1],
	    effect->data[2] ? pubkey_text(effect->data + 3, text) : "nobody");
	line->warning = true;
}

bool wallet_effect_token(const struct wallet_effect *effect, struct wallet_line *line)
{
	static const struct {
		uint8_t number;
		size_t n_accounts, data_len;
		void (*explain)(const struct wallet_effect *effect, struct wallet_line *line);
	} known[] = {
	    {SOLANA_TOKEN_TRANSFER_CHECKED, 4, 10, explain_transfer_checked},
	    {SOLANA_TOKEN_TRANSFER, 3, 9, explain_transfer},
	    {SOLANA_TOKEN_CLOSE_ACCOUNT, 3, 1, explain_close},
	    {SOLANA_TOKEN_REVOKE, 2, 1, explain_revoke},
	    {SOLANA_TOKEN_APPROVE, 3, 9, explain_approve},
	    {SOLANA_TOKEN_APPROVE_CHECKED, 4, 10, explain_approve_checked},
	    {SOLANA_TOKEN_BURN, 3, 9, explain_burn},
	    {SOLANA_TOKEN_BURN_CHECKED, 3, 10, explain_burn},
	    {SOLANA_TOKEN_SET_AUTHORITY, 2, 35, explain_authority},
	    {SOLANA_TOKEN_SET_AUTHORITY, 2, 3, explain_authority},
	};
	size_t len = effect->data_len;

	/* with a new authority there are 35 bytes, without one 3 */
	if (len > 2 && effect->data[0] == SOLANA_TOKEN_SET_AUTHORITY &&
	    effect->data[2] != (len == 35))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (len == known[i].data_len && effect->n_accounts == known[i].n_accounts &&
		    effect->data[0] == known[i].number) {
			known[i].explain(effect, line);
			return true;
		}
	return false;
}

bool wallet_effect_associated(const struct wallet_effect *effect, struct wallet_line *line)
{
	char text[PUBKEY_TEXT_MAX + 1], rent[WALLET_AMOUNT_MAX];

	if (effect->n_accounts != CREATE_PROGRAM + 1 || effect->data_len != 1 ||
	    effect->data[0] > SOLANA_ASSOCIATED_CREATE_IDEMPOTENT ||
	    !belongs_to(wallet_effect_key(effect, CREATE_WALLET),
		wallet_effect_key(effect, CREATE_ACCOUNT), wallet_effect_key(effect, CREATE_MINT),
		wallet_effect_key(effect, CREATE_PROGRAM)))
		return false;
	wallet_effect_say(line, "Create token account ");
	say_account(effect, CREATE_ACCOUNT, line);
	wallet_effect_say(line, " of ");
	wallet_effect_say_recipient(effect, wallet_effect_key(effect, CREATE_WALLET), line);
	wallet_effect_say(line, " for token %s%s; ",
	    pubkey_text(wallet_effect_key(effect, CREATE_MINT), text),
	    effect->data[0] == SOLANA_ASSOCIATED_CREATE_IDEMPOTENT ? ", if it is missing" : "");
	say_account(effect, CREATE_FUNDER, line);
	bool longer = is_2022(wallet_effect_key(effect, CREATE_PROGRAM));
	wallet_effect_say(line, " pays its rent, %s %s SOL", longer ? "at least" : "about",
	    wallet_amount_text(
		longer ? SOLANA_TOKEN_2022_RENT : SOLANA_TOKEN_RENT, WALLET_SOL_DECIMALS, rent));
	return true;
}
