#include "common/codec.h"

#include <inttypes.h>
#include <msgpack/pack.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

/* In memory a BIN or LIST member is a count and, right behind it, the data (schema.h). */
static size_t counted_len(const void *member)
{
	size_t len;

	memcpy(&len, member, sizeof(len));
	return len;
}

static void set_counted_len(void *member, size_t len)
{
	memcpy(member, &len, sizeof(len));
}

static const void *counted_data(const void *member)
{
	return (const uint8_t *)member + sizeof(size_t);
}

static const void *member_of(const struct proto_field *field, const void *value)
{
	return (const uint8_t *)value + field->offset;
}

static uint64_t uint_of(const void *member)
{
	uint64_t n;

	memcpy(&n, member, sizeof(n));
	return n;
}

/* What the limits of a field speak of: bytes, records, or the value itself. */
static uint64_t measure(const struct proto_field *field, const void *member)
{
	switch (field->type) {
	case PROTO_STR:
		return strnlen(member, field->max + 1);
	case PROTO_BIN:
	case PROTO_LIST:
		return counted_len(member);
	case PROTO_UINT:
		return uint_of(member);
	case PROTO_BOOL:
		return *(const bool *)member;
	}
	bug_if(true);
}

static bool is_sent(const struct proto_field *field, uint64_t measured)
{
	return !(field->flags & PROTO_MAY) || measured > 0;
}

static int refuse(enum error_code code, const struct proto_message *message,
    const struct proto_field *field, const char *why, struct error *err)
{
	return error_set(err, code, "%s: %s %s", message->name, field->name, why);
}

static int check(const struct proto_message *message, const void *value, struct error *err);

static int check_records(const struct proto_field *field, const void *member, struct error *err)
{
	const uint8_t *record = counted_data(member);

	for (size_t i = 0; i < counted_len(member); i++)
		if (check(field->item, record + i * field->item->size, err) != 0)
			return -1;
	return 0;
}

/* Does what we are about to send keep to its own limits? */
static int check(const struct proto_message *message, const void *value, struct error *err)
{
	for (size_t i = 0; i < message->nfields; i++) {
		const struct proto_field *field = &message->fields[i];
		const void *member = member_of(field, value);
		uint64_t n = measure(field, member);

		if (is_sent(field, n) && (n < field->min || n > field->max))
			return refuse(ERR_INTERNAL, message, field, "is out of its limits", err);
		if (field->type == PROTO_STR && !utf8_is_valid(member, n))
			return refuse(ERR_INTERNAL, message, field, "is not valid UTF-8", err);
		if (field->type == PROTO_LIST && check_records(field, member, err) != 0)
			return -1;
	}
	return 0;
}

static int pack(msgpack_packer *packer, const struct proto_message *message, const void *value);

static int pack_records(msgpack_packer *packer, const struct proto_field *field, const void *member)
{
	const uint8_t *record = counted_data(member);
	int status = msgpack_pack_array(packer, counted_len(member));

	for (size_t i = 0; status == 0 && i < counted_len(member); i++)
		status = pack(packer, field->item, record + i * field->item->size);
	return status;
}

static int pack_value(
    msgpack_packer *packer, const struct proto_field *field, const void *member, uint64_t n)
{
	switch (field->type) {
	case PROTO_STR:
		return msgpack_pack_str_with_body(packer, member, n);
	case PROTO_BIN:
		return msgpack_pack_bin_with_body(packer, counted_data(member), n);
	case PROTO_UINT:
		return msgpack_pack_uint64(packer, n);
	case PROTO_BOOL:
		return n ? msgpack_pack_true(packer) : msgpack_pack_false(packer);
	case PROTO_LIST:
		return pack_records(packer, field, member);
	}
	bug_if(true);
}

static int pack(msgpack_packer *packer, const struct proto_message *message, const void *value)
{
	size_t nsent = 0;

	for (size_t i = 0; i < message->nfields; i++) {
		const struct proto_field *field = &message->fields[i];
		nsent += is_sent(field, measure(field, member_of(field, value)));
	}
	int status = msgpack_pack_map(packer, nsent);
	for (size_t i = 0; status == 0 && i < message->nfields; i++) {
		const struct proto_field *field = &message->fields[i];
		const void *member = member_of(field, value);
		uint64_t n = measure(field, member);

		if (!is_sent(field, n))
			continue;
		status = msgpack_pack_str_with_body(packer, field->name, strlen(field->name));
		if (status == 0)
			status = pack_value(packer, field, member, n);
	}
	return status;
}

int codec_encode(
    const struct proto_message *message, const void *value, msgpack_sbuffer *buf, struct error *err)
{
	msgpack_packer packer;
	size_t before = buf->size;

	if (check(message, value, err) != 0)
		return -1;
	msgpack_packer_init(&packer, buf, msgpack_sbuffer_write);
	if (pack(&packer, message, value) == 0)
		return 0;
	buf->size = before;
	return error_set(err, ERR_INTERNAL, "%s: out of memory", message->name);
}

/* Finds the field of a key; fields mostly come in the order of their list, so looking starts at guess. */
static const struct proto_field *field_named(
    const struct proto_message *message, const char *key, size_t len, size_t guess)
{
	for (size_t n = 0; n < message->nfields; n++) {
		const struct proto_field *field = &message->fields[(guess + n) % message->nfields];
		if (strlen(field->name) == len && memcmp(field->name, key, len) == 0)
			return field;
	}
	return NULL;
}

static int read_counted(const struct proto_field *field, const void *bytes, size_t len, uint8_t *to)
{
	if (!bytes || len < field->min || len > field->max)
		return -1;
	if (len > 0)
		memcpy(to, bytes, len);
	return 0;
}

static int decode(
    const struct proto_message *message, struct wire *wire, void *value, struct error *err);

static int read_records(const struct proto_message *message, const struct proto_field *field,
    struct wire *wire, void *member, struct error *err)
{
	uint8_t *record = (uint8_t *)member + sizeof(size_t);
	size_t count = wire_array(wire);

	if (wire->bad)
		return refuse(ERR_INVALID, message, field, "is not a list", err);
	if (count < field->min || count > field->max)
		return refuse(ERR_INVALID, message, field, "is out of its limits", err);
	for (size_t i = 0; i < count; i++)
		if (decode(field->item, wire, record + i * field->item->size, err) != 0)
			return -1;
	set_counted_len(member, count);
	return 0;
}

/* Reads anything but a list. */
static int read_scalar(const struct proto_field *field, struct wire *wire, uint8_t *member)
{
	size_t len = 0;

	if (field->type == PROTO_STR) {
		const char *text = wire_str(wire, &len);
		return read_counted(field, text, len, member); /* zeroed before: terminated */
	}
	if (field->type == PROTO_BIN) {
		const uint8_t *bytes = wire_bin(wire, &len);
		set_counted_len(member, bytes && len <= field->max ? len : 0);
		return read_counted(field, bytes, len, member + sizeof(size_t));
	}
	uint64_t n = field->type == PROTO_BOOL ? wire_bool(wire) : wire_uint(wire);
	if (wire->bad || n < field->min || n > field->max)
		return -1;
	if (field->type == PROTO_BOOL)
		*(bool *)member = n;
	else
		memcpy(member, &n, sizeof(n));
	return 0;
}

static int read_value(const struct proto_message *message, const struct proto_field *field,
    struct wire *wire, void *value, struct error *err)
{
	uint8_t *member = (uint8_t *)value + field->offset;

	if (field->type == PROTO_LIST)
		return read_records(message, field, wire, member, err);
	if (read_scalar(field, wire, member) == 0)
		return 0;
	return refuse(ERR_INVALID, message, field,
	    wire->bad ? "is cut short or of the wrong type" : "is out of its limits", err);
}

static int refuse_key(
    const struct proto_message *message, const char *key, size_t len, struct error *err)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789_";

	if (!key)
		return error_set(
		    err, ERR_INVALID, "%s: a key is cut short or not text", message->name);
	/* the key comes from the peer: it is repeated only if it looks like a field's name */
	for (size_t i = 0; i < len; i++)
		if (!strchr(plain, key[i]) || i == 32)
			return error_set(err, ERR_INVALID, "%s: unknown field", message->name);
	return error_set(
	    err, ERR_INVALID, "%s: unknown field '%.*s'", message->name, (int)len, key);
}

static int check_present(const struct proto_message *message, uint64_t seen, struct error *err)
{
	for (size_t i = 0; i < message->nfields; i++)
		if (!(seen >> i & 1) && !(message->fields[i].flags & PROTO_MAY))
			return refuse(ERR_INVALID, message, &message->fields[i], "is missing", err);
	return 0;
}

static int decode(
    const struct proto_message *message, struct wire *wire, void *value, struct error *err)
{
	uint64_t seen = 0;
	uint32_t count = wire_map(wire);

	if (wire->bad)
		return error_set(err, ERR_INVALID, "%s: not a map, or cut short", message->name);
	for (uint32_t i = 0; i < count; i++) {
		size_t len = 0;
		const char *key = wire_str(wire, &len);
		const struct proto_field *field = key ? field_named(message, key, len, i) : NULL;
		if (!field)
			return refuse_key(message, key, len, err);
		uint64_t bit = (uint64_t)1 << (field - message->fields);
		if (seen & bit)
			return refuse(ERR_INVALID, message, field, "is repeated", err);
		seen |= bit;
		if (read_value(message, field, wire, value, err) != 0)
			return -1;
	}
	return check_present(message, seen, err);
}

int codec_decode(
    const struct proto_message *message, struct wire *wire, void *value, struct error *err)
{
	bug_if(message->nfields > 64);
	memset(value, 0, message->size);
	if (decode(message, wire, value, err) == 0)
		return 0;
	codec_wipe(message, value);
	wire->bad = true;
	return -1;
}

void codec_wipe(const struct proto_message *message, void *value)
{
	sodium_memzero(value, message->size);
}

/* One field's value for a person; never more than a few words. */
static void describe_value(
    const struct proto_field *field, const void *member, char *buf, size_t size)
{
	uint64_t n = measure(field, member);

	/* flag words overlap (MAY_SECRET is MAY and SECRET), so this bit alone tells */
	if (field->flags & PROTO_SECRET)
		snprintf(buf, size, "(secret)");
	else if (field->type == PROTO_STR)
		snprintf(buf, size, "%.*s", (int)n, (const char *)member);
	else if (field->type == PROTO_BIN)
		snprintf(buf, size, "(%" PRIu64 " bytes)", n);
	else if (field->type == PROTO_LIST)
		snprintf(buf, size, "(%" PRIu64 " records)", n);
	else if (field->type == PROTO_BOOL)
		snprintf(buf, size, "%s", n ? "yes" : "no");
	else
		snprintf(buf, size, "%" PRIu64, n);
}

char *codec_describe(const struct proto_message *message, const void *value, char *buf, size_t size)
{
	size_t len = 0;

	if (size > 0)
		buf[0] = '\0';
	for (size_t i = 0; i < message->nfields && len + 1 < size; i++) {
		const struct proto_field *field = &message->fields[i];
		const void *member = member_of(field, value);

		if (!is_sent(field, measure(field, member)))
			continue;
		len +=
		    (size_t)snprintf(buf + len, size - len, "%s%s=", len ? " " : "", field->name);
		if (len >= size)
			break;
		describe_value(field, member, buf + len, size - len);
		len += strlen(buf + len);
	}
	return buf;
}
