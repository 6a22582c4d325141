#include "tests/devchain/bank.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

/* By the slot, which no restart and no fork gives to another block. */
void bank_blockhash(const struct bank *bank, uint64_t height, uint8_t hash_r[PUBKEY_LEN])
{
	uint64_t slot = chain_block(bank->chain, height).slot;
	uint8_t input[PUBKEY_LEN + sizeof(slot)];

	memcpy(input, bank->genesis, PUBKEY_LEN);
	memcpy(input + PUBKEY_LEN, &slot, sizeof(slot));
	crypto_hash_sha256(hash_r, input, sizeof(input));
}

bool bank_is_recent(const struct bank *bank, const uint8_t hash[PUBKEY_LEN], uint64_t tip)
{
	uint8_t known[PUBKEY_LEN];

	for (uint64_t back = 0; back < BANK_BLOCKHASH_LIFE && back < tip; back++) {
		bank_blockhash(bank, tip - back, known);
		if (memcmp(hash, known, PUBKEY_LEN) == 0)
			return true;
	}
	return false;
}

void bank_simulate(const struct bank *bank, const struct solana_tx *tx, uint64_t height, bool fresh,
    struct run *run)
{
	uint64_t slot = chain_block(bank->chain, height).slot;
	const struct landed *landed = chain_find_landed(bank->chain, tx->signatures);

	memset(run, 0, sizeof(*run));
	if (!fresh && !bank_is_recent(bank, tx->blockhash, height))
		snprintf(run->error, sizeof(run->error), "\"BlockhashNotFound\"");
	else if (!fresh && landed && landed->slot <= slot)
		snprintf(run->error, sizeof(run->error), "\"AlreadyProcessed\"");
	else
		run_transaction(run, tx, bank->chain, slot);
}

static bool is_same(const struct account_state *a, const struct account_state *b)
{
	return a->lamports == b->lamports && a->len == b->len &&
	       memcmp(a->program, b->program, PUBKEY_LEN) == 0 &&
	       (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static void keep(struct bank *bank, const struct solana_tx *tx, const struct run *run)
{
	struct landed landed = {.slot = chain_next_slot(bank->chain), .nkeys = tx->n_keys};
	uint8_t keys[SOLANA_KEYS_MAX * PUBKEY_LEN];

	memcpy(landed.signature, tx->signatures, SIGNATURE_LEN);
	memcpy(landed.error, run->error, sizeof(landed.error));
	memcpy(keys, tx->keys, tx->n_keys * PUBKEY_LEN);
	landed.keys = keys;
	for (size_t i = 0; i < run->n; i++)
		if (!is_same(&run->account[i].before, &run->account[i].state))
			chain_put(bank->chain, run->account[i].key, &run->account[i].state);
	chain_land(bank->chain, &landed);
}

bool bank_send(struct bank *bank, const struct solana_tx *tx)
{
	struct view view;
	struct run run;

	chain_view(bank->chain, 0, &view);
	if (solana_tx_verify(tx, NULL) < 0 ||
	    !bank_is_recent(bank, tx->blockhash, view.height[PROCESSED]) ||
	    chain_find_landed(bank->chain, tx->signatures))
		return false;
	run_transaction(&run, tx, bank->chain, UINT64_MAX);
	if (run.charged)
		keep(bank, tx, &run);
	if (run.charged && bank->changed)
		bank->changed(bank->arg);
	bool landed = run.charged;
	run_close(&run);
	return landed;
}
