/* A transaction as a wallet returns it. What parses is written the same, byte for byte, from what was read; it has a summary with a line for
 * every instruction, in printable text; and it is never taken for another than was built, nor without signatures. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/scoped.h"
#include "common/shortvec.h"
#include "common/solana_program.h"
#include "common/wallet_accept.h"
#include "common/wallet_summary.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static struct wallet_summary summary;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return sodium_init() < 0 ? -1 : 0;
}

static size_t put(uint8_t *out, size_t at, const void *bytes, size_t len)
{
	bug_if(at + len > SOLANA_TX_MAX);
	memcpy(out + at, bytes, len);
	return at + len;
}

static size_t put_count(uint8_t *out, size_t at, size_t count)
{
	uint8_t bytes[SHORTVEC_MAX];
	return put(out, at, bytes, shortvec_put((uint16_t)count, bytes));
}

static size_t write_back(const struct solana_tx *tx, uint8_t out[SOLANA_TX_MAX])
{
	const uint8_t header[] = {(uint8_t)tx->n_signers, (uint8_t)tx->n_readonly_signers,
	    (uint8_t)tx->n_readonly_others};
	size_t at = put_count(out, 0, tx->n_signers);
	at = put(out, at, tx->signatures, tx->n_signers * SIGNATURE_LEN);
	if (tx->version == SOLANA_V0)
		at = put(out, at, "\x80", 1);
	at = put(out, at, header, sizeof(header));
	at = put_count(out, at, tx->n_keys);
	at = put(out, at, tx->keys, tx->n_keys * PUBKEY_LEN);
	at = put(out, at, tx->blockhash, SOLANA_BLOCKHASH_LEN);
	at = put_count(out, at, tx->n_instructions);
	for (size_t i = 0; i < tx->n_instructions; i++) {
		const struct solana_tx_instruction *ix = &tx->instructions[i];
		at = put(out, at, &ix->program, 1);
		at = put_count(out, at, ix->n_accounts);
		at = put(out, at, ix->accounts, ix->n_accounts);
		at = put_count(out, at, ix->data_len);
		at = put(out, at, ix->data, ix->data_len);
	}
	return tx->version == SOLANA_V0 ? put_count(out, at, 0) : at;
}

static void check_summary(const struct solana_tx *tx, const struct wallet_hints *hints)
{
	size_t n_told = 0;
	bool warning = false;
	wallet_summary_read(tx, hints, &summary);
	for (size_t i = 0; i < tx->n_instructions; i++)
		n_told += solana_program_of(solana_tx_program(tx, &tx->instructions[i])) !=
			  SOLANA_PROGRAM_COMPUTE_BUDGET;
	bug_if(summary.n_lines < n_told + tx->n_signers || summary.n_lines > WALLET_LINES_MAX);
	for (size_t i = 0; i < summary.n_lines; i++) {
		const struct wallet_line *line = &summary.lines[i];
		size_t len = strnlen(line->text, sizeof(line->text));
		bug_if(len == 0 || len == sizeof(line->text));
		for (size_t n = 0; n < len; n++)
			bug_if(line->text[n] < ' ' || line->text[n] > '~');
		warning |= line->warning;
	}
	bug_if(summary.warning != warning);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static const struct wallet_terms terms = {UINT64_MAX, true};
	uint8_t back[SOLANA_TX_MAX];
	struct solana_tx tx, message;
	struct error err = {.code = ERR_NONE};
	scoped_free uint8_t *exact = malloc(size + !size);
	memcpy(exact, bytes, size);
	if (solana_tx_parse(exact, size, &tx, &err) != 0) {
		bug_if(err.code != ERR_INVALID || !err.reason[0]);
		return 0;
	}
	bug_if(write_back(&tx, back) != size || memcmp(back, exact, size) != 0);
	bug_if(solana_tx_parse_message(tx.message, tx.message_len, &message, &err) != 0);
	check_summary(&tx, NULL);
	/* the last key as the asset that is meant and as a recipient that was typed */
	const uint8_t *key = solana_tx_key(&tx, tx.n_keys - 1);
	check_summary(&tx, &(struct wallet_hints){key, &key, 1});
	bug_if(wallet_accept(&tx, &message, &terms, &err) == 0); /* no signatures */
	if (wallet_accept(&tx, &tx, &terms, &err) == 0)
		bug_if(solana_tx_verify(&tx, &err) != 0);
	return 0;
}
