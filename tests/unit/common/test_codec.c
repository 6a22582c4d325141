#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/codec.h"

/* clang-format off */
/* A message with every type, list and flag there is; what the suite itself declares is tested in tests/unit/proto. */
#define part_ITEM(F, M) \
	F(M, STR, label, 1, 4, MUST, "d") \
	F(M, UINT, weight, 0, 9, MAY, "d")
PROTO_ITEM(part)
#define sample_FIELDS(F, M) \
	F(M, STR, name, 1, 8, MUST, "d") \
	F(M, STR, note, 2, 8, MAY, "d") \
	F(M, BIN, blob, 0, 4, MUST, "d") \
	F(M, BIN, more, 2, 4, MAY, "d") \
	F(M, UINT, count, 5, 500, MUST, "d") \
	F(M, UINT, extra, 5, 500, MAY, "d") \
	F(M, BOOL, flag, 0, 1, MUST, "d") \
	F(M, LIST, part, 0, 3, MAY, "d") \
	F(M, STR, token, 1, 8, SECRET, "d") \
	F(M, STR, spare, 1, 8, MAY_SECRET, "d")
PROTO_DECLARE_MESSAGE(sample, sample_FIELDS)
PROTO_ITEM_DEFINE(part)
PROTO_DEFINE_MESSAGE(sample, "test sample", sample_FIELDS)

#define bare_FIELDS(F, M) F(M, UINT, n, 0, 9, MAY, "d")
PROTO_DECLARE_MESSAGE(bare, bare_FIELDS)
PROTO_DEFINE_MESSAGE(bare, "test bare", bare_FIELDS)
/* clang-format on */

static void copy_text(char *to, const char *text)
{
	memcpy(to, text, strlen(text) + 1);
}

static struct sample good(void)
{
	struct sample sample = {.name = "n\xc3\xa9", .count = 7, .flag = true, .token = "s3cret"};

	sample.blob.len = 3;
	memcpy(sample.blob.data, "\x00\xff\x01", 3);
	sample.part.len = 2;
	copy_text(sample.part.item[0].label, "a");
	copy_text(sample.part.item[1].label, "bbbb");
	sample.part.item[1].weight = 9;
	return sample;
}

static void scoped_buf_fn(msgpack_sbuffer *buf)
{
	msgpack_sbuffer_destroy(buf);
}
#define scoped_buf __attribute__((cleanup(scoped_buf_fn))) msgpack_sbuffer

static int decode_bytes(const void *bytes, size_t len, struct sample *sample, struct error *err)
{
	struct wire wire;

	wire_init(&wire, bytes, len);
	return codec_decode(&sample_message, &wire, sample, err);
}

static void what_was_encoded_is_decoded(void **state)
{
	scoped_buf buf = {0};
	struct sample in = good(), out;
	struct error err;

	(void)state;
	assert_int_equal(codec_encode(&sample_message, &in, &buf, &err), 0);
	memset(&out, 0xa5, sizeof(out));
	assert_int_equal(decode_bytes(buf.data, buf.size, &out, &err), 0);
	assert_string_equal(out.name, in.name);
	assert_string_equal(out.note, "");
	assert_int_equal(out.blob.len, 3);
	assert_memory_equal(out.blob.data, "\x00\xff\x01", 3);
	assert_int_equal(out.more.len, 0);
	assert_int_equal(out.count, 7);
	assert_int_equal(out.extra, 0);
	assert_true(out.flag);
	assert_int_equal(out.part.len, 2);
	assert_string_equal(out.part.item[0].label, "a");
	assert_int_equal(out.part.item[1].weight, 9);
	assert_string_equal(out.token, "s3cret");
}

static void the_bytes_on_the_wire_are_these(void **state)
{
	static const char want[] = "\x81\xa1n\x07";
	scoped_buf buf = {0};
	struct bare bare = {7}, empty = {0};
	struct error err;

	(void)state;
	assert_int_equal(codec_encode(&bare_message, &bare, &buf, &err), 0);
	assert_int_equal(buf.size, sizeof(want) - 1);
	assert_memory_equal(buf.data, want, buf.size);
	assert_int_equal(codec_encode(&bare_message, &empty, &buf, &err), 0);
	assert_int_equal(buf.size, sizeof(want));
	assert_int_equal((uint8_t)buf.data[buf.size - 1], 0x80);
}

static void encoding_refuses_what_breaks_its_own_limits(void **state)
{
	struct sample bad[13];
	scoped_buf buf = {0};
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		bad[i] = good();
	bad[0].name[0] = '\0';
	memset(bad[1].name, 'x', sizeof(bad[1].name)); /* not terminated */
	copy_text(bad[2].name, "\xff");
	copy_text(bad[3].note, "x");
	bad[4].blob.len = 5;
	bad[5].blob.len = SIZE_MAX;
	bad[6].more.len = 1;
	bad[7].count = 4;
	bad[8].count = 501;
	bad[9].extra = 1;
	bad[10].part.len = 4;
	bad[11].part.item[1].label[0] = '\0';
	bad[12].token[0] = '\0';
	msgpack_sbuffer_write(&buf, "before", 6);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (codec_encode(&sample_message, &bad[i], &buf, &err) == 0)
			fail_msg("accepted: case %zu", i);
		assert_int_equal(err.code, ERR_INTERNAL);
		assert_non_null(strstr(err.text, i == 11 ? "part item: label" : "test sample: "));
		assert_int_equal(buf.size, 6);
	}
	bad[12] = good();
	assert_int_equal(codec_encode(&sample_message, &bad[12], &buf, &err), 0);
}

static void decoding_leaves_the_wire_behind_the_message(void **state)
{
	static const char bytes[] = "\x81\xa1n\x07\x80\xc0";
	struct wire wire;
	struct bare bare;
	struct error err;

	(void)state;
	wire_init(&wire, bytes, sizeof(bytes) - 1);
	assert_int_equal(codec_decode(&bare_message, &wire, &bare, &err), 0);
	assert_int_equal(bare.n, 7);
	assert_int_equal(codec_decode(&bare_message, &wire, &bare, &err), 0);
	assert_int_equal(bare.n, 0);
	assert_false(wire_at_end(&wire));
	assert_int_equal(codec_decode(&bare_message, &wire, &bare, &err), -1);
	assert_true(wire.bad);
}

static void refusals_name_message_and_field(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *text;
	} cases[] = {
	    {"", 0, "test bare: not a map, or cut short"},
	    {"\x90", 1, "test bare: not a map, or cut short"},
	    {"\xc0", 1, "test bare: not a map, or cut short"},
	    {"\xdf\xff\xff\xff\xff", 5, "test bare: not a map, or cut short"},
	    {"\x81\xa1m\x07", 4, "test bare: unknown field 'm'"},
	    {"\x81\xa1N\x07", 4, "test bare: unknown field"},
	    {"\x81\xa0\x07", 3, "test bare: unknown field ''"},
	    {"\x81\x01\x07", 3, "test bare: a key is cut short or not text"},
	    {"\x81\xc4\x01n\x07", 5, "test bare: a key is cut short or not text"},
	    {"\x82\xa1n\x07\xa1n\x07", 7, "test bare: n is repeated"},
	    {"\x81\xa1n\x0a", 4, "test bare: n is out of its limits"},
	    {"\x81\xa1n\xff", 4, "test bare: n is cut short or of the wrong type"},
	    {"\x81\xa1n\xcc", 4, "test bare: n is cut short or of the wrong type"},
	    {"\x81\xa2n\0\x07", 5, "test bare: a key is cut short or not text"},
	    {"\x81\xa3n\x1b[\x07", 6, "test bare: unknown field"},
	    {"\x81\xd9\x21zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz\x07", 37, "test bare: unknown field"},
	};
	struct error err;
	struct bare bare;
	struct wire wire;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		wire_init(&wire, cases[i].bytes, cases[i].len);
		assert_int_equal(codec_decode(&bare_message, &wire, &bare, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
		assert_string_equal(err.text, cases[i].text);
		assert_true(wire.bad);
	}
}

static void a_refused_message_leaves_no_secret_behind(void **state)
{
	scoped_buf buf = {0};
	struct sample in = good(), out;
	static const struct sample zero;
	struct error err;

	(void)state;
	assert_int_equal(codec_encode(&sample_message, &in, &buf, &err), 0);
	assert_int_equal(decode_bytes(buf.data, buf.size - 1, &out, &err), -1);
	assert_memory_equal(&out, &zero, sizeof(out));
}

static void wiping_leaves_nothing(void **state)
{
	static const struct sample zero;
	struct sample sample = good();

	(void)state;
	codec_wipe(&sample_message, &sample);
	assert_memory_equal(&sample, &zero, sizeof(zero));
}

static void a_description_shows_no_secret(void **state)
{
	struct sample sample = good();
	char text[300];

	(void)state;
	copy_text(sample.spare, "hidden");
	codec_describe(&sample_message, &sample, text, sizeof(text));
	assert_string_equal(text,
	    "name=n\xc3\xa9 blob=(3 bytes) count=7 flag=yes part=(2 records) token=(secret) "
	    "spare=(secret)");
}

static void a_description_is_cut_to_its_buffer(void **state)
{
	struct sample sample = good();
	char whole[300];

	(void)state;
	codec_describe(&sample_message, &sample, whole, sizeof(whole));
	for (size_t size = 1; size <= strlen(whole) + 1; size++) {
		char *text = malloc(size);
		codec_describe(&sample_message, &sample, text, size);
		assert_true(strlen(text) < size);
		assert_memory_equal(text, whole, strlen(text));
		assert_null(strstr(text, "s3cret"));
		free(text);
	}
}

static void ten_thousand_random_frames_harm_nothing(void **state)
{
	struct sample out;
	uint8_t bytes[64];

	(void)state;
	for (int i = 0; i < 10000; i++) {
		size_t len = randombytes_uniform(sizeof(bytes));
		randombytes_buf(bytes, len);
		if (len > 0)
			bytes[0] = (uint8_t)(0x80 | bytes[0] % 12);
		decode_bytes(bytes, len, &out, NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_was_encoded_is_decoded),
	    cmocka_unit_test(the_bytes_on_the_wire_are_these),
	    cmocka_unit_test(encoding_refuses_what_breaks_its_own_limits),
	    cmocka_unit_test(decoding_leaves_the_wire_behind_the_message),
	    cmocka_unit_test(refusals_name_message_and_field),
	    cmocka_unit_test(a_refused_message_leaves_no_secret_behind),
	    cmocka_unit_test(wiping_leaves_nothing),
	    cmocka_unit_test(a_description_shows_no_secret),
	    cmocka_unit_test(a_description_is_cut_to_its_buffer),
	    cmocka_unit_test(ten_thousand_random_frames_harm_nothing),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
