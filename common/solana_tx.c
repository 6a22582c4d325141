#include "common/solana_tx.h"

#include <sodium.h>
#include <string.h>

#include "common/shortvec.h"

#define VERSIONED 0x80 /* no legacy message begins so: it would have 128 signers */

/* Reads forward; the first failure fills err and sticks. */
struct cursor {
	const uint8_t *at, *end;
	struct error *err;
	bool bad;
};

static const uint8_t *take(struct cursor *cursor, size_t len, const char *what)
{
	if (cursor->bad)
		return NULL;
	if (len > (size_t)(cursor->end - cursor->at)) {
		cursor->bad = true;
		error_refuse(cursor->err, ERR_INVALID, "tx_truncated",
		    "the transaction ends within its %s", what);
		return NULL;
	}
	const uint8_t *p = cursor->at;
	cursor->at += len;
	return p;
}

static uint8_t take_byte(struct cursor *cursor, const char *what)
{
	const uint8_t *p = take(cursor, 1, what);
	return p ? *p : 0;
}

static size_t take_count(struct cursor *cursor, size_t max, const char *what)
{
	uint16_t value = 0;
	size_t left = (size_t)(cursor->end - cursor->at);
	if (cursor->bad)
		return 0;
	size_t n = shortvec_get(cursor->at, left, &value);
	cursor->at += n;
	cursor->bad = n == 0 || value > max;
	if (n == 0)
		error_refuse(cursor->err, ERR_INVALID, "tx_shortvec",
		    "the count of %s is cut off, too large or not in its shortest form", what);
	else if (value > max)
		error_refuse(cursor->err, ERR_INVALID, "tx_too_many",
		    "%u %s, at most %zu are possible", value, what, max);
	return cursor->bad ? 0 : value;
}

static int refuse_index(
    const struct solana_tx *tx, size_t instruction, unsigned index, struct error *err)
{
	return error_refuse(err, ERR_INVALID, "tx_index",
	    "instruction %zu names key %u, there are %zu, and the fee payer is no program",
	    instruction, index, tx->n_keys);
}

static int check_indexes(const struct solana_tx *tx, size_t i, struct error *err)
{
	const struct solana_tx_instruction *instruction = &tx->instructions[i];
	if (instruction->program == 0 || instruction->program >= tx->n_keys)
		return refuse_index(tx, i, instruction->program, err);
	for (size_t n = 0; n < instruction->n_accounts; n++)
		if (instruction->accounts[n] >= tx->n_keys)
			return refuse_index(tx, i, instruction->accounts[n], err);
	return 0;
}

static int take_instructions(struct cursor *cursor, struct solana_tx *tx)
{
	tx->n_instructions = take_count(cursor, SOLANA_INSTRUCTIONS_MAX, "instructions");
	for (size_t i = 0; i < tx->n_instructions; i++) {
		struct solana_tx_instruction *instruction = &tx->instructions[i];
		instruction->program = take_byte(cursor, "instructions");
		instruction->n_accounts = take_count(cursor, SOLANA_TX_MAX, "accounts");
		instruction->accounts = take(cursor, instruction->n_accounts, "accounts");
		instruction->data_len = take_count(cursor, SOLANA_TX_MAX, "data bytes");
		instruction->data = take(cursor, instruction->data_len, "instruction data");
		if (cursor->bad || check_indexes(tx, i, cursor->err) != 0)
			return -1;
	}
	return cursor->bad ? -1 : 0;
}

static int take_keys(struct cursor *cursor, struct solana_tx *tx)
{
	tx->n_keys = take_count(cursor, SOLANA_KEYS_MAX, "keys");
	tx->keys = take(cursor, tx->n_keys * PUBKEY_LEN, "keys");
	if (cursor->bad)
		return -1;
	for (size_t i = 0; i < tx->n_keys; i++)
		for (size_t j = 0; j < i; j++)
			if (memcmp(solana_tx_key(tx, i), solana_tx_key(tx, j), PUBKEY_LEN) == 0)
				return error_refuse(cursor->err, ERR_INVALID, "tx_duplicate_key",
				    "keys %zu and %zu are the same", j, i);
	return 0;
}

static int check_header(const struct solana_tx *tx, struct error *err)
{
	if (tx->n_signers >= 1 && tx->n_signers <= SOLANA_SIGNATURES_MAX &&
	    tx->n_readonly_signers < tx->n_signers &&
	    tx->n_signers + tx->n_readonly_others <= tx->n_keys)
		return 0;
	return error_refuse(err, ERR_INVALID, "tx_header",
	    "header %zu/%zu/%zu does not fit %zu keys", tx->n_signers, tx->n_readonly_signers,
	    tx->n_readonly_others, tx->n_keys);
}

static int take_version(struct cursor *cursor, struct solana_tx *tx)
{
	tx->version = SOLANA_LEGACY;
	if (cursor->at == cursor->end || !(*cursor->at & VERSIONED))
		return 0;
	unsigned version = *cursor->at++ & ~(unsigned)VERSIONED;
	tx->version = SOLANA_V0;
	return version == 0 ? 0
			    : error_refuse(cursor->err, ERR_INVALID, "tx_version",
				  "message version %u, only legacy and 0 are known", version);
}

static int take_end(struct cursor *cursor, const struct solana_tx *tx)
{
	if (tx->version == SOLANA_V0) {
		size_t tables = take_count(cursor, UINT16_MAX, "lookup tables");
		if (tables > 0)
			return error_refuse(cursor->err, ERR_INVALID, "tx_lookup_tables",
			    "%zu address lookup tables: the accounts they stand for cannot be "
			    "seen",
			    tables);
	}
	if (!cursor->bad && cursor->at != cursor->end)
		return error_refuse(cursor->err, ERR_INVALID, "tx_trailing_bytes",
		    "%td bytes follow the transaction's end", cursor->end - cursor->at);
	return cursor->bad ? -1 : 0;
}

static int take_message(struct cursor *cursor, struct solana_tx *tx)
{
	tx->message = cursor->at;
	tx->message_len = (size_t)(cursor->end - cursor->at);
	if (take_version(cursor, tx) != 0)
		return -1;
	tx->n_signers = take_byte(cursor, "header");
	tx->n_readonly_signers = take_byte(cursor, "header");
	tx->n_readonly_others = take_byte(cursor, "header");
	if (take_keys(cursor, tx) != 0 || check_header(tx, cursor->err) != 0)
		return -1;
	tx->blockhash = take(cursor, SOLANA_BLOCKHASH_LEN, "blockhash");
	if (take_instructions(cursor, tx) != 0)
		return -1;
	return take_end(cursor, tx);
}

static int open_cursor(const uint8_t *bytes, size_t len, struct cursor *cursor_r, struct error *err)
{
	*cursor_r = (struct cursor){.at = bytes, .end = bytes + len, .err = err};
	if (len > SOLANA_TX_MAX)
		return error_refuse(err, ERR_INVALID, "tx_too_long",
		    "%zu bytes, a transaction has at most %d", len, SOLANA_TX_MAX);
	return 0;
}

int solana_tx_parse_message(
    const uint8_t *bytes, size_t len, struct solana_tx *tx_r, struct error *err)
{
	struct cursor cursor;

	memset(tx_r, 0, sizeof(*tx_r));
	return open_cursor(bytes, len, &cursor, err) == 0 ? take_message(&cursor, tx_r) : -1;
}

int solana_tx_parse(const uint8_t *bytes, size_t len, struct solana_tx *tx_r, struct error *err)
{
	struct cursor cursor;

	memset(tx_r, 0, sizeof(*tx_r));
	if (open_cursor(bytes, len, &cursor, err) != 0)
		return -1;
	size_t n = take_count(&cursor, SOLANA_SIGNATURES_MAX, "signatures");
	tx_r->signatures = take(&cursor, n * SIGNATURE_LEN, "signatures");
	if (cursor.bad)
		return -1;
	if (take_message(&cursor, tx_r) != 0)
		return -1;
	if (n != tx_r->n_signers)
		return error_refuse(err, ERR_INVALID, "tx_signatures",
		    "%zu signatures for %zu signers", n, tx_r->n_signers);
	return 0;
}

const uint8_t *solana_tx_key(const struct solana_tx *tx, size_t key)
{
	return tx->keys + key * PUBKEY_LEN;
}

size_t solana_tx_find(const struct solana_tx *tx, const uint8_t key[PUBKEY_LEN])
{
	size_t i = 0;

	while (i < tx->n_keys && memcmp(solana_tx_key(tx, i), key, PUBKEY_LEN) != 0)
		i++;
	return i;
}

bool solana_tx_is_signer(const struct solana_tx *tx, size_t key)
{
	return key < tx->n_signers;
}

bool solana_tx_is_writable(const struct solana_tx *tx, size_t key)
{
	if (key < tx->n_signers)
		return key < tx->n_signers - tx->n_readonly_signers;
	return key < tx->n_keys - tx->n_readonly_others;
}

const uint8_t *solana_tx_account(
    const struct solana_tx *tx, const struct solana_tx_instruction *instruction, size_t i)
{
	return solana_tx_key(tx, instruction->accounts[i]);
}

const uint8_t *solana_tx_program(
    const struct solana_tx *tx, const struct solana_tx_instruction *instruction)
{
	return solana_tx_key(tx, instruction->program);
}

bool solana_tx_signed_by(const struct solana_tx *tx, size_t signer)
{
	return tx->signatures && signer < tx->n_signers &&
	       crypto_sign_verify_detached(tx->signatures + signer * SIGNATURE_LEN, tx->message,
		   tx->message_len, solana_tx_key(tx, signer)) == 0;
}

static int refuse_signature(const uint8_t key[PUBKEY_LEN], struct error *err)
{
	char text[PUBKEY_TEXT_MAX + 1];

	return error_refuse(err, ERR_INVALID, "tx_signature",
	    "the signature of %s is not one over this transaction", pubkey_text(key, text));
}

int solana_tx_verify(const struct solana_tx *tx, struct error *err)
{
	for (size_t i = 0; i < tx->n_signers; i++)
		if (!solana_tx_signed_by(tx, i))
			return refuse_signature(solana_tx_key(tx, i), err);
	return 0;
}

int solana_tx_put_signature(uint8_t *bytes, size_t len, const uint8_t key[PUBKEY_LEN],
    const uint8_t signature[SIGNATURE_LEN], struct error *err)
{
	struct solana_tx tx;

	if (solana_tx_parse(bytes, len, &tx, err) != 0)
		return -1;
	size_t signer = solana_tx_find(&tx, key);
	if (!solana_tx_is_signer(&tx, signer))
		return error_refuse(err, ERR_INVALID, "tx_signatures",
		    "the transaction does not ask for this signature");
	if (crypto_sign_verify_detached(signature, tx.message, tx.message_len, key) != 0)
		return refuse_signature(key, err);
	/* the count before the signatures is one byte */
	memcpy(bytes + 1 + signer * SIGNATURE_LEN, signature, SIGNATURE_LEN);
	return 0;
}
