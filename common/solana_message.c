#include "common/solana_message.h"

#include <string.h>

#include "common/shortvec.h"

/* Every key once, in the order first met. */
struct keys {
	struct solana_account list[SOLANA_KEYS_MAX];
	size_t n;
	bool full;
};

struct out {
	uint8_t *bytes;
	size_t len;
	bool full;
};

static void add_key(struct keys *keys, const uint8_t key[PUBKEY_LEN], enum solana_flags flags)
{
	for (size_t i = 0; i < keys->n; i++)
		if (memcmp(keys->list[i].key, key, PUBKEY_LEN) == 0) {
			keys->list[i].flags |= flags;
			return;
		}
	if (keys->n == SOLANA_KEYS_MAX) {
		keys->full = true;
		return;
	}
	memcpy(keys->list[keys->n].key, key, PUBKEY_LEN);
	keys->list[keys->n++].flags = flags;
}

static void collect_keys(const struct solana_message *message, struct keys *keys)
{
	add_key(keys, message->payer, SOLANA_SIGN_WRITE);
	for (size_t i = 0; i < message->n_instructions; i++) {
		const struct solana_instruction *instruction = &message->instructions[i];
		add_key(keys, instruction->program, SOLANA_READ);
		for (size_t n = 0; n < instruction->n_accounts; n++)
			add_key(keys, instruction->accounts[n].key, instruction->accounts[n].flags);
	}
}

/* Groups by flags, each group in the order it was in; counts each group. */
static void sort_keys(struct keys *keys, size_t counts[4])
{
	static const enum solana_flags order[] = {
	    SOLANA_SIGN_WRITE, SOLANA_SIGN, SOLANA_WRITE, SOLANA_READ};
	struct keys sorted = {.n = 0};

	for (size_t group = 0; group < ARRAY_LEN(order); group++) {
		size_t before = sorted.n;
		for (size_t i = 0; i < keys->n; i++)
			if (keys->list[i].flags == order[group])
				sorted.list[sorted.n++] = keys->list[i];
		counts[order[group]] = sorted.n - before;
	}
	*keys = sorted;
}

static uint8_t index_of(const struct keys *keys, const uint8_t key[PUBKEY_LEN])
{
	size_t i = 0;

	while (i < keys->n && memcmp(keys->list[i].key, key, PUBKEY_LEN) != 0)
		i++;
	bug_if(i == keys->n);
	return (uint8_t)i;
}

static void put(struct out *out, const void *bytes, size_t len)
{
	if (len > SOLANA_TX_MAX - out->len) {
		out->full = true;
		return;
	}
	if (len > 0)
		memcpy(out->bytes + out->len, bytes, len);
	out->len += len;
}

static void put_byte(struct out *out, size_t value)
{
	put(out, &(uint8_t){(uint8_t)value}, 1);
}

static void put_count(struct out *out, size_t count)
{
	uint8_t bytes[SHORTVEC_MAX];

	bug_if(count > UINT16_MAX);
	put(out, bytes, shortvec_put((uint16_t)count, bytes));
}

static void put_instruction(
    struct out *out, const struct keys *keys, const struct solana_instruction *instruction)
{
	put_byte(out, index_of(keys, instruction->program));
	put_count(out, instruction->n_accounts);
	for (size_t i = 0; i < instruction->n_accounts; i++)
		put_byte(out, index_of(keys, instruction->accounts[i].key));
	put_count(out, instruction->data_len);
	put(out, instruction->data, instruction->data_len);
}

static void put_transaction(struct out *out, const struct solana_message *message,
    const struct keys *keys, const size_t counts[4])
{
	static const uint8_t unsigned_yet[SIGNATURE_LEN];
	size_t n_signers = counts[SOLANA_SIGN_WRITE] + counts[SOLANA_SIGN];

	put_count(out, n_signers);
	for (size_t i = 0; i < n_signers; i++)
		put(out, unsigned_yet, sizeof(unsigned_yet));
	if (message->version == SOLANA_V0)
		put_byte(out, 0x80);
	put_byte(out, n_signers);
	put_byte(out, counts[SOLANA_SIGN]);
	put_byte(out, counts[SOLANA_READ]);
	put_count(out, keys->n);
	for (size_t i = 0; i < keys->n; i++)
		put(out, keys->list[i].key, PUBKEY_LEN);
	put(out, message->blockhash, SOLANA_BLOCKHASH_LEN);
	put_count(out, message->n_instructions);
	for (size_t i = 0; i < message->n_instructions; i++)
		put_instruction(out, keys, &message->instructions[i]);
	if (message->version == SOLANA_V0)
		put_count(out, 0);
}

static int check(const struct solana_message *message, struct error *err)
{
	if (message->n_instructions > SOLANA_INSTRUCTIONS_MAX)
		return error_refuse(err, ERR_INVALID, "tx_too_many",
		    "%zu instructions, at most %d are possible", message->n_instructions,
		    SOLANA_INSTRUCTIONS_MAX);
	for (size_t i = 0; i < message->n_instructions; i++) {
		const struct solana_instruction *instruction = &message->instructions[i];
		if (solana_instruction_check(instruction, err) != 0)
			return -1;
		if (memcmp(instruction->program, message->payer, PUBKEY_LEN) == 0)
			return error_refuse(
			    err, ERR_INVALID, "tx_index", "the fee payer is no program");
	}
	return 0;
}

int solana_message_compose(const struct solana_message *message, uint8_t tx_r[SOLANA_TX_MAX],
    size_t *len_r, struct error *err)
{
	struct keys keys = {.n = 0};
	struct out out = {.bytes = tx_r};
	size_t counts[4];

	if (check(message, err) != 0)
		return -1;
	collect_keys(message, &keys);
	if (keys.full)
		return error_refuse(err, ERR_INVALID, "tx_too_many",
		    "more than %d different accounts do not fit a transaction", SOLANA_KEYS_MAX);
	sort_keys(&keys, counts);
	put_transaction(&out, message, &keys, counts);
	if (out.full)
		return error_refuse(err, ERR_INVALID, "tx_too_long",
		    "the transaction would be longer than %d bytes", SOLANA_TX_MAX);
	*len_r = out.len;
	return 0;
}
