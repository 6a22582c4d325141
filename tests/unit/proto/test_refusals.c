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

/* One field of one message, or of the records in one of its lists. */
struct place {
	const struct proto_message *message; /* the frame is one of these */
	const struct proto_message *owner; /* the field belongs to this one: message, or a record */
	const struct proto_field *field;
};

static void each_place(void (*fn)(const struct place *place))
{
	const struct proto_message *const *messages;
	size_t n = sample_messages(&messages), places = 0;

	for (size_t i = 0; i < n; i++) {
		for (size_t f = 0; f < messages[i]->nfields; f++) {
			const struct proto_field *field = &messages[i]->fields[f];
			fn(&(struct place){messages[i], messages[i], field});
			places++;
			for (size_t r = 0; field->item && r < field->item->nfields; r++)
				fn(&(struct place){
				    messages[i], field->item, &field->item->fields[r]});
		}
	}
	assert_true(places > 80);
}

/* Decodes from memory of exactly that length into memory of exactly that size. */
static int decode_exact(
    const struct proto_message *message, const void *bytes, size_t len, struct error *err)
{
	scoped_free uint8_t *copy = malloc(len ? len : 1);
	scoped_free void *value = malloc(message->size ? message->size : 1);
	struct wire wire;

	memcpy(copy, bytes, len);
	wire_init(&wire, copy, len);
	if (codec_decode(message, &wire, value, err) != 0)
		return -1;
	return wire_at_end(&wire) ? 0 : error_set(err, ERR_INVALID, "trailing bytes");
}

static int decode_twisted(const struct place *place, struct twist twist, struct error *err)
{
	scoped_buf buf = {0};
	scoped_free void *value = sample_new(place->message, TYPICAL);

	twist.field = place->field;
	sample_pack(&buf, place->message, value, &twist);
	return decode_exact(place->message, buf.data, buf.size, err);
}

static void expect_accepted(const struct place *place, struct twist twist, const char *what)
{
	struct error err;

	if (decode_twisted(place, twist, &err) != 0)
		fail_msg("%s: %s %s was refused: %s", place->message->name, place->field->name,
		    what, err.text);
}

static void expect_refused(
    const struct place *place, struct twist twist, const char *what, bool names_field)
{
	struct error err;

	if (decode_twisted(place, twist, &err) == 0)
		fail_msg("%s: %s %s was accepted", place->message->name, place->field->name, what);
	assert_int_equal(err.code, ERR_INVALID);
	if (strncmp(err.text, place->owner->name, strlen(place->owner->name)) != 0 ||
	    (names_field && !strstr(err.text, place->field->name)))
		fail_msg("%s: %s %s: the refusal is '%s'", place->message->name, place->field->name,
		    what, err.text);
}

static void check_missing(const struct place *place)
{
	struct twist twist = {.act = OMIT};

	if (place->field->flags & PROTO_MAY)
		expect_accepted(place, twist, "missing");
	else
		expect_refused(place, twist, "missing", true);
}

static void refuses_each_missing_field_that_must_be_there(void **state)
{
	(void)state;
	each_place(check_missing);
}

static void check_repeated(const struct place *place)
{
	expect_refused(place, (struct twist){.act = REPEAT}, "repeated", true);
}

static void refuses_each_repeated_field(void **state)
{
	(void)state;
	each_place(check_repeated);
}

static void check_mistyped(const struct place *place)
{
	for (enum kind kind = KIND_NIL; kind < NKINDS; kind++)
		if (kind != sample_kind(place->field))
			expect_refused(
			    place, (struct twist){.act = RETYPE, .kind = kind}, "mistyped", true);
}

static void refuses_each_field_of_another_type(void **state)
{
	(void)state;
	each_place(check_mistyped);
}

static void check_unknown(const struct place *place)
{
	static const struct {
		const char *name;
		size_t len;
	} names[] = {{"unknown", 7}, {"", 0}, {"a\0b", 3}, {"\xff", 1}, {"Wallet", 6}};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct twist twist = {
		    .act = ADD_BEFORE, .text = names[i].name, .len = names[i].len};
		expect_refused(place, twist, "after an unknown field", false);
		twist.act = ADD_AFTER;
		expect_refused(place, twist, "before an unknown field", false);
	}
}

static void refuses_an_unknown_field_anywhere(void **state)
{
	(void)state;
	each_place(check_unknown);
}

static void check_near_names(const struct place *place)
{
	char name[40];
	size_t len = strlen(place->field->name);

	memcpy(name, place->field->name, len);
	name[len] = '_';
	expect_refused(place, (struct twist){.act = ADD_AFTER, .text = name, .len = len + 1},
	    "and a longer name", false);
	if (place->field->flags & PROTO_MAY)
		expect_refused(place, (struct twist){.act = ADD_AFTER, .text = "", .len = 0},
		    "and no name", false);
	expect_refused(place, (struct twist){.act = KEY_AS_BIN}, "with a key of bytes", false);
}

static void refuses_names_that_are_nearly_right(void **state)
{
	(void)state;
	each_place(check_near_names);
}

static void check_limits(const struct place *place)
{
	const struct proto_field *field = place->field;

	if (field->type == PROTO_BOOL)
		return;
	expect_accepted(place, (struct twist){.act = RESIZE, .n = field->min}, "at its smallest");
	expect_accepted(place, (struct twist){.act = RESIZE, .n = field->max}, "at its largest");
	if (field->min > 0)
		expect_refused(
		    place, (struct twist){.act = RESIZE, .n = field->min - 1}, "too small", true);
	if (field->max < UINT64_MAX)
		expect_refused(
		    place, (struct twist){.act = RESIZE, .n = field->max + 1}, "too large", true);
	if (field->max < UINT32_MAX && field->type == PROTO_UINT)
		expect_refused(
		    place, (struct twist){.act = RESIZE, .n = UINT64_MAX}, "far too large", true);
}

static void keeps_each_limit_to_the_byte(void **state)
{
	(void)state;
	each_place(check_limits);
}

static void check_text(const struct place *place)
{
	static const char *const endings[] = {"\0", "\xff", "\xc3", "\xed\xa0\x80", "\xc0\x80"};
	static const size_t lens[] = {1, 1, 1, 3, 2};
	char text[8192];

	if (place->field->type != PROTO_STR)
		return;
	for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
		size_t len = (size_t)place->field->max;
		if (len < lens[i])
			continue;
		assert_true(len <= sizeof(text));
		memset(text, 'a', len);
		memcpy(text + len - lens[i], endings[i], lens[i]);
		expect_refused(place, (struct twist){.act = RETEXT, .text = text, .len = len},
		    "that is no text", true);
	}
}

static void refuses_text_with_a_nul_or_no_utf8(void **state)
{
	(void)state;
	each_place(check_text);
}

static void refuses_every_message_cut_at_any_byte(void **state)
{
	const struct proto_message *const *messages;
	size_t n = sample_messages(&messages);
	struct error err;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		scoped_buf buf = {0};
		scoped_free void *value = sample_new(messages[i], TYPICAL);

		sample_pack(&buf, messages[i], value, NULL);
		for (size_t len = 0; len < buf.size; len++) {
			if (decode_exact(messages[i], buf.data, len, &err) == 0)
				fail_msg("%s: accepted when cut to %zu of %zu", messages[i]->name,
				    len, buf.size);
			assert_int_equal(err.code, ERR_INVALID);
		}
		assert_int_equal(decode_exact(messages[i], buf.data, buf.size, &err), 0);
	}
}

static void sees_every_trailing_byte(void **state)
{
	const struct proto_message *const *messages;
	size_t n = sample_messages(&messages);
	struct error err;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		scoped_free void *value = sample_new(messages[i], TYPICAL);
		for (int byte = 0; byte < 256; byte++) {
			scoped_buf buf = {0};
			char tail = (char)byte;
			sample_pack(&buf, messages[i], value, NULL);
			msgpack_sbuffer_write(&buf, &tail, 1);
			assert_int_equal(decode_exact(messages[i], buf.data, buf.size, &err), -1);
			assert_string_equal(err.text, "trailing bytes");
		}
	}
}

static void refuses_a_message_that_is_no_map(void **state)
{
	static const char *const frames[] = {
	    "\xc0", "\xc3", "\x01", "\xff", "\xa1x", "\x90", "\x91\x80", "\xdd\x0f\xff\xff\xff"};
	static const size_t lens[] = {1, 1, 1, 1, 2, 1, 2, 5};
	const struct proto_message *const *messages;
	size_t n = sample_messages(&messages);
	struct error err;

	(void)state;
	for (size_t i = 0; i < n; i++)
		for (size_t f = 0; f < ARRAY_LEN(frames); f++)
			assert_int_equal(decode_exact(messages[i], frames[f], lens[f], &err), -1);
}

/* Any single byte changed: refused, or decoded to something within limits that encodes again. */
static void a_flipped_bit_never_gets_past_a_limit(void **state)
{
	const struct proto_message *const *messages;
	size_t n = sample_messages(&messages);
	struct error err;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		scoped_buf buf = {0};
		scoped_free void *value = sample_new(messages[i], TYPICAL);
		scoped_free void *out = malloc(messages[i]->size + 1);

		sample_pack(&buf, messages[i], value, NULL);
		for (size_t bit = 0; bit < buf.size * 8; bit++) {
			scoped_buf again = {0};
			struct wire wire;

			buf.data[bit / 8] = (char)(buf.data[bit / 8] ^ (1 << bit % 8));
			wire_init(&wire, buf.data, buf.size);
			if (codec_decode(messages[i], &wire, out, &err) == 0)
				assert_int_equal(codec_encode(messages[i], out, &again, &err), 0);
			buf.data[bit / 8] = (char)(buf.data[bit / 8] ^ (1 << bit % 8));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(refuses_each_missing_field_that_must_be_there),
	    cmocka_unit_test(refuses_each_repeated_field),
	    cmocka_unit_test(refuses_each_field_of_another_type),
	    cmocka_unit_test(refuses_an_unknown_field_anywhere),
	    cmocka_unit_test(refuses_names_that_are_nearly_right),
	    cmocka_unit_test(keeps_each_limit_to_the_byte),
	    cmocka_unit_test(refuses_text_with_a_nul_or_no_utf8),
	    cmocka_unit_test(refuses_every_message_cut_at_any_byte),
	    cmocka_unit_test(sees_every_trailing_byte),
	    cmocka_unit_test(refuses_a_message_that_is_no_map),
	    cmocka_unit_test(a_flipped_bit_never_gets_past_a_limit),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
