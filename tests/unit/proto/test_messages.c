#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/scoped.h"
#include "tests/unit/proto/sample.h"

static void scoped_buf_fn(msgpack_sbuffer *buf)
{
	msgpack_sbuffer_destroy(buf);
}
#define scoped_buf __attribute__((cleanup(scoped_buf_fn))) msgpack_sbuffer

/* Runs fn for every message of the suite. */
static void each_message(void (*fn)(const struct proto_message *message))
{
	const struct proto_message *const *messages;
	size_t n = sample_messages(&messages);

	assert_true(n > 20);
	for (size_t i = 0; i < n; i++)
		fn(messages[i]);
}

static void encode(const struct proto_message *message, const void *value, msgpack_sbuffer *buf)
{
	struct error err;

	if (codec_encode(message, value, buf, &err) != 0)
		fail_msg("%s: cannot be encoded: %s", message->name, err.text);
}

/* Decodes into memory of exactly the message's size that held something else. */
static void *decode(const struct proto_message *message, const msgpack_sbuffer *buf)
{
	void *value = malloc(message->size ? message->size : 1);
	struct error err;
	struct wire wire;

	memset(value, 0xa5, message->size);
	wire_init(&wire, buf->data, buf->size);
	if (codec_decode(message, &wire, value, &err) != 0)
		fail_msg("%s: cannot be decoded: %s", message->name, err.text);
	assert_true(wire_at_end(&wire));
	return value;
}

static void check_round_trip(const struct proto_message *message)
{
	for (enum sample sample = SMALLEST; sample <= LARGEST; sample++) {
		scoped_buf buf = {0}, again = {0};
		scoped_free void *in = sample_new(message, sample);

		encode(message, in, &buf);
		scoped_free void *out = decode(message, &buf);
		assert_memory_equal(out, in, message->size);
		encode(message, out, &again);
		assert_int_equal(again.size, buf.size);
		assert_memory_equal(again.data, buf.data, buf.size);
	}
}

static void every_message_comes_back_as_it_went(void **state)
{
	(void)state;
	each_message(check_round_trip);
}

static void compare_message(
    const struct proto_message *message, const void *value, const msgpack_object *object);

static void compare_list(
    const struct proto_field *field, const void *value, const msgpack_object *object)
{
	assert_int_equal(object->type, MSGPACK_OBJECT_ARRAY);
	assert_int_equal(object->via.array.size, sample_measure(field, value));
	for (size_t i = 0; i < object->via.array.size; i++)
		compare_message(
		    field->item, sample_record(field, value, i), &object->via.array.ptr[i]);
}

static void compare_value(
    const struct proto_field *field, const void *value, const msgpack_object *object)
{
	uint64_t n = sample_measure(field, value);

	switch (field->type) {
	case PROTO_STR:
		assert_int_equal(object->type, MSGPACK_OBJECT_STR);
		assert_int_equal(object->via.str.size, n);
		assert_memory_equal(object->via.str.ptr, sample_data(field, value), n);
		break;
	case PROTO_BIN:
		assert_int_equal(object->type, MSGPACK_OBJECT_BIN);
		assert_int_equal(object->via.bin.size, n);
		assert_memory_equal(object->via.bin.ptr, sample_data(field, value), n);
		break;
	case PROTO_UINT:
		assert_int_equal(object->type, MSGPACK_OBJECT_POSITIVE_INTEGER);
		assert_true(object->via.u64 == n);
		break;
	case PROTO_BOOL:
		assert_int_equal(object->type, MSGPACK_OBJECT_BOOLEAN);
		assert_int_equal(object->via.boolean, n);
		break;
	case PROTO_LIST:
		compare_list(field, value, object);
		break;
	}
}

/* The object holds exactly the fields that are to be sent, in the order of their list. */
static void compare_message(
    const struct proto_message *message, const void *value, const msgpack_object *object)
{
	size_t at = 0;

	assert_int_equal(object->type, MSGPACK_OBJECT_MAP);
	for (size_t i = 0; i < message->nfields; i++) {
		const struct proto_field *field = &message->fields[i];
		if (field->flags & PROTO_MAY && sample_measure(field, value) == 0)
			continue;
		assert_true(at < object->via.map.size);
		const msgpack_object_kv *pair = &object->via.map.ptr[at++];
		assert_int_equal(pair->key.type, MSGPACK_OBJECT_STR);
		assert_int_equal(pair->key.via.str.size, strlen(field->name));
		assert_memory_equal(pair->key.via.str.ptr, field->name, strlen(field->name));
		compare_value(field, value, &pair->val);
	}
	assert_int_equal(at, object->via.map.size);
}

static void check_unpacker(const struct proto_message *message)
{
	for (enum sample sample = SMALLEST; sample <= LARGEST; sample++) {
		scoped_buf buf = {0};
		scoped_free void *value = sample_new(message, sample);
		msgpack_unpacked unpacked;
		size_t offset = 0;

		encode(message, value, &buf);
		msgpack_unpacked_init(&unpacked);
		assert_int_equal(msgpack_unpack_next(&unpacked, buf.data, buf.size, &offset),
		    MSGPACK_UNPACK_SUCCESS);
		assert_int_equal(offset, buf.size);
		compare_message(message, value, &unpacked.data);
		msgpack_unpacked_destroy(&unpacked);
	}
}

static void msgpack_c_reads_what_the_codec_wrote(void **state)
{
	(void)state;
	each_message(check_unpacker);
}

static void check_packer(const struct proto_message *message)
{
	for (enum sample sample = SMALLEST; sample <= LARGEST; sample++) {
		scoped_buf buf = {0};
		scoped_free void *in = sample_new(message, sample);

		sample_pack(&buf, message, in, NULL);
		scoped_free void *out = decode(message, &buf);
		assert_memory_equal(out, in, message->size);
	}
}

static void the_codec_reads_what_msgpack_c_wrote(void **state)
{
	(void)state;
	each_message(check_packer);
}

/* Encodes value after giving one field n; the field is the message's own or its first record's. */
static int encode_resized(const struct proto_message *message, const struct proto_field *list,
    const struct proto_field *field, uint64_t n, struct error *err)
{
	scoped_buf buf = {0};
	scoped_free void *value = sample_new(message, TYPICAL);

	sample_set(field, list ? sample_record(list, value, 0) : value, n);
	int status = codec_encode(message, value, &buf, err);
	if (status != 0)
		assert_int_equal(buf.size, 0);
	return status;
}

static void check_limits_of(const struct proto_message *message, const struct proto_field *list,
    const struct proto_field *field)
{
	uint64_t beyond[2];
	size_t n = 0;
	struct error err;

	if (field->type == PROTO_BOOL)
		return;
	/* an empty MAY field is one that is not there */
	if (field->min > 0 && !(field->flags & PROTO_MAY && field->min == 1))
		beyond[n++] = field->min - 1;
	if (field->max < UINT64_MAX)
		beyond[n++] = field->max + 1;
	for (size_t i = 0; i < n; i++) {
		if (encode_resized(message, list, field, beyond[i], &err) == 0)
			fail_msg("%s: %s of %ju was encoded", message->name, field->name,
			    (uintmax_t)beyond[i]);
		assert_int_equal(err.code, ERR_INTERNAL);
		assert_non_null(strstr(err.text, field->name));
	}
	if (field->type == PROTO_LIST)
		return;
	if (encode_resized(message, list, field, field->min, &err) != 0 ||
	    encode_resized(message, list, field, field->max, &err) != 0)
		fail_msg("%s: %s at its limit: %s", message->name, field->name, err.text);
}

static void check_limits(const struct proto_message *message)
{
	for (size_t i = 0; i < message->nfields; i++) {
		const struct proto_field *field = &message->fields[i];

		check_limits_of(message, NULL, field);
		for (size_t r = 0; field->type == PROTO_LIST && r < field->item->nfields; r++)
			check_limits_of(message, field, &field->item->fields[r]);
	}
}

static void nothing_beyond_a_limit_is_ever_sent(void **state)
{
	(void)state;
	each_message(check_limits);
}

static void check_description(const struct proto_message *message)
{
	scoped_free void *value = sample_new(message, TYPICAL);
	char text[4096], secret[4096];

	codec_describe(message, value, text, sizeof(text));
	for (size_t i = 0; i < message->nfields; i++) {
		const struct proto_field *field = &message->fields[i];
		if (!(field->flags & PROTO_SECRET))
			continue;
		snprintf(secret, sizeof(secret), "%s=(secret)", field->name);
		assert_non_null(strstr(text, secret));
		if (field->type == PROTO_STR) {
			/* with its name: samples of several fields begin alike */
			snprintf(secret, sizeof(secret), "%s=%s", field->name,
			    (const char *)sample_data(field, value));
			assert_null(strstr(text, secret));
		}
	}
}

static void no_description_shows_a_secret(void **state)
{
	(void)state;
	each_message(check_description);
}

static void check_declaration(const struct proto_message *message)
{
	assert_true(message->nfields <= 64);
	for (size_t i = 0; i < message->nfields; i++) {
		const struct proto_field *field = &message->fields[i];

		assert_true(field->min <= field->max);
		assert_true(strlen(field->doc) > 0 && strlen(field->name) <= 32);
		assert_true(field->flags == PROTO_MUST || field->flags == PROTO_MAY ||
			    field->flags == PROTO_SECRET || field->flags == PROTO_MAY_SECRET);
		assert_int_equal(field->item != NULL, field->type == PROTO_LIST);
		if (field->type == PROTO_BOOL)
			assert_true(field->min == 0 && field->max == 1);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(field->name, message->fields[j].name);
		/* tokens are secrets wherever they travel */
		if (strcmp(field->name, "token") == 0)
			assert_true(field->flags & PROTO_SECRET);
		if (field->item)
			check_declaration(field->item);
	}
}

static void every_declaration_makes_sense(void **state)
{
	(void)state;
	each_message(check_declaration);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_declaration_makes_sense),
	    cmocka_unit_test(every_message_comes_back_as_it_went),
	    cmocka_unit_test(msgpack_c_reads_what_the_codec_wrote),
	    cmocka_unit_test(the_codec_reads_what_msgpack_c_wrote),
	    cmocka_unit_test(nothing_beyond_a_limit_is_ever_sent),
	    cmocka_unit_test(no_description_shows_a_secret),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
