/* The sentence that a wallet shows for an act. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <string.h>

#include "services/auth/acts.h"

#define ASSET "6bHSMBYvDL1r8cNsdjmzjmAdyjbGSn8n5ydrdGRcKCVm"

static uint8_t widest[RECIPIENT_LEN]; /* 44 characters in base58 */

static void says_what_for_whom_and_who_asks(void **state)
{
	(void)state;
	char text[SIWS_STATEMENT_MAX + 1];
	struct error err;
	struct act_for act = {.act = "hot_wallet", .asset = ASSET, .ip = "203.0.113.7"};
	assert_int_equal(act_statement(&act, text, &err), 0);
	assert_string_equal(text,
	    "Create the hot wallet of multiclaw agent " ASSET
	    " and show its secret key once, asked from 203.0.113.7. No transaction, no cost.");
	uint8_t recipient[RECIPIENT_LEN];
	assert_int_equal(
	    pubkey_parse("9hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu", recipient), 0);
	act.recipient = recipient;
	assert_int_equal(act_statement(&act, text, &err), 0);
	assert_string_equal(text,
	    "Create the hot wallet of multiclaw agent " ASSET
	    " and show its secret key once, sealed to "
	    "9hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu, asked from 203.0.113.7. No "
	    "transaction, no cost.");
}

static void raw_instructions_are_named_as_what_they_are(void **state)
{
	(void)state;
	char text[SIWS_STATEMENT_MAX + 1];
	struct error err;
	const struct act_for act = {.act = "raw_instructions",
	    .asset = ASSET,
	    .ip = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255"};
	assert_int_equal(act_statement(&act, text, &err), 0);
	assert_string_equal(text,
	    "Compose raw instructions for multiclaw agent " ASSET
	    " that may give all away, asked from ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255. No "
	    "transaction, no cost.");
}

static void each_act_is_one_services(void **state)
{
	(void)state;
	assert_true(act_is_confirmed_by("hot_wallet", ROLE_VAULT));
	assert_false(act_is_confirmed_by("hot_wallet", ROLE_WALLET));
	assert_true(act_is_confirmed_by("raw_instructions", ROLE_WALLET));
	assert_false(act_is_confirmed_by("raw_instructions", ROLE_VAULT));
	assert_true(act_is_confirmed_by("nonsense", ROLE_VAULT));
}

static void the_longest_fits_and_makes_a_text(void **state)
{
	(void)state;
	char text[SIWS_STATEMENT_MAX + 1], message[SIWS_TEXT_MAX + 1], key[PUBKEY_TEXT_MAX + 1];
	struct error err;
	memset(widest, 0xff, sizeof(widest));
	widest[31] = 0x7f;
	assert_int_equal(strlen(pubkey_text(widest, key)), PUBKEY_TEXT_MAX);
	const struct act_for act = {
	    .act = "hot_wallet",
	    .asset = ASSET,
	    .ip = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
	    .recipient = widest,
	};
	assert_int_equal(act_statement(&act, text, &err), 0);
	assert_true(strlen(text) <= SIWS_STATEMENT_MAX);
	assert_non_null(strstr(text, "no cost."));
	const struct siws fields = {.domain = "d", .address = "a", .statement = text};
	assert_int_equal(siws_compose(&fields, message, &err), 0);
}

static void one_that_does_not_fit_is_refused_not_cut(void **state)
{
	(void)state;
	char text[SIWS_STATEMENT_MAX + 1], ip[200];
	struct error err;
	memset(ip, '1', sizeof(ip) - 1);
	ip[sizeof(ip) - 1] = '\0';
	const struct act_for act = {.act = "hot_wallet", .asset = ASSET, .ip = ip};
	assert_int_equal(act_statement(&act, text, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
}

static void knows_no_other_act(void **state)
{
	(void)state;
	static const char *const others[] = {
	    "", "sign_in", "hot_walle", "hot_wallet ", "HOT_WALLET"};
	char text[SIWS_STATEMENT_MAX + 1];
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		struct error err;
		const struct act_for act = {.act = others[i], .asset = ASSET, .ip = "::1"};
		assert_int_equal(act_statement(&act, text, &err), -1);
		assert_string_equal(err.reason, "act_unknown");
	}
}

static void seals_to_no_key_that_anybody_can_open(void **state)
{
	(void)state;
	/* of order 1, 4 and 8 (RFC 7748 section 6.1 and what libsodium refuses besides) */
	static const char *const small[] = {
	    "0000000000000000000000000000000000000000000000000000000000000000",
	    "0100000000000000000000000000000000000000000000000000000000000000",
	    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
	    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
	    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	};
	char text[SIWS_STATEMENT_MAX + 1];
	for (size_t i = 0; i < ARRAY_LEN(small); i++) {
		struct error err;
		uint8_t key[RECIPIENT_LEN];
		assert_int_equal(
		    sodium_hex2bin(key, sizeof(key), small[i], 64, NULL, NULL, NULL), 0);
		const struct act_for act = {
		    .act = "hot_wallet", .asset = ASSET, .ip = "::1", .recipient = key};
		assert_int_equal(act_statement(&act, text, &err), -1);
		assert_string_equal(err.reason, "recipient_invalid");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(says_what_for_whom_and_who_asks),
	    cmocka_unit_test(raw_instructions_are_named_as_what_they_are),
	    cmocka_unit_test(each_act_is_one_services),
	    cmocka_unit_test(the_longest_fits_and_makes_a_text),
	    cmocka_unit_test(one_that_does_not_fit_is_refused_not_cut),
	    cmocka_unit_test(knows_no_other_act),
	    cmocka_unit_test(seals_to_no_key_that_anybody_can_open),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
