#include "common/solana_ix_core.h"

#include <string.h>

#include "common/pubkey.h"
#include "common/solana_program.h"

static const uint8_t *core(void)
{
	return solana_program_key(SOLANA_PROGRAM_CORE);
}

bool solana_ix_is_execute(
    const struct solana_tx *tx, const struct solana_tx_instruction *instruction)
{
	return solana_program_of(solana_tx_program(tx, instruction)) == SOLANA_PROGRAM_CORE &&
	       instruction->data_len > 0 && instruction->data[0] == SOLANA_CORE_EXECUTE;
}

static void optional(struct solana_instruction *ix, const uint8_t *key, enum solana_flags flags)
{
	solana_instruction_account(ix, key ? key : core(), key ? flags : SOLANA_READ);
}

static bool is_key(const uint8_t *key, const uint8_t other[PUBKEY_LEN])
{
	return key && memcmp(key, other, PUBKEY_LEN) == 0;
}

/* The accounts of the inner instruction; its PDA signs only inside the program. */
static int add_inner(const struct solana_core_execute *execute, const uint8_t pda[PUBKEY_LEN],
    const struct solana_instruction *inner, struct solana_instruction *ix, struct error *err)
{
	char text[PUBKEY_TEXT_MAX + 1];

	for (size_t i = 0; i < inner->n_accounts; i++) {
		const struct solana_account *account = &inner->accounts[i];
		enum solana_flags flags = account->flags;
		if (memcmp(account->key, pda, PUBKEY_LEN) == 0)
			flags &= ~(unsigned)SOLANA_SIGN;
		if (flags & SOLANA_SIGN && !is_key(execute->payer, account->key) &&
		    !is_key(execute->authority, account->key))
			return error_refuse(err, ERR_INVALID, "inner_signer",
			    "the instruction needs the signature of %s, which is neither the "
			    "owner nor the agent's wallet",
			    pubkey_text(account->key, text));
		solana_instruction_account(ix, account->key, flags);
	}
	return 0;
}

int solana_ix_core_execute(const struct solana_core_execute *execute,
    const struct solana_instruction *inner, struct solana_instruction *ix_r, struct error *err)
{
	uint8_t pda[PUBKEY_LEN];

	if (pubkey_asset_signer(execute->asset, pda, NULL) != 0)
		return error_set(err, ERR_INVALID, "the asset has no wallet");
	solana_instruction_init(ix_r, core());
	solana_instruction_account(ix_r, execute->asset, SOLANA_WRITE);
	optional(ix_r, execute->collection, SOLANA_WRITE);
	solana_instruction_account(ix_r, pda, SOLANA_READ);
	solana_instruction_account(ix_r, execute->payer, SOLANA_SIGN_WRITE);
	optional(ix_r, execute->authority, SOLANA_SIGN);
	solana_instruction_account(ix_r, solana_program_key(SOLANA_PROGRAM_SYSTEM), SOLANA_READ);
	solana_instruction_account(ix_r, inner->program, SOLANA_READ);
	if (execute->record)
		solana_instruction_account(ix_r, execute->record, SOLANA_READ);
	if (add_inner(execute, pda, inner, ix_r, err) != 0)
		return -1;
	solana_instruction_number(ix_r, SOLANA_CORE_EXECUTE, 1);
	solana_instruction_number(ix_r, inner->data_len, 4);
	solana_instruction_bytes(ix_r, inner->data, inner->data_len);
	ix_r->overflow |= inner->overflow;
	return solana_instruction_check(ix_r, err);
}

void solana_ix_core_transfer(
    const struct solana_core_transfer *transfer, struct solana_instruction *ix_r)
{
	solana_instruction_init(ix_r, core());
	solana_instruction_account(ix_r, transfer->asset, SOLANA_WRITE);
	optional(ix_r, transfer->collection, SOLANA_READ);
	solana_instruction_account(ix_r, transfer->payer, SOLANA_SIGN_WRITE);
	optional(ix_r, transfer->authority, SOLANA_SIGN);
	solana_instruction_account(ix_r, transfer->new_owner, SOLANA_READ);
	optional(ix_r, NULL, SOLANA_READ); /* System Program */
	optional(ix_r, NULL, SOLANA_READ); /* log wrapper */
	solana_instruction_number(ix_r, SOLANA_CORE_TRANSFER, 1);
	solana_instruction_number(ix_r, 0, 1); /* no compression proof */
}
