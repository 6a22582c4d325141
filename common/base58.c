#include "common/base58.h"

#include <string.h>

#include "common/error.h"

#define BYTES_MAX 128
#define LIMBS_MAX (BYTES_MAX / 4)
/* Five digits are the most that fit in 32 bits, so five are moved at a time. */
#define STEP 5
#define STEP_BASE 656356768U /* 58^5 */

static const char alphabet[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/* Value of each ASCII character, plus one; 0: not in the alphabet. */
static const uint8_t digit_values[128] = {['1'] = 1,
    ['2'] = 2,
    ['3'] = 3,
    ['4'] = 4,
    ['5'] = 5,
    ['6'] = 6,
    ['7'] = 7,
    ['8'] = 8,
    ['9'] = 9,
    ['A'] = 10,
    ['B'] = 11,
    ['C'] = 12,
    ['D'] = 13,
    ['E'] = 14,
    ['F'] = 15,
    ['G'] = 16,
    ['H'] = 17,
    ['J'] = 18,
    ['K'] = 19,
    ['L'] = 20,
    ['M'] = 21,
    ['N'] = 22,
    ['P'] = 23,
    ['Q'] = 24,
    ['R'] = 25,
    ['S'] = 26,
    ['T'] = 27,
    ['U'] = 28,
    ['V'] = 29,
    ['W'] = 30,
    ['X'] = 31,
    ['Y'] = 32,
    ['Z'] = 33,
    ['a'] = 34,
    ['b'] = 35,
    ['c'] = 36,
    ['d'] = 37,
    ['e'] = 38,
    ['f'] = 39,
    ['g'] = 40,
    ['h'] = 41,
    ['i'] = 42,
    ['j'] = 43,
    ['k'] = 44,
    ['m'] = 45,
    ['n'] = 46,
    ['o'] = 47,
    ['p'] = 48,
    ['q'] = 49,
    ['r'] = 50,
    ['s'] = 51,
    ['t'] = 52,
    ['u'] = 53,
    ['v'] = 54,
    ['w'] = 55,
    ['x'] = 56,
    ['y'] = 57,
    ['z'] = 58};

/* The number as 32-bit limbs, least significant first. */
static size_t limbs_load(uint32_t limbs[LIMBS_MAX], const uint8_t *bytes, size_t len)
{
	memset(limbs, 0, LIMBS_MAX * sizeof(limbs[0]));
	for (size_t i = 0; i < len; i++)
		limbs[i / 4] |= (uint32_t)bytes[len - 1 - i] << (8 * (i % 4));
	return (len + 3) / 4;
}

/* limbs = limbs / STEP_BASE; returns the remainder. */
static uint32_t limbs_divide(uint32_t *limbs, size_t n)
{
	uint64_t rest = 0;

	for (size_t i = n; i-- > 0;) {
		uint64_t part = rest << 32 | limbs[i];
		limbs[i] = (uint32_t)(part / STEP_BASE);
		rest = part % STEP_BASE;
	}
	return (uint32_t)rest;
}

/* limbs = limbs * factor + add; returns what did not fit. */
static uint32_t limbs_multiply(uint32_t *limbs, size_t n, uint32_t factor, uint32_t add)
{
	uint64_t carry = add;

	for (size_t i = 0; i < n; i++) {
		carry += (uint64_t)limbs[i] * factor;
		limbs[i] = (uint32_t)carry;
		carry >>= 32;
	}
	return (uint32_t)carry;
}

size_t base58_encode(const uint8_t *bytes, size_t len, char *text, size_t size)
{
	char digits[LIMBS_MAX * 6 + STEP]; /* least significant first */
	uint32_t limbs[LIMBS_MAX];
	size_t ndigits = 0, zeros = 0;

	bug_if(len > BYTES_MAX);
	size_t n = limbs_load(limbs, bytes, len);
	while (n > 0) {
		if (limbs[n - 1] == 0) {
			n--;
			continue;
		}
		uint32_t rest = limbs_divide(limbs, n);
		for (int i = 0; i < STEP; i++, rest /= 58)
			digits[ndigits++] = alphabet[rest % 58];
	}
	while (ndigits > 0 && digits[ndigits - 1] == '1')
		ndigits--;
	while (zeros < len && bytes[zeros] == 0)
		zeros++;
	bug_if(zeros + ndigits + 1 > size);
	memset(text, '1', zeros);
	for (size_t i = 0; i < ndigits; i++)
		text[zeros + i] = digits[ndigits - 1 - i];
	text[zeros + ndigits] = '\0';
	return zeros + ndigits;
}

/* Reads the digits of text into limbs; -1 on a foreign character or a number that does not fit. */
static int limbs_parse(uint32_t *limbs, size_t n, const char *text, size_t len)
{
	for (size_t at = 0; at < len;) {
		uint32_t factor = 1, value = 0;

		for (int i = 0; i < STEP && at < len; i++, at++) {
			unsigned char c = (unsigned char)text[at];
			if (c >= sizeof(digit_values) || digit_values[c] == 0)
				return -1;
			value = value * 58 + digit_values[c] - 1U;
			factor *= 58;
		}
		if (limbs_multiply(limbs, n, factor, value) != 0)
			return -1;
	}
	return 0;
}

int base58_decode(const char *text, uint8_t *bytes, size_t len)
{
	uint32_t limbs[LIMBS_MAX] = {0};
	uint8_t made[BYTES_MAX];
	size_t n = (len + 3) / 4, ones = 0, zeros = 0;

	bug_if(len > BYTES_MAX);
	size_t textlen = strnlen(text, base58_text_size(len));
	if (textlen >= base58_text_size(len) || limbs_parse(limbs, n, text, textlen) != 0)
		return -1;
	if (len % 4 != 0 && limbs[n - 1] >> (8 * (len % 4)) != 0)
		return -1;
	for (size_t i = 0; i < len; i++)
		made[len - 1 - i] = (uint8_t)(limbs[i / 4] >> (8 * (i % 4)));
	while (text[ones] == '1')
		ones++;
	while (zeros < len && made[zeros] == 0)
		zeros++;
	/* each leading zero byte is one '1' and the reverse: only this makes the text of given bytes unique */
	if (ones != zeros)
		return -1;
	memcpy(bytes, made, len);
	return 0;
}
