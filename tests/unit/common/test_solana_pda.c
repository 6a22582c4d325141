/* Derived addresses: what web3.js findProgramAddressSync gave for the same seeds. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sodium.h>
#include <string.h>

#include "common/error.h"
#include "common/pubkey.h"
#include "common/solana_pda.h"
#include "common/solana_program.h"

#define OWNER "9hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu"
#define ASSET "8SFqwqnq4whPhs8icwHA2hQg3hUoN1qrCLK1SBx3WKwe"
#define ASSET_SIGNER "E7v3Sj3gKJoapCRcmGX9GgrR1QHrTChrkUnLVXyfPGFf"
#define USDC "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
#define PROFILE "9e2JyrYyMYezHWXbhh3ABnJA2GNnk1T96KKyNXTbbGZn"
#define RECORD "6BP3TKEXrbkQqFyowPZbgetjnMQ5hGQ4u2VcWjsdPZ2J"
#define IDENTITY "4jQytxyXmEXeDvJ9jK2pSMJKxjBQGa5AP54JzDR1MmCf"

static int init(void **state)
{
	(void)state;
	return sodium_init() < 0;
}

static void is_key(const uint8_t key[PUBKEY_LEN], const char *want)
{
	char text[PUBKEY_TEXT_MAX + 1];

	assert_string_equal(pubkey_text(key, text), want);
}

static void finds_where_a_wallet_keeps_its_tokens(void **state)
{
	static const struct {
		const char *wallet;
		enum solana_program program;
		const char *want;
	} cases[] = {
	    {OWNER, SOLANA_PROGRAM_TOKEN, "ASZ2TDDNJG2n42TxAezqNNzwWipykHrENDKMCoLKgzup"},
	    {OWNER, SOLANA_PROGRAM_TOKEN_2022, "DvPz9DgjQmJ4veFXJx2Wkwn1UQLN37kY9WUD2G4ekXC"},
	    {ASSET_SIGNER, SOLANA_PROGRAM_TOKEN, "GMgvKWcKRMG4FBoLfTApmwRtB8ZBLDo32LpHWHYYukVW"},
	    {ASSET_SIGNER, SOLANA_PROGRAM_TOKEN_2022,
		"7shCNjnQuUDjkCVr6iYUAcG8JqyYddYySTW4mZNvY5x2"},
	};
	uint8_t wallet[PUBKEY_LEN], mint[PUBKEY_LEN], pda[PUBKEY_LEN];

	(void)state;
	assert_int_equal(pubkey_parse(USDC, mint), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(pubkey_parse(cases[i].wallet, wallet), 0);
		assert_int_equal(solana_pda_associated_token(
				     wallet, solana_program_key(cases[i].program), mint, pda),
		    0);
		is_key(pda, cases[i].want);
		assert_false(pubkey_is_on_curve(pda));
	}
}

static void finds_what_the_agent_programs_keep_for_an_asset(void **state)
{
	uint8_t owner[PUBKEY_LEN], asset[PUBKEY_LEN], profile[PUBKEY_LEN], pda[PUBKEY_LEN];

	(void)state;
	assert_int_equal(pubkey_parse(OWNER, owner), 0);
	assert_int_equal(pubkey_parse(ASSET, asset), 0);
	assert_int_equal(solana_pda_executive_profile(owner, profile), 0);
	is_key(profile, PROFILE);
	assert_int_equal(solana_pda_execution_delegate_record(profile, asset, pda), 0);
	is_key(pda, RECORD);
	assert_int_equal(solana_pda_agent_identity(asset, pda), 0);
	is_key(pda, IDENTITY);
}

static void knows_its_programs_by_their_addresses(void **state)
{
	static const char *const addresses[] = {
#define ADDRESS(name, title, address) [SOLANA_PROGRAM_##name] = (address),
	    SOLANA_PROGRAMS(ADDRESS)
#undef ADDRESS
	};
	uint8_t key[PUBKEY_LEN];

	(void)state;
	for (enum solana_program i = 0; i < SOLANA_PROGRAM_OTHER; i++) {
		is_key(solana_program_key(i), addresses[i]);
		assert_int_equal(solana_program_of(solana_program_key(i)), i);
		assert_non_null(solana_program_title(i));
	}
	memset(key, 7, sizeof(key));
	assert_int_equal(solana_program_of(key), SOLANA_PROGRAM_OTHER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(finds_where_a_wallet_keeps_its_tokens),
	    cmocka_unit_test(finds_what_the_agent_programs_keep_for_an_asset),
	    cmocka_unit_test(knows_its_programs_by_their_addresses),
	};

	return cmocka_run_group_tests(tests, init, NULL);
}
