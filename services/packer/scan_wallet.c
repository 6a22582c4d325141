#include "services/packer/scan_wallet.h"

#include <jansson.h>
#include <sodium.h>
#include <stdio.h>

#include "common/base58.h"
#include "common/scoped.h"

#define SEED 32
#define KEYPAIR 64
#define NUMBERS \
	6 /* of the array in one pattern: they stand on one line somewhere, whatever its width */

static bool read_keypair(const uint8_t *bytes, size_t len, uint8_t keypair_r[KEYPAIR])
{
	scoped_json json_t *json = json_loadb((const char *)bytes, len, 0, NULL);

	if (!json_is_array(json) || json_array_size(json) != KEYPAIR)
		return false;
	for (size_t i = 0; i < KEYPAIR; i++) {
		json_t *number = json_array_get(json, i);

		if (!json_is_integer(number) || json_integer_value(number) < 0 ||
		    json_integer_value(number) > 255)
			return false;
		keypair_r[i] = (uint8_t)json_integer_value(number);
	}
	return true;
}

/* fmt: of a number with what separates it from the one before. */
static void add_numbers(struct values *values, uint32_t name, const uint8_t *seed, const char *fmt)
{
	char text[NUMBERS * 16];

	for (size_t from = 0; from + NUMBERS <= SEED; from += NUMBERS) {
		int len = snprintf(text, sizeof(text), "%d", seed[from]);

		for (size_t i = 1; i < NUMBERS; i++)
			len +=
			    snprintf(text + len, sizeof(text) - (size_t)len, fmt, seed[from + i]);
		patterns_add(&values->patterns, (struct pattern_of){PATTERN_RAW, name, false}, text,
		    (size_t)len);
	}
	sodium_memzero(text, sizeof(text));
}

static void add_base58(struct values *values, uint32_t name, const uint8_t *bytes, size_t len)
{
	char text[KEYPAIR * 138 / 100 + 3];
	size_t n = base58_encode(bytes, len, text, sizeof(text));

	/* the last digits of a keypair hang on all of it, the first ones on the seed */
	values_add(values, name, text, n < PATTERN_MAX ? n : PATTERN_MAX, false);
	sodium_memzero(text, sizeof(text));
}

bool scan_wallet_add(struct values *values, const char *path, const uint8_t *bytes, size_t len)
{
	static const char *const formats[] = {",%d", ", %d", ", %3d", " %d", ",\n%d", ",\n %d",
	    ",\n  %d", ",\n    %d", ",\n      %d", ",\n\t%d", ",\r\n  %d", ",\\n  %d"};
	uint8_t keypair[KEYPAIR];
	bool is_one = read_keypair(bytes, len, keypair);

	if (is_one) {
		uint32_t name = values_name(values, path, "array");

		for (size_t i = 0; i < ARRAY_LEN(formats); i++)
			add_numbers(values, name, keypair, formats[i]);
		/* its text again in base64, hex, ...: of the compact array */
		char text[SEED * 4];
		size_t n = 0;
		for (size_t i = 0; i < SEED; i++)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%d,", keypair[i]);
		values_add(values, name, text, n, false);
		sodium_memzero(text, sizeof(text));
		values_add(values, values_name(values, path, "seed"), keypair, SEED, false);
		name = values_name(values, path, "base58");
		add_base58(values, name, keypair, SEED);
		add_base58(values, name, keypair, KEYPAIR);
	}
	sodium_memzero(keypair, sizeof(keypair));
	return is_one;
}
