/* What the command line agrees to sign. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "services/cli/signed_text.h"

#define WALLET "Cdd9cBNtehjAQmX815WQZtfdNTsQnYNUBiJxuHEhUXd4"
#define ASSET "EZQRW4ErQBWur7BHodvgGVGCXMibe8B6m4PechYCrf6V"
#define RECIPIENT "3tPyYLxnmJKNCPvDzoqWBfTaRKTp5LvVLXiyjiuPxWhi"
#define HEAD(host, wallet) host " wants you to sign in with your Solana account:\n" wallet "\n\n"
#define TAIL "\n\nURI: https://console.example.com\nVersion: 1\n"
#define HOT(asset, recipient) \
	"Create the hot wallet of multiclaw agent " asset \
	" and show its secret key once" recipient \
	", asked from 127.0.0.1. No transaction, no cost." TAIL
#define RAW(asset) \
	"Compose raw instructions for multiclaw agent " asset \
	" that may give all away, asked from 127.0.0.1. No transaction, no cost." TAIL
#define SIGN_IN \
	"Sign in to multiclaw agent " ASSET \
	" from 127.0.0.1. This does not send a transaction or cost anything." TAIL

static bool agrees(const char *statement, const char *message)
{
	const struct signed_text expected = {.url = "https://console.example.com",
	    .wallet = WALLET,
	    .statement = statement,
	    .what = "it"};
	struct error err = {0};
	int rc = signed_text_check(&expected, message, &err);

	assert_true(rc == 0 || err.code == ERR_DENIED);
	return rc == 0;
}

static void a_sign_in_is_signed_and_nothing_that_only_looks_like_one(void **state)
{
	(void)state;
	assert_true(agrees(SIGNED_TEXT_SIGN_IN, HEAD("console.example.com", WALLET) SIGN_IN));
	assert_false(agrees(SIGNED_TEXT_SIGN_IN, HEAD("evil.example.com", WALLET) SIGN_IN));
	assert_false(
	    agrees(SIGNED_TEXT_SIGN_IN, HEAD("console.example.com.evil.net", WALLET) SIGN_IN));
	assert_false(agrees(SIGNED_TEXT_SIGN_IN, HEAD("console.example.com", ASSET) SIGN_IN));
	assert_false(agrees(SIGNED_TEXT_SIGN_IN, SIGN_IN));
	assert_false(agrees(SIGNED_TEXT_SIGN_IN, ""));
	/* a sign-in must not become an act */
	assert_false(agrees(SIGNED_TEXT_SIGN_IN,
	    HEAD("console.example.com", WALLET) HOT(ASSET, ", sealed to " RECIPIENT)));
	assert_false(
	    agrees(SIGNED_TEXT_SIGN_IN, HEAD("console.example.com", WALLET) HOT(ASSET, "")));
}

static void a_hot_wallet_is_made_for_this_agent_and_this_recipient_only(void **state)
{
	char statement[SIGNED_TEXT_MAX];

	(void)state;
	signed_text_hot_wallet(ASSET, RECIPIENT, statement);
	assert_true(agrees(
	    statement, HEAD("console.example.com", WALLET) HOT(ASSET, ", sealed to " RECIPIENT)));
	assert_false(agrees(statement, HEAD("console.example.com", WALLET) HOT(ASSET, "")));
	assert_false(agrees(
	    statement, HEAD("console.example.com", WALLET) HOT(ASSET, ", sealed to " WALLET)));
	assert_false(agrees(statement,
	    HEAD("console.example.com", WALLET) HOT(RECIPIENT, ", sealed to " RECIPIENT)));
	assert_false(agrees(statement,
	    HEAD("console.example.com", WALLET) HOT(ASSET, ", sealed to " RECIPIENT "x")));
	assert_false(agrees(statement, HEAD("console.example.com", WALLET) SIGN_IN));
}

static void raw_instructions_are_agreed_to_for_this_agent_only(void **state)
{
	char statement[SIGNED_TEXT_MAX];

	(void)state;
	signed_text_raw_instructions(ASSET, statement);
	assert_true(agrees(statement, HEAD("console.example.com", WALLET) RAW(ASSET)));
	assert_false(agrees(statement, HEAD("console.example.com", WALLET) RAW(RECIPIENT)));
	assert_false(agrees(statement, HEAD("evil.example.com", WALLET) RAW(ASSET)));
	assert_false(agrees(statement, HEAD("console.example.com", WALLET) HOT(ASSET, "")));
	assert_false(agrees(statement, HEAD("console.example.com", WALLET) SIGN_IN));
	assert_false(agrees(SIGNED_TEXT_SIGN_IN, HEAD("console.example.com", WALLET) RAW(ASSET)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_sign_in_is_signed_and_nothing_that_only_looks_like_one),
	    cmocka_unit_test(a_hot_wallet_is_made_for_this_agent_and_this_recipient_only),
	    cmocka_unit_test(raw_instructions_are_agreed_to_for_this_agent_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
