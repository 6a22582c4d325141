/* Token accounts and mints, of both programs; what a mint's extensions change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "common/token_account.h"

static uint8_t account[200], mint[400];

static int fresh(void **state)
{
	(void)state;
	memset(account, 0, sizeof(account));
	memset(account, 1, 32);
	memset(account + 32, 2, 32);
	account[64] = 9;
	account[108] = 1;
	memset(mint, 0, sizeof(mint));
	mint[44] = 6;
	mint[45] = 1;
	return 0;
}

static void reads_an_account(void **state)
{
	struct token_account token;
	(void)state;
	assert_true(token_account_read(account, 165, &token));
	assert_ptr_equal(token.mint, account);
	assert_ptr_equal(token.owner, account + 32);
	assert_int_equal(token.amount, 9);
	assert_false(token.frozen || token.wrapped || token.delegate || token.closer);
	account[108] = 2;
	account[72] = account[109] = account[129] = 1;
	account[121] = 4;
	assert_true(token_account_read(account, 165, &token));
	assert_true(token.frozen && token.wrapped);
	assert_ptr_equal(token.delegate, account + 76);
	assert_ptr_equal(token.closer, account + 133);
	assert_int_equal(token.delegated, 4);
}

static void what_is_no_account_is_none(void **state)
{
	struct token_account token;
	(void)state;
	assert_false(token_account_read(account, 164, &token));
	assert_false(token_account_read(account, 170, &token)); /* its type is not said */
	account[165] = 1;
	assert_false(token_account_read(account, 170, &token)); /* a mint's */
	account[165] = 2;
	assert_true(token_account_read(account, 170, &token));
	account[108] = 0;
	assert_false(token_account_read(account, 165, &token));
}

static void reads_a_mint(void **state)
{
	struct token_mint read;
	(void)state;
	assert_true(token_mint_read(false, mint, 82, &read));
	assert_int_equal(read.decimals, 6);
	assert_int_equal(read.account_len, 165);
	assert_true(token_mint_read(true, mint, 82, &read));
	assert_int_equal(read.account_len, 170); /* the owner is immutable */
	assert_false(token_mint_read(false, mint, 81, &read));
	assert_false(token_mint_read(false, mint, 170, &read));
	assert_false(token_mint_read(true, mint, 170, &read)); /* its type is not said */
	mint[45] = 0;
	assert_false(token_mint_read(false, mint, 82, &read));
}

static size_t extend(size_t at, unsigned type, size_t len)
{
	mint[at] = (uint8_t)type;
	mint[at + 2] = (uint8_t)len;
	return at + 4 + len;
}

static void extensions_make_accounts_longer_or_transfers_impossible(void **state)
{
	struct token_mint read;
	(void)state;
	mint[165] = 1;
	size_t end = extend(extend(extend(166, 1, 108), 14, 64), 26, 33);
	assert_true(token_mint_read(true, mint, end, &read));
	assert_int_equal(read.account_len, 170 + 12 + 5 + 4);
	assert_true(read.fee_bps == 0 && !read.hooked && !read.stays); /* no program is set */
	uint8_t *fees = mint + 166 + 4;
	fees[88] = 250; /* the present rate, of at most nothing */
	assert_true(token_mint_read(true, mint, end, &read));
	assert_int_equal(read.fee_bps, 0);
	fees[80] = 1;
	assert_true(token_mint_read(true, mint, end, &read));
	assert_int_equal(read.fee_bps, 250);
	fees[98 + 7] = 1;
	fees[107] = 1; /* the next is higher */
	assert_true(token_mint_read(true, mint, end, &read));
	assert_int_equal(read.fee_bps, 256);
	mint[166 + 4 + 108 + 4 + 40] = 1;
	assert_true(token_mint_read(true, mint, end, &read));
	assert_true(read.hooked);
	memset(mint + 166, 0, sizeof(mint) - 166);
	end = extend(166, 9, 0);
	assert_true(token_mint_read(true, mint, end, &read));
	assert_true(read.stays);
	mint[168] = 1; /* longer than there is: not read */
	assert_true(token_mint_read(true, mint, end, &read));
	assert_false(read.stays);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(reads_an_account, fresh),
	    cmocka_unit_test_setup(what_is_no_account_is_none, fresh),
	    cmocka_unit_test_setup(reads_a_mint, fresh),
	    cmocka_unit_test_setup(extensions_make_accounts_longer_or_transfers_impossible, fresh),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
