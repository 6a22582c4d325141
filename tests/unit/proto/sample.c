#include "tests/unit/proto/sample.h"

#include <stdlib.h>
#include <string.h>

#include "common/envelope.h"
#include "proto/registry.h"

#define MESSAGES_MAX 256

size_t sample_messages(const struct proto_message *const **messages_r)
{
	static const struct proto_message *messages[MESSAGES_MAX];
	size_t n = 0;

	bug_if(2 * proto_ncalls + 2 > MESSAGES_MAX);
	messages[n++] = &envelope_request_message;
	messages[n++] = &envelope_reply_message;
	for (size_t i = 0; i < proto_ncalls; i++) {
		messages[n++] = proto_calls[i]->req;
		messages[n++] = proto_calls[i]->rsp;
	}
	*messages_r = messages;
	return n;
}

static uint64_t size_of_sample(const struct proto_field *field, enum sample sample)
{
	uint64_t middling = field->type == PROTO_LIST ? 2 : 3;

	if (sample == SMALLEST)
		return field->flags & PROTO_MAY ? 0 : field->min;
	if (sample == LARGEST || middling > field->max)
		return field->max;
	return middling < field->min ? field->min : middling;
}

static void fill(const struct proto_message *message, void *value, enum sample sample)
{
	for (size_t i = 0; i < message->nfields; i++) {
		const struct proto_field *field = &message->fields[i];
		uint64_t n = size_of_sample(field, sample);

		sample_set(field, value, n);
		for (size_t r = 0; field->type == PROTO_LIST && r < n; r++)
			fill(field->item, sample_record(field, value, r), sample);
	}
}

void *sample_new(const struct proto_message *message, enum sample sample)
{
	void *value = calloc(1, message->size ? message->size : 1);

	bug_if(!value);
	fill(message, value, sample);
	return value;
}

void sample_set(const struct proto_field *field, void *value, uint64_t n)
{
	uint8_t *member = (uint8_t *)value + field->offset;
	size_t len = (size_t)n;

	if (field->type == PROTO_UINT) {
		memcpy(member, &n, sizeof(n));
	} else if (field->type == PROTO_BOOL) {
		*(bool *)member = n != 0;
	} else if (field->type == PROTO_STR) {
		memset(member, 0, field->max + 1);
		memset(member, 'a' + (int)(field->offset % 26), len);
	} else {
		memcpy(member, &len, sizeof(len));
		if (field->type == PROTO_BIN && n <= field->max)
			memset(member + sizeof(len), 0xf5, len);
	}
}

const void *sample_data(const struct proto_field *field, const void *value)
{
	const uint8_t *member = (const uint8_t *)value + field->offset;

	return field->type == PROTO_BIN || field->type == PROTO_LIST ? member + sizeof(size_t)
								     : member;
}

uint64_t sample_measure(const struct proto_field *field, const void *value)
{
	const uint8_t *member = (const uint8_t *)value + field->offset;
	uint64_t n = 0;

	if (field->type == PROTO_STR)
		return strlen((const char *)member);
	if (field->type == PROTO_BOOL)
		return *(const bool *)member;
	memcpy(&n, member, sizeof(n));
	return n;
}

void *sample_record(const struct proto_field *field, const void *value, size_t i)
{
	return (uint8_t *)(uintptr_t)sample_data(field, value) + i * field->item->size;
}

enum kind sample_kind(const struct proto_field *field)
{
	static const enum kind kinds[] = {[PROTO_STR] = KIND_STR,
	    [PROTO_BIN] = KIND_BIN,
	    [PROTO_UINT] = KIND_UINT,
	    [PROTO_BOOL] = KIND_BOOL,
	    [PROTO_LIST] = KIND_ARRAY};

	return kinds[field->type];
}

/* A value of that kind which says as little as possible. */
static void pack_kind(msgpack_packer *packer, enum kind kind)
{
	switch (kind) {
	case KIND_NIL:
		msgpack_pack_nil(packer);
		break;
	case KIND_BOOL:
		msgpack_pack_true(packer);
		break;
	case KIND_UINT:
		msgpack_pack_uint64(packer, 1);
		break;
	case KIND_NEGATIVE:
		msgpack_pack_int(packer, -1);
		break;
	case KIND_FLOAT:
		msgpack_pack_double(packer, 1);
		break;
	case KIND_STR:
		msgpack_pack_str_with_body(packer, "a", 1);
		break;
	case KIND_BIN:
		msgpack_pack_bin_with_body(packer, "a", 1);
		break;
	case KIND_ARRAY:
		msgpack_pack_array(packer, 0);
		break;
	case KIND_MAP:
		msgpack_pack_map(packer, 0);
		break;
	case KIND_EXT:
	case NKINDS:
		msgpack_pack_ext_with_body(packer, "a", 1, 1);
		break;
	}
}

static void pack_message(msgpack_packer *packer, const struct proto_message *message,
    const void *value, const struct twist *twist);

/* n bytes of the member's own, padded with 'a'. */
static char *bytes_of(const struct proto_field *field, const void *value, uint64_t n)
{
	char *bytes = malloc(n + 1);
	uint64_t own = sample_measure(field, value);

	bug_if(!bytes);
	memset(bytes, 'a', n);
	memcpy(bytes, sample_data(field, value), n < own ? n : own);
	return bytes;
}

static void pack_value(msgpack_packer *packer, const struct proto_field *field, const void *value,
    uint64_t n, const struct twist *twist)
{
	char *bytes;

	switch (field->type) {
	case PROTO_STR:
	case PROTO_BIN:
		bytes = bytes_of(field, value, n);
		if (field->type == PROTO_STR)
			msgpack_pack_str_with_body(packer, bytes, n);
		else
			msgpack_pack_bin_with_body(packer, bytes, n);
		free(bytes);
		break;
	case PROTO_UINT:
		msgpack_pack_uint64(packer, n);
		break;
	case PROTO_BOOL:
		n ? msgpack_pack_true(packer) : msgpack_pack_false(packer);
		break;
	case PROTO_LIST:
		msgpack_pack_array(packer, n);
		for (size_t i = 0; i < n; i++) {
			/* records beyond those the value has repeat its first */
			size_t r = i < sample_measure(field, value) ? i : 0;
			pack_message(packer, field->item, sample_record(field, value, r), twist);
		}
		break;
	}
}

static void pack_added(msgpack_packer *packer, const struct twist *twist)
{
	msgpack_pack_str_with_body(packer, twist->text, twist->len);
	msgpack_pack_true(packer);
}

/* One field, key and value, as the twist wants it. */
static void pack_field(msgpack_packer *packer, const struct proto_field *field, const void *value,
    const struct twist *twist)
{
	enum act act = twist->field == field ? twist->act : AS_IS;

	if (act == OMIT)
		return;
	if (act == ADD_BEFORE)
		pack_added(packer, twist);
	if (act == KEY_AS_BIN)
		msgpack_pack_bin_with_body(packer, field->name, strlen(field->name));
	else
		msgpack_pack_str_with_body(packer, field->name, strlen(field->name));
	if (act == RETYPE)
		pack_kind(packer, twist->kind);
	else if (act == RETEXT)
		msgpack_pack_str_with_body(packer, twist->text, twist->len);
	else
		pack_value(packer, field, value,
		    act == RESIZE ? twist->n : sample_measure(field, value), twist);
	if (act == ADD_AFTER)
		pack_added(packer, twist);
	if (act == REPEAT) {
		static const struct twist none;
		pack_field(packer, field, value, &none);
	}
}

static bool is_sent(const struct proto_field *field, const void *value, const struct twist *twist)
{
	return twist->field == field || !(field->flags & PROTO_MAY) ||
	       sample_measure(field, value) > 0;
}

static void pack_message(msgpack_packer *packer, const struct proto_message *message,
    const void *value, const struct twist *twist)
{
	size_t n = 0;

	for (size_t i = 0; i < message->nfields; i++) {
		const struct proto_field *field = &message->fields[i];
		enum act act = twist->field == field ? twist->act : AS_IS;

		n += is_sent(field, value, twist) && act != OMIT;
		n += act == REPEAT || act == ADD_BEFORE || act == ADD_AFTER;
	}
	msgpack_pack_map(packer, n);
	for (size_t i = 0; i < message->nfields; i++)
		if (is_sent(&message->fields[i], value, twist))
			pack_field(packer, &message->fields[i], value, twist);
}

void sample_pack(msgpack_sbuffer *buf, const struct proto_message *message, const void *value,
    const struct twist *twist)
{
	static const struct twist none;
	msgpack_packer packer;

	msgpack_packer_init(&packer, buf, msgpack_sbuffer_write);
	pack_message(&packer, message, value, twist ? twist : &none);
}
