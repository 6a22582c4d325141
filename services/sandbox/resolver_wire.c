#include "services/sandbox/resolver_wire.h"

#include <string.h>

#define HEADER_LEN 12
#define RECORD_LEN 10 /* type, class, ttl, length: what follows a record's name */
#define OPT_LEN (1 + RECORD_LEN)
#define ANSWER_LEN (2 + RECORD_LEN + 4)
#define POINTER 0xc000
#define CHAIN_MAX 16 /* CNAMEs */
#define ADDITIONAL_MAX 4

#define FLAG_QR 0x8000
#define FLAG_TC 0x0200
#define FLAG_RD 0x0100
#define FLAG_RA 0x0080 /* without it libc and Go take an empty answer for a lame server's */
#define FLAG_CD 0x0010

struct packet {
	const uint8_t *bytes;
	size_t len, at; /* at <= len */
};

struct record {
	struct resolver_name owner;
	uint16_t type, class;
	uint32_t ttl;
	size_t data; /* offset */
	uint16_t data_len;
};

static uint16_t get16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static uint32_t get32(const uint8_t *bytes)
{
	return (uint32_t)get16(bytes) << 16 | get16(bytes + 2);
}

static uint8_t *put16(uint8_t *to, unsigned value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
	return to + 2;
}

/* A pointer leads before everything of this name that was read so far, so that no chain of them goes round. */
static bool read_name(struct packet *packet, struct resolver_name *name_r)
{
	size_t at = packet->at, begin = at;
	bool has_jumped = false;

	name_r->len = 0;
	while (at < packet->len) {
		uint8_t label = packet->bytes[at];
		size_t len = 1 + (size_t)label;

		if ((label & 0xc0) == 0xc0) {
			if (at + 2 > packet->len)
				return false;
			size_t to = get16(packet->bytes + at) & ~(size_t)POINTER;

			if (to < HEADER_LEN || to >= begin)
				return false;
			packet->at = has_jumped ? packet->at : at + 2;
			has_jumped = true;
			at = begin = to;
			continue;
		}
		if (label & 0xc0 || len > packet->len - at ||
		    len > sizeof(name_r->bytes) - name_r->len)
			return false;
		memcpy(name_r->bytes + name_r->len, packet->bytes + at, len);
		name_r->len += len;
		at += len;
		if (label == 0) {
			packet->at = has_jumped ? packet->at : at;
			return true;
		}
	}
	return false;
}

static bool read_record(struct packet *packet, struct record *record_r)
{
	if (!read_name(packet, &record_r->owner) || packet->len - packet->at < RECORD_LEN)
		return false;
	const uint8_t *fixed = packet->bytes + packet->at;

	record_r->type = get16(fixed);
	record_r->class = get16(fixed + 2);
	record_r->ttl = get32(fixed + 4);
	record_r->data_len = get16(fixed + 8);
	record_r->data = packet->at += RECORD_LEN;
	if (record_r->data_len > packet->len - packet->at)
		return false;
	packet->at += record_r->data_len;
	return true;
}

static bool read_question(
    struct packet *packet, struct resolver_name *name_r, uint16_t *type_r, uint16_t *class_r)
{
	size_t begin = packet->at;

	/* whose length in the packet is its own was not compressed: nothing stands before it that it could point to */
	if (!read_name(packet, name_r) || packet->at - begin != name_r->len ||
	    packet->len - packet->at < 4)
		return false;
	*type_r = get16(packet->bytes + packet->at);
	*class_r = get16(packet->bytes + packet->at + 2);
	packet->at += 4;
	return true;
}

static bool is_of_host(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_';
}

/* A label may hold any byte, a dot too: with one of those, two names could read the same. */
static void write_text(const struct resolver_name *name, char text_r[RESOLVER_TEXT_MAX + 1])
{
	size_t len = 0;

	for (size_t at = 0; name->bytes[at] != 0; at += 1 + (size_t)name->bytes[at]) {
		if (at > 0)
			text_r[len++] = '.';
		for (size_t i = 1; i <= name->bytes[at]; i++) {
			uint8_t c = name->bytes[at + i];

			if (!is_of_host(c)) {
				text_r[0] = '\0';
				return;
			}
			text_r[len++] = (char)c;
		}
	}
	text_r[len] = '\0';
}

/* EDNS, and whatever else may follow a question. */
static bool read_additional(struct packet *packet, unsigned n, bool *has_edns_r)
{
	struct record record;

	*has_edns_r = false;
	if (n > ADDITIONAL_MAX)
		return false;
	while (n-- > 0) {
		if (!read_record(packet, &record))
			return false;
		if (record.type == RESOLVER_OPT && (*has_edns_r || record.owner.len != 1))
			return false;
		*has_edns_r = *has_edns_r || record.type == RESOLVER_OPT;
	}
	return true;
}

bool resolver_wire_question(const uint8_t *packet, size_t len, struct resolver_question *question_r)
{
	struct packet in = {packet, len, HEADER_LEN};

	if (len < HEADER_LEN)
		return false;
	*question_r = (struct resolver_question){
	    .id = get16(packet), .flags = get16(packet + 2), .opcode = packet[2] >> 3 & 0xf};
	if (question_r->flags & FLAG_QR)
		return false;
	if (question_r->opcode != 0)
		return true;
	if (question_r->flags & FLAG_TC || get16(packet + 4) != 1 || get32(packet + 6) != 0 ||
	    !read_question(&in, &question_r->name, &question_r->type, &question_r->class) ||
	    !read_additional(&in, get16(packet + 10), &question_r->has_edns))
		return false;
	write_text(&question_r->name, question_r->text);
	return true;
}

static uint8_t *put_name(uint8_t *to, const struct resolver_name *name)
{
	memcpy(to, name->bytes, name->len);
	return to + name->len;
}

static uint8_t *put_opt(uint8_t *to)
{
	*to++ = 0;
	to = put16(to, RESOLVER_OPT);
	to = put16(to, RESOLVER_PACKET_MAX);
	memset(to, 0, 6);
	return to + 6;
}

static uint8_t *put_address(uint8_t *to, uint32_t ttl_s, struct in_addr address)
{
	to = put16(to, POINTER | HEADER_LEN);
	to = put16(to, RESOLVER_A);
	to = put16(to, RESOLVER_IN);
	to = put16(to, ttl_s >> 16);
	to = put16(to, ttl_s & 0xffff);
	to = put16(to, sizeof(address));
	memcpy(to, &address, sizeof(address));
	return to + sizeof(address);
}

size_t resolver_wire_room(const struct resolver_question *question)
{
	return (RESOLVER_REPLY_MAX - HEADER_LEN - question->name.len - 4 - OPT_LEN) / ANSWER_LEN;
}

size_t resolver_wire_reply(const struct resolver_question *question, enum resolver_rcode rcode,
    const struct resolver_answer *answer, uint8_t reply_r[RESOLVER_REPLY_MAX])
{
	size_t n = answer ? answer->n : 0, room = resolver_wire_room(question);
	bool has_question = question->name.len > 0;
	uint8_t *to = put16(reply_r, question->id);

	n = n < room ? n : room;
	to = put16(to, FLAG_QR | FLAG_RA | question->opcode << 11 |
			   (question->flags & (FLAG_RD | FLAG_CD)) | rcode);
	to = put16(to, has_question);
	to = put16(to, (unsigned)n);
	to = put16(to, 0);
	to = put16(to, question->has_edns);
	if (has_question) {
		to = put_name(to, &question->name);
		to = put16(to, question->type);
		to = put16(to, question->class);
	}
	for (size_t i = 0; i < n; i++)
		to = put_address(to, answer->ttl_s, answer->address[i]);
	if (question->has_edns)
		to = put_opt(to);
	return (size_t)(to - reply_r);
}

size_t resolver_wire_ask(uint16_t id, const struct resolver_name *name, bool with_edns,
    uint8_t packet_r[RESOLVER_REPLY_MAX])
{
	uint8_t *to = put16(packet_r, id);

	to = put16(to, FLAG_RD);
	to = put16(to, 1);
	to = put16(to, 0);
	to = put16(to, 0);
	to = put16(to, with_edns);
	to = put_name(to, name);
	to = put16(to, RESOLVER_A);
	to = put16(to, RESOLVER_IN);
	if (with_edns)
		to = put_opt(to);
	return (size_t)(to - packet_r);
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
}

/* Lengths of labels are below 'A': they have no case that could be lost. */
static bool is_same_name(const struct resolver_name *a, const struct resolver_name *b)
{
	if (a->len != b->len)
		return false;
	for (size_t i = 0; i < a->len; i++)
		if (lower(a->bytes[i]) != lower(b->bytes[i]))
			return false;
	return true;
}

/* Records of an answer that are there as a whole. */
struct records {
	struct packet packet;
	unsigned n;
};

static unsigned count_records(struct packet packet, unsigned n)
{
	struct record record;
	unsigned whole = 0;

	while (whole < n && read_record(&packet, &record))
		whole++;
	return whole;
}

/* Goes on from where records stands. */
static bool next_record(struct records *records, const struct resolver_name *owner,
    enum resolver_type type, struct record *record_r)
{
	while (records->n > 0) {
		records->n--;
		if (!read_record(&records->packet, record_r))
			return false;
		if (record_r->type == type && record_r->class == RESOLVER_IN &&
		    is_same_name(&record_r->owner, owner))
			return true;
	}
	return false;
}

/* RFC 2181 §8: with the first bit set it is none. */
static void lessen(uint32_t *ttl_s, uint32_t to)
{
	to = to > INT32_MAX ? 0 : to;
	*ttl_s = to < *ttl_s ? to : *ttl_s;
}

static bool read_addresses(
    struct records records, const struct resolver_name *owner, struct resolver_answer *answer)
{
	struct packet whole = records.packet;
	struct record record;

	while (next_record(&records, owner, RESOLVER_A, &record)) {
		if (record.data_len != sizeof(struct in_addr))
			return false;
		if (answer->n == RESOLVER_ADDRESSES_MAX)
			break;
		memcpy(&answer->address[answer->n++], whole.bytes + record.data,
		    sizeof(struct in_addr));
		lessen(&answer->ttl_s, record.ttl);
	}
	return true;
}

/* From name by CNAMEs, in whatever order they stand, to the addresses. */
static bool follow(
    const struct records *records, const struct resolver_name *name, struct resolver_answer *answer)
{
	struct resolver_name owner = *name;
	struct record record;

	answer->ttl_s = UINT32_MAX;
	for (unsigned hops = 0; hops < CHAIN_MAX; hops++) {
		struct records rest = *records;

		if (!next_record(&rest, &owner, RESOLVER_CNAME, &record)) {
			bool is_good = read_addresses(*records, &owner, answer);

			answer->ttl_s = answer->n > 0 ? answer->ttl_s : 0;
			return is_good;
		}
		struct packet target = {
		    records->packet.bytes, record.data + record.data_len, record.data};

		if (!read_name(&target, &owner) || target.at != target.len)
			return false;
		lessen(&answer->ttl_s, record.ttl);
	}
	answer->ttl_s = 0;
	answer->rcode = RESOLVER_SERVFAIL;
	return true;
}

bool resolver_wire_answer(const uint8_t *packet, size_t len, uint16_t id,
    const struct resolver_name *name, struct resolver_answer *answer_r)
{
	struct packet in = {packet, len, HEADER_LEN};
	struct resolver_name asked;
	uint16_t type, class;

	if (len < HEADER_LEN || get16(packet) != id || !(packet[2] & 0x80) ||
	    (packet[2] >> 3 & 0xf) != 0 || get16(packet + 4) != 1 ||
	    !read_question(&in, &asked, &type, &class) || type != RESOLVER_A ||
	    class != RESOLVER_IN || asked.len != name->len ||
	    memcmp(asked.bytes, name->bytes, name->len) != 0)
		return false;

	bool was_cut = get16(packet + 2) & FLAG_TC;
	unsigned n = get16(packet + 6), whole = count_records(in, n);

	*answer_r = (struct resolver_answer){.rcode = packet[3] & 0xf};
	if (whole < n && !was_cut)
		return false;
	if (answer_r->rcode != RESOLVER_NOERROR)
		return true;
	if (!follow(&(struct records){in, whole}, name, answer_r))
		return false;
	if (was_cut && answer_r->n == 0)
		answer_r->rcode = RESOLVER_SERVFAIL;
	return true;
}
