#include "services/sandbox/dns_message.h"

#include <ctype.h>
#include <string.h>

#define HEADER 12
#define RECORD 16 /* pointer to the name, type, class, time to live, length, address */
#define IS_ANSWER 0x8000
#define OPCODE 0x7800
#define RECURSION_DESIRED 0x0100
#define RECURSION_AVAILABLE 0x0080

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint8_t *put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
	return at + 2;
}

static bool is_of_a_name(uint8_t c)
{
	return c < 0x80 && (isalnum(c) || c == '-' || c == '_');
}

/* Returns the length of the name at bytes, or 0. A pointer has no place in a question. */
static size_t read_name(const uint8_t *bytes, size_t len, char name_r[DNS_NAME_MAX + 1])
{
	size_t at = 0, out = 0;
	while (at < len && bytes[at] != 0) {
		size_t label = bytes[at++];
		if (label > 63 || label > len - at || out + label + 1 > DNS_NAME_MAX)
			return 0;
		if (out > 0)
			name_r[out++] = '.';
		for (; label > 0; label--, at++) {
			if (!is_of_a_name(bytes[at]))
				return 0;
			name_r[out++] = (char)bytes[at];
		}
	}
	name_r[out] = '\0';
	return at < len && out > 0 ? at + 1 : 0;
}

int dns_question_parse(struct dns_question *question_r, const uint8_t *bytes, size_t len)
{
	if (len < HEADER)
		return -1;
	question_r->id = get16(bytes);
	question_r->flags = get16(bytes + 2);
	if (question_r->flags & (IS_ANSWER | OPCODE) || get16(bytes + 4) != 1)
		return -1;
	bytes += HEADER, len -= HEADER;
	size_t name = read_name(bytes, len, question_r->name);
	if (name == 0 || len - name < 4 || get16(bytes + name + 2) != 1)
		return -1;
	question_r->type = get16(bytes + name);
	question_r->len = name + 4;
	memcpy(question_r->bytes, bytes, question_r->len);
	return 0;
}

size_t dns_answer_write(const struct dns_question *question, enum dns_code code,
    const struct in_addr *address, size_t n, uint32_t ttl_s, uint8_t bytes_r[DNS_MESSAGE_MAX])
{
	size_t room = (DNS_MESSAGE_MAX - HEADER - question->len) / RECORD;
	unsigned flags = IS_ANSWER | (question->flags & RECURSION_DESIRED) | RECURSION_AVAILABLE;
	n = n < room ? n : room;
	uint8_t *at = put16(bytes_r, question->id);
	at = put16(at, flags | (unsigned)code);
	at = put16(at, 1);
	at = put16(at, (unsigned)n);
	at = put16(put16(at, 0), 0);
	memcpy(at, question->bytes, question->len);
	at += question->len;
	for (size_t i = 0; i < n; i++) {
		at = put16(at, 0xc000 | HEADER);
		at = put16(put16(at, DNS_TYPE_A), 1);
		at = put16(put16(at, ttl_s >> 16), ttl_s & 0xffff);
		at = put16(at, sizeof(address[i]));
		memcpy(at, &address[i], sizeof(address[i]));
		at += sizeof(address[i]);
	}
	return (size_t)(at - bytes_r);
}
