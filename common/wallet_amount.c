#include "common/wallet_amount.h"

#include <stdio.h>
#include <string.h>

#define DECIMALS_SHOWN 20
#define DIGITS "0123456789"

char *wallet_amount_text(uint64_t amount, uint8_t decimals, char text[WALLET_AMOUNT_MAX])
{
	char digits[48];
	unsigned long long number = amount;

	if (decimals > DECIMALS_SHOWN) {
		snprintf(text, WALLET_AMOUNT_MAX, "%llue-%u", number, decimals);
		return text;
	}
	/* at least one digit before the point */
	int len = snprintf(digits, sizeof(digits), "%0*llu", decimals + 1, number);
	int whole = len - decimals, fraction = decimals;
	while (fraction > 0 && digits[whole + fraction - 1] == '0')
		fraction--;
	snprintf(text, WALLET_AMOUNT_MAX, "%.*s%s%.*s", whole, digits, fraction ? "." : "",
	    fraction, digits + whole);
	return text;
}

static bool append(uint64_t *amount, const char *digits, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (__builtin_mul_overflow(*amount, 10, amount) ||
		    __builtin_add_overflow(*amount, (uint64_t)(digits[i] - '0'), amount))
			return false;
	return true;
}

static bool append_zeros(uint64_t *amount, size_t n)
{
	/* of nothing any number of zeros is nothing */
	for (; n > 0 && *amount > 0; n--)
		if (__builtin_mul_overflow(*amount, 10, amount))
			return false;
	return true;
}

int wallet_amount_parse(const char *text, uint8_t decimals, uint64_t *amount_r, struct error *err)
{
	size_t whole = strspn(text, DIGITS);
	bool point = text[whole] == '.';
	const char *fraction = text + whole + point;
	size_t n = point ? strspn(fraction, DIGITS) : 0;
	uint64_t amount = 0;

	if (whole == 0 || (point && n == 0) || fraction[n] != '\0')
		return error_refuse(err, ERR_INVALID, "amount",
		    "an amount is written in digits, with at most one point between them");
	if (n > decimals)
		return error_refuse(err, ERR_INVALID, "amount",
		    "%zu digits behind the point, there are only %u decimals", n, decimals);
	if (!append(&amount, text, whole) || !append(&amount, fraction, n) ||
	    !append_zeros(&amount, decimals - n))
		return error_refuse(
		    err, ERR_INVALID, "amount", "an amount larger than any account can hold");
	*amount_r = amount;
	return 0;
}
