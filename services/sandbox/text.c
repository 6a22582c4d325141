#include "services/sandbox/text.h"

#include <stdbool.h>
#include <string.h>

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

static bool is_control(const char *text)
{
	unsigned char first = (unsigned char)text[0], second = (unsigned char)text[1];
	return first < 0x20 || first == 0x7f || (first == 0xc2 && second < 0xa0);
}

void text_copy(char *buf, size_t size, const char *text)
{
	size_t out = 0;
	while (*text) {
		size_t len = character_len(text), step = len ? len : 1;
		bool is_good = len > 0 && !is_control(text);
		size_t room = is_good ? len : 1;
		if (out + room >= size)
			break;
		if (is_good)
			memmove(buf + out, text, len);
		else
			buf[out] = '?';
		out += room;
		text += step;
	}
	buf[out] = '\0';
}
