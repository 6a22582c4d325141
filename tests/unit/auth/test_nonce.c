/* The challenge as it lies in the ledger. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <string.h>

#include "services/auth/nonce.h"

static const struct nonce_record record = {
    .wallet = "9hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu",
    .asset = "6bHSMBYvDL1r8cNsdjmzjmAdyjbGSn8n5ydrdGRcKCVm",
    .text = "claw.example wants you to sign in with your Solana account:\n"
	    "9hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu",
    .expires_ms = 1767323345678,
};

static void encode(const struct nonce_record *what, msgpack_sbuffer *buf)
{
	struct error err;
	msgpack_sbuffer_init(buf);
	assert_int_equal(nonce_encode(what, buf, &err), 0);
}

static void comes_back_as_it_was_stored(void **state)
{
	(void)state;
	struct nonce_record back, unnamed = record;
	struct error err;
	msgpack_sbuffer buf;
	encode(&record, &buf);
	assert_int_equal(nonce_decode(buf.data, buf.size, &back, &err), 0);
	assert_memory_equal(&back, &record, sizeof(record));
	msgpack_sbuffer_destroy(&buf);
	memset(unnamed.asset, 0, sizeof(unnamed.asset));
	encode(&unnamed, &buf);
	assert_int_equal(nonce_decode(buf.data, buf.size, &back, &err), 0);
	assert_string_equal(back.asset, "");
	assert_string_equal(back.act, "");
	assert_int_equal(back.recipient.len, 0);
	msgpack_sbuffer_destroy(&buf);
	struct nonce_record act = record;
	snprintf(act.act, sizeof(act.act), "hot_wallet");
	act.recipient.len = sizeof(act.recipient.data);
	memset(act.recipient.data, 7, act.recipient.len);
	encode(&act, &buf);
	assert_int_equal(nonce_decode(buf.data, buf.size, &back, &err), 0);
	assert_memory_equal(&back, &act, sizeof(act));
	msgpack_sbuffer_destroy(&buf);
}

static void refuses_it_cut_or_longer(void **state)
{
	(void)state;
	struct nonce_record back;
	struct error err = {0};
	msgpack_sbuffer buf;
	encode(&record, &buf);
	for (size_t len = 0; len < buf.size; len++) {
		assert_int_equal(nonce_decode(buf.data, len, &back, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
	}
	msgpack_sbuffer_write(&buf, "\xc0", 1);
	assert_int_equal(nonce_decode(buf.data, buf.size, &back, &err), -1);
	msgpack_sbuffer_destroy(&buf);
}

static void nonces_are_128_bits_that_differ(void **state)
{
	(void)state;
	char nonces[64][NONCE_LEN + 1];
	for (size_t i = 0; i < 64; i++) {
		nonce_new(nonces[i]);
		assert_true(nonce_is_valid(nonces[i]));
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(nonces[i], nonces[j]);
	}
}

static void knows_what_cannot_be_a_nonce(void **state)
{
	(void)state;
	assert_true(nonce_is_valid("0123456789abcdef0123456789abcdef"));
	assert_false(nonce_is_valid(""));
	assert_false(nonce_is_valid("0123456789abcdef0123456789abcde"));
	assert_false(nonce_is_valid("0123456789abcdef0123456789abcdef0"));
	assert_false(nonce_is_valid("0123456789ABCDEF0123456789abcdef"));
	assert_false(nonce_is_valid("0123456789abcdef0123456789abcde\n"));
	assert_false(nonce_is_valid("../../../mc:session:0123456789ab"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(comes_back_as_it_was_stored),
	    cmocka_unit_test(refuses_it_cut_or_longer),
	    cmocka_unit_test(nonces_are_128_bits_that_differ),
	    cmocka_unit_test(knows_what_cannot_be_a_nonce),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
