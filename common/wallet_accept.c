#include "common/wallet_accept.h"

#include <string.h>

#include "common/solana_fee.h"
#include "common/solana_ix_budget.h"
#include "common/solana_lighthouse.h"
#include "common/solana_program.h"

static int changed(struct error *err, const char *what)
{
	return error_refuse(
	    err, ERR_DENIED, "tx_changed", "the wallet changed the transaction: %s", what);
}

static bool same_key(const uint8_t a[PUBKEY_LEN], const uint8_t b[PUBKEY_LEN])
{
	return memcmp(a, b, PUBKEY_LEN) == 0;
}

static bool same_instruction(const struct solana_tx *built, const struct solana_tx_instruction *a,
    const struct solana_tx *returned, const struct solana_tx_instruction *b)
{
	if (!same_key(solana_tx_program(built, a), solana_tx_program(returned, b)) ||
	    a->n_accounts != b->n_accounts || a->data_len != b->data_len)
		return false;
	for (size_t i = 0; i < a->n_accounts; i++)
		if (!same_key(solana_tx_account(built, a, i), solana_tx_account(returned, b, i)))
			return false;
	return a->data_len == 0 || memcmp(a->data, b->data, a->data_len) == 0;
}

static bool is_added_budget(
    const struct solana_tx *tx, const struct solana_tx_instruction *instruction)
{
	return solana_ix_is_budget(tx, instruction) && instruction->n_accounts == 0 &&
	       instruction->data_len > 0 &&
	       (instruction->data[0] == SOLANA_BUDGET_LIMIT ||
		   instruction->data[0] == SOLANA_BUDGET_PRICE ||
		   instruction->data[0] == SOLANA_BUDGET_DATA_SIZE);
}

static bool is_assertion(
    const struct solana_tx *tx, const struct solana_tx_instruction *instruction)
{
	return solana_program_of(solana_tx_program(tx, instruction)) == SOLANA_PROGRAM_LIGHTHOUSE &&
	       solana_lighthouse_is_assertion(instruction->data, instruction->data_len);
}

/* Marks the keys that an instruction names. */
static void mark(const struct solana_tx_instruction *instruction, bool used[SOLANA_KEYS_MAX])
{
	used[instruction->program] = true;
	for (size_t i = 0; i < instruction->n_accounts; i++)
		used[instruction->accounts[i]] = true;
}

/* The next instruction of built, from *next on, that is not of Compute Budget; NULL at the end. */
static const struct solana_tx_instruction *next_built(const struct solana_tx *built, size_t *next)
{
	while (*next < built->n_instructions) {
		const struct solana_tx_instruction *instruction = &built->instructions[(*next)++];
		if (!solana_ix_is_budget(built, instruction))
			return instruction;
	}
	return NULL;
}

static int check_instructions(const struct solana_tx *built, const struct solana_tx *returned,
    const struct wallet_terms *terms, bool used[SOLANA_KEYS_MAX], struct error *err)
{
	size_t next = 0, n_assertions = 0;
	const struct solana_tx_instruction *want = next_built(built, &next);

	if (!want)
		return error_refuse(err, ERR_DENIED, "tx_changed", "nothing was built");
	for (size_t i = 0; i < returned->n_instructions; i++) {
		const struct solana_tx_instruction *instruction = &returned->instructions[i];
		mark(instruction, used);
		if (want && same_instruction(built, want, returned, instruction)) {
			want = next_built(built, &next);
			continue;
		}
		if (is_added_budget(returned, instruction))
			continue;
		if (!terms->allow_lighthouse || !is_assertion(returned, instruction) ||
		    ++n_assertions > WALLET_LIGHTHOUSE_MAX)
			return error_refuse(err, ERR_DENIED, "tx_changed",
			    "the wallet changed the transaction: instruction %zu is neither the "
			    "one that was built nor one that may be added",
			    i);
	}
	return want ? changed(err, "an instruction that was built is missing") : 0;
}

/* Of the keys that were built the flags are as they were; the others are only read. */
static int check_keys(const struct solana_tx *built, const struct solana_tx *returned,
    const bool used[SOLANA_KEYS_MAX], struct error *err)
{
	for (size_t i = 0; i < returned->n_keys; i++) {
		size_t was = solana_tx_find(built, solana_tx_key(returned, i));
		bool is_new = was == built->n_keys;
		bool signer = !is_new && solana_tx_is_signer(built, was),
		     writable = !is_new && solana_tx_is_writable(built, was);
		if (solana_tx_is_signer(returned, i) != signer)
			return changed(err, "who has to sign");
		if (solana_tx_is_writable(returned, i) != writable)
			return changed(err, "which accounts may be written");
		if (i > 0 && !used[i])
			return changed(err, "a key was added that no instruction names");
	}
	return 0;
}

static int check_frame(
    const struct solana_tx *built, const struct solana_tx *returned, struct error *err)
{
	if (returned->version != built->version)
		return changed(err, "its version");
	if (memcmp(returned->blockhash, built->blockhash, SOLANA_BLOCKHASH_LEN) != 0)
		return changed(err, "its blockhash");
	if (!same_key(solana_tx_key(returned, 0), solana_tx_key(built, 0)))
		return changed(err, "the fee payer");
	return 0;
}

static int check_fee(
    const struct solana_tx *returned, const struct wallet_terms *terms, struct error *err)
{
	struct solana_fee fee;

	if (solana_fee_read(returned, &fee, err) != 0)
		return -1;
	if (fee.priority_lamports > terms->max_priority_lamports)
		return error_refuse(err, ERR_DENIED, "tx_fee",
		    "a priority fee of %llu lamports, at most %llu are accepted",
		    (unsigned long long)fee.priority_lamports,
		    (unsigned long long)terms->max_priority_lamports);
	return 0;
}

int wallet_accept_unsigned(const struct solana_tx *built, const struct solana_tx *returned,
    const struct wallet_terms *terms, struct error *err)
{
	bool used[SOLANA_KEYS_MAX] = {false};

	if (check_frame(built, returned, err) != 0 ||
	    check_instructions(built, returned, terms, used, err) != 0 ||
	    check_keys(built, returned, used, err) != 0)
		return -1;
	return check_fee(returned, terms, err);
}

int wallet_accept(const struct solana_tx *built, const struct solana_tx *returned,
    const struct wallet_terms *terms, struct error *err)
{
	if (wallet_accept_unsigned(built, returned, terms, err) != 0)
		return -1;
	return solana_tx_verify(returned, err);
}
