#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/base58.h"
#include "common/error.h"
#include "common/scoped.h"
#include "tests/unit/common/vectors.h"

static int init(void **state)
{
	(void)state;
	return sodium_init() < 0;
}

static void agrees_with_the_ecosystems_vectors(void **state)
{
	scoped_json json_t *root = vectors_solana();
	json_t *vector;
	size_t i;

	(void)state;
	assert_true(json_array_size(json_object_get(root, "base58")) > 0);
	json_array_foreach(json_object_get(root, "base58"), i, vector)
	{
		uint8_t bytes[128], back[128];
		char text[200];
		size_t len = vectors_hex(vector, "hex", bytes, sizeof(bytes));
		const char *want = vectors_str(vector, "base58");

		assert_int_equal(
		    base58_encode(bytes, len, text, base58_text_size(len)), strlen(want));
		assert_string_equal(text, want);
		assert_int_equal(base58_decode(want, back, len), 0);
		assert_memory_equal(back, bytes, len);
	}
}

static void agrees_with_every_key_of_the_vectors(void **state)
{
	scoped_json json_t *root = vectors_solana();
	const char *name;
	json_t *vector;

	(void)state;
	assert_true(json_object_size(json_object_get(root, "keys")) > 0);
	json_object_foreach(json_object_get(root, "keys"), name, vector)
	{
		uint8_t key[PUBKEY_LEN], parsed[PUBKEY_LEN];
		char text[PUBKEY_TEXT_MAX + 1];

		assert_int_equal(vectors_hex(vector, "pubkey_hex", key, sizeof(key)), PUBKEY_LEN);
		assert_string_equal(pubkey_text(key, text), vectors_str(vector, "address"));
		assert_int_equal(pubkey_parse(text, parsed), 0);
		assert_memory_equal(key, parsed, PUBKEY_LEN);
	}
}

static void text_and_bytes_lead_to_each_other_at_every_length(void **state)
{
	uint8_t bytes[128], back[128];
	char text[200];

	(void)state;
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		for (size_t zeros = 0; zeros <= len && zeros < 5; zeros++) {
			randombytes_buf(bytes, sizeof(bytes));
			memset(bytes, 0, zeros);
			size_t n = base58_encode(bytes, len, text, base58_text_size(len));
			assert_int_equal(n, strlen(text));
			assert_true(n < base58_text_size(len));
			assert_int_equal(base58_decode(text, back, len), 0);
			assert_memory_equal(back, bytes, len);
			if (len > 0)
				assert_int_equal(base58_decode(text, back, len - 1), -1);
			if (len < sizeof(bytes))
				assert_int_equal(base58_decode(text, back, len + 1), -1);
		}
	}
}

static void the_extremes_of_every_length_fit_the_promised_size(void **state)
{
	uint8_t bytes[128];
	char text[200];

	(void)state;
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		memset(bytes, 0xff, sizeof(bytes));
		assert_true(
		    base58_encode(bytes, len, text, base58_text_size(len)) < base58_text_size(len));
		memset(bytes, 0, sizeof(bytes));
		assert_int_equal(base58_encode(bytes, len, text, base58_text_size(len)), len);
	}
}

static void refuses_what_is_not_exactly_a_key(void **state)
{
	static const char *const texts[] = {
	    "",
	    "1",
	    "1111111111111111111111111111111",               /* 31 zero bytes */
	    "111111111111111111111111111111111",             /* 33 zero bytes */
	    "JEKNVnkbo3jma5nREBBJCDoXFVeKkD56V3xKrvRmWxFH",  /* 2^256 */
	    "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",  /* 44 digits, over 2^256 */
	    "1JEKNVnkbo3jma5nREBBJCDoXFVeKkD56V3xKrvRmWxFG", /* a zero byte before 32 */
	    "19hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu", /* a second text of one key */
	    " 9hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu", /* white space */
	    "9hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu ",
	    "9hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu\n",
	    "0hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu", /* not in the alphabet: 0 O I l */
	    "OhSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu",
	    "IhSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu",
	    "lhSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu",
	    "9hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWB+",
	    "\xc3\xa9hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu",
	};
	uint8_t key[PUBKEY_LEN];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (pubkey_parse(texts[i], key) == 0)
			fail_msg("accepted: %s", texts[i]);
}

static void refuses_every_foreign_byte_at_every_place(void **state)
{
	static const char good[] = "9hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu";
	static const char alphabet[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
	uint8_t key[PUBKEY_LEN];
	char text[sizeof(good)];

	(void)state;
	for (size_t at = 0; at < sizeof(good) - 1; at++) {
		for (int c = 1; c < 256; c++) {
			if (strchr(alphabet, c))
				continue;
			memcpy(text, good, sizeof(good));
			text[at] = (char)c;
			assert_int_equal(pubkey_parse(text, key), -1);
		}
	}
}

static void leaves_the_key_alone_when_it_refuses(void **state)
{
	uint8_t key[PUBKEY_LEN], before[PUBKEY_LEN];

	(void)state;
	memset(key, 0x5a, sizeof(key));
	memcpy(before, key, sizeof(key));
	assert_int_equal(pubkey_parse("19hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu", key), -1);
	assert_memory_equal(key, before, sizeof(key));
}

static void an_endless_text_is_refused_at_once(void **state)
{
	static char text[1 << 20];
	uint8_t key[PUBKEY_LEN];

	(void)state;
	memset(text, '1', sizeof(text) - 1);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(pubkey_parse(text, key), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(agrees_with_the_ecosystems_vectors),
	    cmocka_unit_test(agrees_with_every_key_of_the_vectors),
	    cmocka_unit_test(text_and_bytes_lead_to_each_other_at_every_length),
	    cmocka_unit_test(the_extremes_of_every_length_fit_the_promised_size),
	    cmocka_unit_test(refuses_what_is_not_exactly_a_key),
	    cmocka_unit_test(refuses_every_foreign_byte_at_every_place),
	    cmocka_unit_test(leaves_the_key_alone_when_it_refuses),
	    cmocka_unit_test(an_endless_text_is_refused_at_once),
	};

	return cmocka_run_group_tests(tests, init, NULL);
}
