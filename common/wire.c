#include "common/wire.h"

#include <string.h>

void wire_init(struct wire *wire, const void *bytes, size_t len)
{
	wire->at = bytes;
	wire->end = wire->at + len;
	wire->bad = false;
}

static size_t left(const struct wire *wire)
{
	return (size_t)(wire->end - wire->at);
}

/* Takes len bytes; NULL if they are not there. */
static const uint8_t *take(struct wire *wire, size_t len)
{
	if (wire->bad || left(wire) < len) {
		wire->bad = true;
		return NULL;
	}
	const uint8_t *bytes = wire->at;
	wire->at += len;
	return bytes;
}

static uint8_t take_tag(struct wire *wire)
{
	const uint8_t *tag = take(wire, 1);

	return tag ? *tag : 0xc1; /* the one byte the format never uses */
}

/* A big-endian number of len bytes. */
static uint64_t take_number(struct wire *wire, size_t len)
{
	const uint8_t *bytes = take(wire, len);
	uint64_t n = 0;

	for (size_t i = 0; bytes && i < len; i++)
		n = n << 8 | bytes[i];
	return n;
}

/* The count of a map or array whose every element takes at least `least` bytes, so that a count cannot promise more than is there. */
static uint32_t checked_count(struct wire *wire, uint64_t count, size_t least)
{
	if (wire->bad || count > left(wire) / least) {
		wire->bad = true;
		return 0;
	}
	return (uint32_t)count;
}

static uint64_t refuse(struct wire *wire)
{
	wire->bad = true;
	return 0;
}

uint32_t wire_map(struct wire *wire)
{
	uint8_t tag = take_tag(wire);
	uint64_t count = (tag & 0xf0) == 0x80 ? tag & 0x0fU
			 : tag == 0xde        ? take_number(wire, 2)
			 : tag == 0xdf        ? take_number(wire, 4)
					      : refuse(wire);

	return checked_count(wire, count, 2);
}

uint32_t wire_array(struct wire *wire)
{
	uint8_t tag = take_tag(wire);
	uint64_t count = (tag & 0xf0) == 0x90 ? tag & 0x0fU
			 : tag == 0xdc        ? take_number(wire, 2)
			 : tag == 0xdd        ? take_number(wire, 4)
					      : refuse(wire);

	return checked_count(wire, count, 1);
}

static const uint8_t *take_bytes(struct wire *wire, uint64_t len, size_t *len_r)
{
	const uint8_t *bytes = wire->bad ? NULL : take(wire, (size_t)len);

	*len_r = bytes ? (size_t)len : 0;
	return bytes;
}

const char *wire_str(struct wire *wire, size_t *len_r)
{
	uint8_t tag = take_tag(wire);
	uint64_t len = (tag & 0xe0) == 0xa0 ? tag & 0x1fU
		       : tag == 0xd9        ? take_number(wire, 1)
		       : tag == 0xda        ? take_number(wire, 2)
		       : tag == 0xdb        ? take_number(wire, 4)
					    : refuse(wire);
	const char *text = (const char *)take_bytes(wire, len, len_r);

	if (text && !utf8_is_valid(text, *len_r)) {
		wire->bad = true;
		*len_r = 0;
		return NULL;
	}
	return text;
}

const uint8_t *wire_bin(struct wire *wire, size_t *len_r)
{
	uint8_t tag = take_tag(wire);
	uint64_t len = tag == 0xc4   ? take_number(wire, 1)
		       : tag == 0xc5 ? take_number(wire, 2)
		       : tag == 0xc6 ? take_number(wire, 4)
				     : refuse(wire);

	return take_bytes(wire, len, len_r);
}

uint64_t wire_uint(struct wire *wire)
{
	uint8_t tag = take_tag(wire);

	if (tag < 0x80)
		return tag;
	if (tag >= 0xcc && tag <= 0xcf)
		return take_number(wire, (size_t)1 << (tag - 0xcc));
	return refuse(wire);
}

bool wire_bool(struct wire *wire)
{
	uint8_t tag = take_tag(wire);

	if (tag != 0xc2 && tag != 0xc3)
		wire->bad = true;
	return tag == 0xc3;
}

bool wire_at_end(const struct wire *wire)
{
	return !wire->bad && wire->at == wire->end;
}

/* Length of the UTF-8 character at s (Unicode 15, table 3-7), 0 if there is none. */
static size_t character_len(const unsigned char *s, size_t len)
{
	unsigned char low = 0x80, high = 0xbf; /* range of the second byte */
	size_t want = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	if (s[0] < 0xc2 || s[0] > 0xf4 || len < want)
		return 0;
	if (s[0] == 0xe0)
		low = 0xa0;
	else if (s[0] == 0xed)
		high = 0x9f;
	else if (s[0] == 0xf0)
		low = 0x90;
	else if (s[0] == 0xf4)
		high = 0x8f;
	if (s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i < want; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return want;
}

bool utf8_is_valid(const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;

	for (size_t i = 0; i < len;) {
		size_t n = s[i] == 0 ? 0 : s[i] < 0x80 ? 1 : character_len(s + i, len - i);
		if (n == 0)
			return false;
		i += n;
	}
	return true;
}
