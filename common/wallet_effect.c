#include "common/wallet_effect.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/pubkey.h"
#include "common/solana_lighthouse.h"
#include "common/solana_program.h"

const uint8_t *wallet_effect_key(const struct wallet_effect *effect, size_t account)
{
	return solana_tx_key(effect->tx, effect->accounts[account]);
}

void wallet_effect_say(struct wallet_line *line, const char *fmt, ...)
{
	static const char cut[] = "...";
	size_t at = strlen(line->text);
	va_list args;

	va_start(args, fmt);
	int n = vsnprintf(line->text + at, sizeof(line->text) - at, fmt, args);
	va_end(args);
	if (n >= 0 && (size_t)n < sizeof(line->text) - at)
		return;
	memcpy(line->text + sizeof(line->text) - sizeof(cut), cut, sizeof(cut));
	line->warning = true;
}

static bool is_key(const uint8_t *key, const uint8_t other[PUBKEY_LEN])
{
	return key && memcmp(key, other, PUBKEY_LEN) == 0;
}

void wallet_effect_say_key(
    const struct wallet_effect *effect, const uint8_t key[PUBKEY_LEN], struct wallet_line *line)
{
	char text[PUBKEY_TEXT_MAX + 1];

	if (is_key(effect->wallet, key))
		wallet_effect_say(line, "the agent's wallet ");
	else if (is_key(solana_tx_key(effect->tx, 0), key))
		wallet_effect_say(line, "the fee payer ");
	wallet_effect_say(line, "%s", pubkey_text(key, text));
}

void wallet_effect_say_spender(const struct wallet_effect *effect, const uint8_t key[PUBKEY_LEN],
    const uint8_t *to, struct wallet_line *line)
{
	wallet_effect_say_key(effect, key, line);
	if (!effect->wallet || is_key(key, effect->wallet) || is_key(to, effect->wallet))
		return;
	wallet_effect_say(line, " (not the agent's money)");
	line->warning = true;
}

void wallet_effect_say_recipient(
    const struct wallet_effect *effect, const uint8_t key[PUBKEY_LEN], struct wallet_line *line)
{
	wallet_effect_say_key(effect, key, line);
	if (is_key(effect->wallet, key) || pubkey_is_on_curve(key))
		return;
	wallet_effect_say(line, " (a program's address: nobody has its key)");
	line->warning = true;
}

bool wallet_effect_lighthouse(const struct wallet_effect *effect, struct wallet_line *line)
{
	if (!solana_lighthouse_is_assertion(effect->data, effect->data_len))
		return false;
	wallet_effect_say(line,
	    "Check by Lighthouse (number %u, %zu accounts): it moves nothing, and fails the "
	    "transaction if an account is not as the wallet expects",
	    effect->data[0], effect->n_accounts);
	return true;
}

static void explain_unknown(const struct wallet_effect *effect, struct wallet_line *line)
{
	enum solana_program program = solana_program_of(effect->program);
	size_t n_writable = 0, n_signers = 0;
	char text[PUBKEY_TEXT_MAX + 1];

	for (size_t i = 0; i < effect->n_accounts; i++) {
		n_writable += solana_tx_is_writable(effect->tx, effect->accounts[i]);
		n_signers += solana_tx_is_signer(effect->tx, effect->accounts[i]);
	}
	wallet_effect_say(
	    line, "Unknown instruction of program %s", pubkey_text(effect->program, text));
	if (program != SOLANA_PROGRAM_OTHER)
		wallet_effect_say(line, " (%s)", solana_program_title(program));
	wallet_effect_say(line,
	    " with %zu accounts (%zu may be written, %zu sign), %zu bytes: it may do anything with "
	    "them",
	    effect->n_accounts, n_writable, n_signers, effect->data_len);
	line->warning = true;
}

void wallet_effect_explain(const struct wallet_effect *effect, struct wallet_line *line)
{
	bool known = false;

	switch (solana_program_of(effect->program)) {
	case SOLANA_PROGRAM_SYSTEM:
		known = wallet_effect_system(effect, line);
		break;
	case SOLANA_PROGRAM_TOKEN:
	case SOLANA_PROGRAM_TOKEN_2022:
		known = wallet_effect_token(effect, line);
		break;
	case SOLANA_PROGRAM_ASSOCIATED_TOKEN:
		known = wallet_effect_associated(effect, line);
		break;
	case SOLANA_PROGRAM_CORE:
		known = wallet_effect_core(effect, line);
		break;
	case SOLANA_PROGRAM_AGENT_TOOLS:
		known = wallet_effect_agent(effect, line);
		break;
	case SOLANA_PROGRAM_LIGHTHOUSE:
		known = wallet_effect_lighthouse(effect, line);
		break;
	default:
		break;
	}
	if (!known)
		explain_unknown(effect, line);
}
