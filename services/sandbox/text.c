#include "services/sandbox/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/log.h"
#include "common/wire.h"

#define CHARACTER_MAX 4

/* 0: none begins here. */
static size_t character_len(const char *text)
{
	size_t have = strnlen(text, CHARACTER_MAX);
	for (size_t len = 1; len <= have; len++)
		if (utf8_is_valid(text, len))
			return len;
	return 0;
}

static bool is_deceptive(const char *text, size_t len)
{
	static const uint8_t bits[] = {
	    0, 0x7f, 0x1f, 0x0f, 0x07}; /* of the first byte, by length */
	uint32_t point = (uint8_t)text[0] & bits[len];
	for (size_t i = 1; i < len; i++)
		point = point << 6 | ((uint8_t)text[i] & 0x3f);
	return log_is_deceptive(point);
}

void text_copy(char *buf, size_t size, const char *text)
{
	size_t out = 0;
	while (*text) {
		size_t len = character_len(text);
		bool is_good = len > 0 && !is_deceptive(text, len);
		size_t step = is_good ? len : 1;
		if (out + step >= size)
			break;
		if (is_good)
			memmove(buf + out, text, len);
		else
			buf[out] = '?';
		out += step;
		text += step;
	}
	buf[out] = '\0';
}
