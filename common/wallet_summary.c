#include "common/wallet_summary.h"

#include "common/pubkey.h"
#include "common/solana_fee.h"
#include "common/solana_ix_budget.h"
#include "common/solana_ix_core.h"
#include "common/wallet_amount.h"
#include "common/wallet_effect.h"

static struct wallet_line *add_line(struct wallet_summary *summary)
{
	bug_if(summary->n_lines == WALLET_LINES_MAX);
	struct wallet_line *line = &summary->lines[summary->n_lines++];
	line->warning = false;
	line->text[0] = '\0';
	return line;
}

/* Compute Budget instructions are what the fee's line says, if a node would take them. */
static void add_instructions(
    const struct wallet_effect *base, bool fee_is_known, struct wallet_summary *summary)
{
	const struct solana_tx *tx = base->tx;

	for (size_t i = 0; i < tx->n_instructions; i++) {
		const struct solana_tx_instruction *instruction = &tx->instructions[i];
		if (fee_is_known && solana_ix_is_budget(tx, instruction))
			continue;
		struct wallet_effect effect = *base;
		effect.program = solana_tx_program(tx, instruction);
		effect.accounts = instruction->accounts;
		effect.n_accounts = instruction->n_accounts;
		effect.data = instruction->data;
		effect.data_len = instruction->data_len;
		wallet_effect_explain(&effect, add_line(summary));
	}
}

static void add_execute_fees(const struct solana_tx *tx, struct wallet_summary *summary)
{
	char amount[WALLET_AMOUNT_MAX];
	size_t n = 0;

	for (size_t i = 0; i < tx->n_instructions; i++)
		n += solana_ix_is_execute(tx, &tx->instructions[i]);
	if (n > 0)
		wallet_effect_say(add_line(summary),
		    "Metaplex Core's execute fee: about %s SOL (%zu times, by the rent), from "
		    "their "
		    "payer",
		    wallet_amount_text(n * SOLANA_EXECUTE_FEE, WALLET_SOL_DECIMALS, amount), n);
}

static void add_fee(
    const struct solana_tx *tx, const struct solana_fee *fee, struct wallet_summary *summary)
{
	char total[WALLET_AMOUNT_MAX], signatures[WALLET_AMOUNT_MAX], priority[WALLET_AMOUNT_MAX],
	    payer[PUBKEY_TEXT_MAX + 1];
	struct wallet_line *line = add_line(summary);

	wallet_effect_say(line,
	    "Network fee: %s%s SOL, from the fee payer %s: %s for %zu signatures",
	    fee->has_limit || fee->unit_price == 0 ? "" : "at most ",
	    wallet_amount_text(fee->lamports, WALLET_SOL_DECIMALS, total),
	    pubkey_text(solana_tx_key(tx, 0), payer),
	    wallet_amount_text(fee->signature_lamports, WALLET_SOL_DECIMALS, signatures),
	    fee->n_signatures);
	if (fee->priority_lamports > 0)
		wallet_effect_say(line, ", %s priority fee (%llu compute units)",
		    wallet_amount_text(fee->priority_lamports, WALLET_SOL_DECIMALS, priority),
		    (unsigned long long)fee->unit_limit);
}

static void add_unknown_fee(const struct error *err, struct wallet_summary *summary)
{
	struct wallet_line *line = add_line(summary);

	wallet_effect_say(line, "Network fee: unknown; %s", err->text);
	line->warning = true;
}

static void add_signers(const struct solana_tx *tx, struct wallet_summary *summary)
{
	char text[PUBKEY_TEXT_MAX + 1];

	for (size_t i = 1; i < tx->n_signers; i++)
		wallet_effect_say(add_line(summary), "Also needs the signature of %s",
		    pubkey_text(solana_tx_key(tx, i), text));
}

void wallet_summary_read(
    const struct solana_tx *tx, const struct wallet_hints *hints, struct wallet_summary *summary_r)
{
	uint8_t wallet[PUBKEY_LEN];
	bool has_wallet =
	    hints && hints->asset && pubkey_asset_signer(hints->asset, wallet, NULL) == 0;
	const struct wallet_effect base = {
	    .tx = tx, .hints = hints, .wallet = has_wallet ? wallet : NULL};
	struct solana_fee fee;
	struct error err;
	bool fee_is_known = solana_fee_read(tx, &fee, &err) == 0;

	summary_r->n_lines = 0;
	summary_r->warning = false;
	add_instructions(&base, fee_is_known, summary_r);
	add_execute_fees(tx, summary_r);
	if (fee_is_known)
		add_fee(tx, &fee, summary_r);
	else
		add_unknown_fee(&err, summary_r);
	add_signers(tx, summary_r);
	for (size_t i = 0; i < summary_r->n_lines; i++)
		summary_r->warning |= summary_r->lines[i].warning;
}
