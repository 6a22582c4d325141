/* Bytes as texts of a body. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <string.h>

#include "services/router/fields.h"

static void keys_and_signatures_are_base58_of_their_length(void **state)
{
	(void)state;
	struct error err = {0};
	uint8_t signature[SIGNATURE_LEN], bytes[SIGNATURE_LEN];
	char text[SIGNATURE_TEXT_MAX + 1];
	randombytes_buf(bytes, sizeof(bytes));
	base58_encode(bytes, sizeof(bytes), text, sizeof(text));
	assert_int_equal(fields_signature(text, signature, &err), 0);
	assert_memory_equal(signature, bytes, sizeof(bytes));
	text[strlen(text) / 2] = '0';
	assert_int_equal(fields_signature(text, signature, &err), -1);
	assert_string_equal(err.reason, "body_invalid");
	assert_int_equal(fields_signature("", signature, &err), -1);

	base58_encode(bytes, PUBKEY_LEN, text, sizeof(text));
	assert_int_equal(fields_key(text, "wallet_invalid", &err), 0);
	base58_encode(bytes, PUBKEY_LEN - 1, text, sizeof(text));
	assert_int_equal(fields_key(text, "wallet_invalid", &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_string_equal(err.reason, "wallet_invalid");
	assert_string_equal(err.text, "wallet is not 32 bytes in base58");
}

static void other_bytes_are_base64_with_padding_that_fits(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int len; /* -1: refused */
	} cases[] = {
	    {"", 0},
	    {"AA==", 1},
	    {"AAA=", 2},
	    {"AAAA", 3},
	    {"AAAAAA==", 4},
	    {"AAAAAAA=", -1},
	    {"AA", -1},
	    {"AA=", -1},
	    {"AAAA====", -1},
	    {"AB==", -1},
	    {" AA==", -1},
	    {"AA==\n", -1},
	    {"-_8=", -1},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t bytes[4];
		size_t len = 99;
		struct error err = {0};
		int rc =
		    fields_base64("recipient", cases[i].text, bytes, sizeof(bytes), &len, &err);
		assert_int_equal(rc, cases[i].len < 0 ? -1 : 0);
		if (rc == 0)
			assert_int_equal(len, cases[i].len);
		else
			assert_string_equal(err.reason, "body_invalid");
	}
}

static void a_recipient_is_told_in_either(void **state)
{
	(void)state;
	for (int i = 0; i < 1000; i++) {
		uint8_t bytes[PUBKEY_LEN + 1], key[PUBKEY_LEN];
		char base58[PUBKEY_TEXT_MAX + 1], base64[FIELDS_BASE64_SIZE(sizeof(bytes))];
		struct error err = {0};
		randombytes_buf(bytes, sizeof(bytes));
		memset(bytes, 0, (size_t)i % 3); /* short ones, too */
		assert_int_equal(fields_recipient(pubkey_text(bytes, base58), key, &err), 0);
		assert_memory_equal(key, bytes, sizeof(key));
		for (size_t len = sizeof(bytes) - 2; len <= sizeof(bytes); len++) {
			sodium_bin2base64(
			    base64, sizeof(base64), bytes, len, sodium_base64_VARIANT_ORIGINAL);
			/* now and then, a byte too many reads as the base58 of another key */
			bool is_base58 = pubkey_parse(base64, key) == 0;
			int rc = is_base58 ? -1 : fields_recipient(base64, key, &err);
			assert_int_equal(rc, len == PUBKEY_LEN ? 0 : -1);
			if (rc == 0)
				assert_memory_equal(key, bytes, sizeof(key));
			else if (!is_base58)
				assert_string_equal(err.reason, "recipient_invalid");
		}
		assert_int_equal(fields_recipient("", key, &err), -1);
	}
}

static void a_number_is_written_in_one_way(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool is_number;
		uint64_t number;
	} cases[] = {
	    {"0", true, 0},
	    {"1", true, 1},
	    {"42", true, 42},
	    {"999999999999999999", true, UINT64_C(999999999999999999)},
	    {"1000000000000000000", false, 0},
	    {"18446744073709551617", false, 0},
	    {"", false, 0},
	    {"01", false, 0},
	    {"00", false, 0},
	    {"+1", false, 0},
	    {"-1", false, 0},
	    {" 1", false, 0},
	    {"1 ", false, 0},
	    {"1.0", false, 0},
	    {"1e3", false, 0},
	    {"0x1", false, 0},
	    {"%31", false, 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t number = 0;
		assert_int_equal(fields_number(cases[i].text, &number), cases[i].is_number);
		assert_true(number == cases[i].number);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_number_is_written_in_one_way),
	    cmocka_unit_test(a_recipient_is_told_in_either),
	    cmocka_unit_test(keys_and_signatures_are_base58_of_their_length),
	    cmocka_unit_test(other_bytes_are_base64_with_padding_that_fits),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
