/* Amounts with decimals, written and read to the last unit. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/wallet_amount.h"

static void writes_amounts_exactly(void **state)
{
	static const struct {
		uint64_t amount;
		uint8_t decimals;
		const char *want;
	} cases[] = {{0, 0, "0"}, {0, 9, "0"}, {1, 0, "1"}, {1, 9, "0.000000001"},
	    {10, 9, "0.00000001"}, {1000000000, 9, "1"}, {1500000, 6, "1.5"}, {100, 0, "100"},
	    {UINT64_MAX, 0, "18446744073709551615"}, {UINT64_MAX, 9, "18446744073.709551615"},
	    {UINT64_MAX, 20, "0.18446744073709551615"},
	    {UINT64_MAX, 21, "18446744073709551615e-21"}, {5, 255, "5e-255"},
	    {1, 20, "0.00000000000000000001"}};
	char text[WALLET_AMOUNT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(
		    wallet_amount_text(cases[i].amount, cases[i].decimals, text), cases[i].want);
}

static void reads_what_it_writes(void **state)
{
	static const uint64_t amounts[] = {0, 1, 9, 10, 1500000, 999999999, 1000000000, UINT64_MAX};
	char text[WALLET_AMOUNT_MAX];
	uint64_t amount;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(amounts); i++)
		for (uint8_t decimals = 0; decimals <= 20; decimals++) {
			wallet_amount_text(amounts[i], decimals, text);
			assert_int_equal(wallet_amount_parse(text, decimals, &amount, NULL), 0);
			assert_int_equal(amount, amounts[i]);
		}
	assert_int_equal(wallet_amount_parse("00.50", 9, &amount, NULL), 0);
	assert_int_equal(amount, 500000000);
	assert_int_equal(wallet_amount_parse("0", 255, &amount, NULL), 0);
	assert_int_equal(amount, 0);
}

static void refuses_what_is_no_amount(void **state)
{
	static const struct {
		const char *text;
		uint8_t decimals;
	} cases[] = {{"", 9}, {"-1", 9}, {"+1", 9}, {"1e3", 9}, {"0x10", 9}, {" 1", 9}, {"1 ", 9},
	    {"1,5", 9}, {".5", 9}, {"1.", 9}, {".", 9}, {"1.2.3", 9}, {"1.", 0}, {"1.0", 0},
	    {"0.0000000001", 9}, {"1.5x", 9}, {"18446744073709551616", 0},
	    {"18446744073.709551616", 9}, {"18446744074", 9}, {"1", 20},
	    {"99999999999999999999999999999999", 0}, {"1", 255}, {"NaN", 9}, {"all", 9}};
	uint64_t amount = 7;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = {.code = ERR_NONE};
		if (wallet_amount_parse(cases[i].text, cases[i].decimals, &amount, &err) == 0)
			fail_msg("\"%s\" is taken", cases[i].text);
		assert_string_equal(err.reason, "amount");
	}
	assert_int_equal(amount, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(writes_amounts_exactly),
	    cmocka_unit_test(reads_what_it_writes),
	    cmocka_unit_test(refuses_what_is_no_amount),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
