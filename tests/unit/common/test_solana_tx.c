/* The strict parser of transactions: the vectors of real libraries, and what is refused, each for its own reason. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sodium.h>
#include <string.h>

#include "common/scoped.h"
#include "common/shortvec.h"
#include "common/solana_tx.h"
#include "tests/unit/common/vectors.h"

struct bytes {
	uint8_t data[2048];
	size_t len;
};

static json_t *root, *list;

static int init(void **state)
{
	(void)state;
	root = vectors_solana();
	list = json_object_get(json_object_get(root, "transactions"), "list");
	return sodium_init() < 0 || json_array_size(list) != 8;
}

static int done(void **state)
{
	(void)state;
	json_decref(root);
	return 0;
}

static struct bytes signed_tx(size_t i)
{
	struct bytes bytes = {{0}, 0};
	bytes.len =
	    vectors_hex(json_array_get(list, i), "signed_tx_hex", bytes.data, sizeof(bytes.data));
	return bytes;
}

static uint64_t number(const json_t *object, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(object, name));
}

static void same_instruction(const struct solana_tx_instruction *instruction, const json_t *vector)
{
	const json_t *accounts = json_object_get(vector, "accounts");
	uint8_t data[SOLANA_TX_MAX];
	size_t len = vectors_hex(vector, "data_hex", data, sizeof(data));

	assert_int_equal(instruction->program, number(vector, "program_id_index"));
	assert_int_equal(instruction->n_accounts, json_array_size(accounts));
	for (size_t i = 0; i < instruction->n_accounts; i++)
		assert_int_equal(
		    instruction->accounts[i], json_integer_value(json_array_get(accounts, i)));
	assert_int_equal(instruction->data_len, len);
	assert_memory_equal(instruction->data, data, len);
}

static void same_transaction(const struct solana_tx *tx, const json_t *vector)
{
	const json_t *header = json_object_get(vector, "header"),
		     *keys = json_object_get(vector, "account_keys"),
		     *instructions = json_object_get(vector, "instructions");
	uint8_t blockhash[SOLANA_BLOCKHASH_LEN];

	memset(blockhash, 9, sizeof(blockhash));
	assert_int_equal(tx->n_signers, number(header, "numRequiredSignatures"));
	assert_int_equal(tx->n_readonly_signers, number(header, "numReadonlySignedAccounts"));
	assert_int_equal(tx->n_readonly_others, number(header, "numReadonlyUnsignedAccounts"));
	assert_int_equal(tx->n_keys, json_array_size(keys));
	assert_int_equal(tx->message_len, number(vector, "message_len"));
	assert_memory_equal(tx->blockhash, blockhash, sizeof(blockhash));
	assert_int_equal(
	    tx->version == SOLANA_V0, json_is_integer(json_object_get(vector, "version")));
	for (size_t i = 0; i < tx->n_keys; i++) {
		char text[PUBKEY_TEXT_MAX + 1];
		assert_string_equal(pubkey_text(solana_tx_key(tx, i), text),
		    json_string_value(json_array_get(keys, i)));
	}
	assert_int_equal(tx->n_instructions, json_array_size(instructions));
	for (size_t i = 0; i < tx->n_instructions; i++)
		same_instruction(&tx->instructions[i], json_array_get(instructions, i));
}

static void reads_the_transactions_that_real_libraries_made(void **state)
{
	struct error err;
	json_t *vector;
	size_t i;

	(void)state;
	json_array_foreach(list, i, vector)
	{
		struct bytes bytes = signed_tx(i);
		struct solana_tx tx, message;
		assert_int_equal(solana_tx_parse(bytes.data, bytes.len, &tx, &err), 0);
		same_transaction(&tx, vector);
		assert_int_equal(solana_tx_verify(&tx, &err), 0);
		assert_int_equal(
		    solana_tx_parse_message(tx.message, tx.message_len, &message, &err), 0);
		same_transaction(&message, vector);
		assert_false(solana_tx_signed_by(&message, 0));
	}
}

static void knows_who_signs_and_what_is_written(void **state)
{
	struct bytes bytes = signed_tx(6); /* two signers, the second read-only */
	struct solana_tx tx;
	struct error err;

	(void)state;
	assert_int_equal(solana_tx_parse(bytes.data, bytes.len, &tx, &err), 0);
	assert_int_equal(tx.n_signers, 2);
	for (size_t i = 0; i < tx.n_keys; i++) {
		assert_int_equal(solana_tx_is_signer(&tx, i), i < 2);
		assert_int_equal(solana_tx_is_writable(&tx, i), i != 1 && i < tx.n_keys - 2);
	}
	assert_true(solana_tx_signed_by(&tx, 0) && solana_tx_signed_by(&tx, 1));
	assert_false(solana_tx_signed_by(&tx, 2));
}

static void a_signature_that_is_not_one_is_named(void **state)
{
	struct bytes bytes = signed_tx(6);
	char text[PUBKEY_TEXT_MAX + 1];
	struct solana_tx tx;
	struct error err;

	(void)state;
	bytes.data[1 + SIGNATURE_LEN] ^= 1;
	assert_int_equal(solana_tx_parse(bytes.data, bytes.len, &tx, &err), 0);
	assert_int_equal(solana_tx_verify(&tx, &err), -1);
	assert_string_equal(err.reason, "tx_signature");
	assert_non_null(strstr(err.text, pubkey_text(solana_tx_key(&tx, 1), text)));
	assert_true(solana_tx_signed_by(&tx, 0));
	assert_false(solana_tx_signed_by(&tx, 1));
}

static void takes_the_signature_of_a_signer_and_no_other(void **state)
{
	struct bytes want = signed_tx(6), bytes = want;
	const uint8_t *first = want.data + 1, *second = first + SIGNATURE_LEN;
	struct solana_tx tx;
	struct error err;

	(void)state;
	memset(bytes.data + 1, 0, 2 * SIGNATURE_LEN);
	struct bytes blank = bytes;
	assert_int_equal(solana_tx_parse(bytes.data, bytes.len, &tx, &err), 0);
	const uint8_t *payer = solana_tx_key(&tx, 0), *owner = solana_tx_key(&tx, 1);
	assert_int_equal(solana_tx_put_signature(bytes.data, bytes.len, payer, second, &err), -1);
	assert_string_equal(err.reason, "tx_signature");
	assert_int_equal(
	    solana_tx_put_signature(bytes.data, bytes.len, solana_tx_key(&tx, 2), first, &err), -1);
	assert_string_equal(err.reason, "tx_signatures");
	assert_int_equal(
	    solana_tx_put_signature(bytes.data, bytes.len, want.data, first, &err), -1);
	assert_string_equal(err.reason, "tx_signatures");
	assert_memory_equal(bytes.data, blank.data, bytes.len);
	assert_int_equal(solana_tx_put_signature(bytes.data, bytes.len, owner, second, &err), 0);
	assert_int_equal(solana_tx_put_signature(bytes.data, bytes.len, payer, first, &err), 0);
	assert_memory_equal(bytes.data, want.data, want.len);
	assert_int_equal(
	    solana_tx_put_signature(bytes.data, bytes.len - 1, payer, first, &err), -1);
}

static void refuses(const struct bytes *bytes, const char *reason)
{
	/* of exact size, so that the sanitizer sees a read behind the end */
	scoped_free uint8_t *exact = malloc(bytes->len + !bytes->len);
	struct solana_tx tx;
	struct error err = {.code = ERR_NONE};

	assert_non_null(exact);
	memcpy(exact, bytes->data, bytes->len);
	assert_int_equal(solana_tx_parse(exact, bytes->len, &tx, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_string_equal(err.reason, reason);
	assert_true(err.text[0]);
}

static void refuses_every_beginning_of_a_transaction(void **state)
{
	(void)state;
	for (size_t i = 0; i < json_array_size(list); i++) {
		struct bytes bytes = signed_tx(i);
		while (bytes.len-- > 0) {
			struct solana_tx tx;
			struct error err;
			assert_int_equal(solana_tx_parse(bytes.data, bytes.len, &tx, &err), -1);
			assert_true(strcmp(err.reason, "tx_truncated") == 0 ||
				    strcmp(err.reason, "tx_shortvec") == 0);
		}
	}
}

static void refuses_what_follows_the_end(void **state)
{
	(void)state;
	for (size_t i = 0; i < json_array_size(list); i++) {
		struct bytes bytes = signed_tx(i);
		bytes.data[bytes.len++] = 0;
		refuses(&bytes, "tx_trailing_bytes");
		bytes.len = SOLANA_TX_MAX + 1;
		refuses(&bytes, "tx_too_long");
	}
}

/* Replaces the byte at `at` by `n` others. */
static struct bytes replaced(struct bytes bytes, size_t at, const char *by, size_t n)
{
	memmove(bytes.data + at + n, bytes.data + at + 1, bytes.len - at - 1);
	memcpy(bytes.data + at, by, n);
	bytes.len += n - 1;
	return bytes;
}

/* Where things are in vector 0 (legacy, standalone, one signer, 6 keys, one instruction). */
enum { AT_COUNT, AT_MESSAGE = 65, AT_KEYS = AT_MESSAGE + 3, AT_BLOCKHASH = AT_KEYS + 1 + 6 * 32 };
enum { AT_INSTRUCTIONS = AT_BLOCKHASH + 32, AT_PROGRAM, AT_ACCOUNTS, AT_DATA = AT_ACCOUNTS + 10 };

static void refuses_a_length_not_in_its_shortest_form(void **state)
{
	static const size_t counts[] = {AT_COUNT, AT_KEYS, AT_INSTRUCTIONS, AT_ACCOUNTS, AT_DATA};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		struct bytes bytes = signed_tx(0);
		char two[] = {(char)(bytes.data[counts[i]] | 0x80), 0};
		bytes = replaced(bytes, counts[i], two, 2);
		refuses(&bytes, "tx_shortvec");
		char three[] = {two[0], (char)0x80, 0};
		bytes = replaced(signed_tx(0), counts[i], three, 3);
		refuses(&bytes, "tx_shortvec");
	}
}

static void refuses_counts_that_cannot_be(void **state)
{
	static const struct {
		size_t at;
		char by[3];
		size_t n;
		const char *reason;
	} cases[] = {
	    {AT_COUNT, "\x0d", 1, "tx_too_many"},
	    {AT_KEYS, "\x24", 1, "tx_too_many"},
	    {AT_KEYS, "\xff\xff\x03", 3, "tx_too_many"},
	    {AT_KEYS, "\xff\xff\x04", 3, "tx_shortvec"},
	    {AT_INSTRUCTIONS, "\x41", 1, "tx_too_many"},
	    {AT_ACCOUNTS, "\xd1\x09", 2, "tx_too_many"},
	    {AT_ACCOUNTS, "\xd0\x09", 2, "tx_truncated"},
	    {AT_DATA, "\xd1\x09", 2, "tx_too_many"},
	    {AT_DATA, "\x12", 1, "tx_truncated"},
	    {AT_DATA, "\x10", 1, "tx_trailing_bytes"},
	    {AT_INSTRUCTIONS, "\x00", 1, "tx_trailing_bytes"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bytes bytes = replaced(signed_tx(0), cases[i].at, cases[i].by, cases[i].n);
		refuses(&bytes, cases[i].reason);
	}
}

static void refuses_a_header_that_does_not_fit_its_keys(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
	} cases[] = {
	    {AT_MESSAGE, 0},  /* nobody signs */
	    {AT_MESSAGE, 5},  /* with the two read-only others, more than there are */
	    {AT_MESSAGE, 13}, /* more signers than fit */
	    {AT_MESSAGE, 127},
	    {AT_MESSAGE + 1, 1}, /* the fee payer would be read-only */
	    {AT_MESSAGE + 1, 255},
	    {AT_MESSAGE + 2, 6}, /* it would be counted twice */
	    {AT_MESSAGE + 2, 255},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bytes bytes = signed_tx(0);
		bytes.data[cases[i].at] = cases[i].value;
		refuses(&bytes, "tx_header");
	}
}

static void refuses_a_count_of_signatures_other_than_the_headers(void **state)
{
	struct bytes bytes = signed_tx(0);

	(void)state;
	bytes.data[AT_MESSAGE] = 2;
	refuses(&bytes, "tx_signatures");
	bytes = signed_tx(0);
	memmove(bytes.data + 1, bytes.data + 1 + SIGNATURE_LEN, bytes.len - 1 - SIGNATURE_LEN);
	bytes.data[0] = 0;
	bytes.len -= SIGNATURE_LEN;
	refuses(&bytes, "tx_signatures");
}

static void refuses_indexes_of_keys_that_are_not_there(void **state)
{
	struct bytes bytes = signed_tx(0);

	(void)state;
	for (size_t i = AT_ACCOUNTS + 1; i < AT_DATA; i++) {
		bytes.data[i] = 6;
		refuses(&bytes, "tx_index");
		bytes = signed_tx(0);
		bytes.data[i] = 255;
		refuses(&bytes, "tx_index");
		bytes = signed_tx(0);
	}
	bytes.data[AT_PROGRAM] = 6;
	refuses(&bytes, "tx_index");
	bytes.data[AT_PROGRAM] = 0; /* the fee payer is no program */
	refuses(&bytes, "tx_index");
}

static void refuses_a_key_that_occurs_twice(void **state)
{
	struct bytes bytes = signed_tx(0);

	(void)state;
	memcpy(bytes.data + AT_KEYS + 1 + 2 * 32, bytes.data + AT_KEYS + 1 + 5 * 32, 32);
	refuses(&bytes, "tx_duplicate_key");
}

static void refuses_versions_it_does_not_know(void **state)
{
	(void)state;
	for (unsigned version = 1; version < 128; version++) {
		struct bytes bytes = signed_tx(4);
		bytes.data[AT_MESSAGE] = (uint8_t)(0x80 | version);
		refuses(&bytes, "tx_version");
	}
}

static void refuses_lookup_tables(void **state)
{
	struct bytes bytes = signed_tx(4);

	(void)state;
	bytes.data[bytes.len - 1] = 1;
	memset(bytes.data + bytes.len, 7, 32);
	bytes.len += 32;
	memcpy(bytes.data + bytes.len, "\x01\x00\x00", 3);
	bytes.len += 3;
	refuses(&bytes, "tx_lookup_tables");
}

static void a_length_has_one_form(void **state)
{
	static const struct {
		uint8_t bytes[SHORTVEC_MAX];
		size_t len;
		uint16_t value;
	} cases[] = {{{0}, 1, 0}, {{0x7f}, 1, 127}, {{0x80, 1}, 2, 128}, {{0xff, 0x7f}, 2, 16383},
	    {{0x80, 0x80, 1}, 3, 16384}, {{0xff, 0xff, 3}, 3, 65535}};
	uint16_t value;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(shortvec_get(cases[i].bytes, cases[i].len, &value), cases[i].len);
		assert_int_equal(value, cases[i].value);
		assert_int_equal(shortvec_get(cases[i].bytes, cases[i].len - 1, &value), 0);
	}
	/* every string of three bytes: what is read is written the same */
	for (unsigned n = 0; n < 1U << 24; n++) {
		const uint8_t bytes[] = {(uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16)};
		uint8_t back[SHORTVEC_MAX];
		size_t len = shortvec_get(bytes, sizeof(bytes), &value);
		if (len == 0)
			continue;
		if (shortvec_put(value, back) != len || memcmp(back, bytes, len) != 0)
			fail_msg("%u is read from %06x, but written otherwise", value, n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(reads_the_transactions_that_real_libraries_made),
	    cmocka_unit_test(knows_who_signs_and_what_is_written),
	    cmocka_unit_test(a_signature_that_is_not_one_is_named),
	    cmocka_unit_test(takes_the_signature_of_a_signer_and_no_other),
	    cmocka_unit_test(refuses_every_beginning_of_a_transaction),
	    cmocka_unit_test(refuses_what_follows_the_end),
	    cmocka_unit_test(refuses_a_length_not_in_its_shortest_form),
	    cmocka_unit_test(refuses_counts_that_cannot_be),
	    cmocka_unit_test(refuses_a_header_that_does_not_fit_its_keys),
	    cmocka_unit_test(refuses_a_count_of_signatures_other_than_the_headers),
	    cmocka_unit_test(refuses_indexes_of_keys_that_are_not_there),
	    cmocka_unit_test(refuses_a_key_that_occurs_twice),
	    cmocka_unit_test(refuses_versions_it_does_not_know),
	    cmocka_unit_test(refuses_lookup_tables),
	    cmocka_unit_test(a_length_has_one_form),
	};

	return cmocka_run_group_tests(tests, init, done);
}
