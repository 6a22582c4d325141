#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "common/wire.h"

/* A frame of exactly these bytes, in memory of exactly that size, so that a sanitizer sees a read beyond it. */
struct frame {
	uint8_t *bytes;
	struct wire wire;
};

static void free_frame(struct frame *frame)
{
	free(frame->bytes);
}
#define scoped_frame __attribute__((cleanup(free_frame)))

static struct frame frame_of(const void *bytes, size_t len)
{
	struct frame frame = {.bytes = malloc(len ? len : 1)};

	assert_non_null(frame.bytes);
	memcpy(frame.bytes, bytes, len);
	wire_init(&frame.wire, frame.bytes, len);
	return frame;
}
#define FRAME(text) frame_of(text, sizeof(text) - 1)

static void reads_unsigned_integers_of_every_form(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		uint64_t value;
	} cases[] = {
	    {"\x00", 1, 0},
	    {"\x7f", 1, 127},
	    {"\xcc\x80", 2, 128},
	    {"\xcc\x00", 2, 0}, /* longer than needed: allowed */
	    {"\xcd\xff\xff", 3, 65535},
	    {"\xce\xff\xff\xff\xff", 5, UINT32_MAX},
	    {"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 9, UINT64_MAX},
	    {"\xcf\x00\x00\x00\x00\x00\x00\x00\x01", 9, 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		scoped_frame struct frame frame = frame_of(cases[i].bytes, cases[i].len);
		assert_int_equal(wire_uint(&frame.wire), cases[i].value);
		assert_true(wire_at_end(&frame.wire));
	}
}

static void reads_text_of_every_form(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} cases[] = {
	    {"\xa2hi", 3}, {"\xd9\x02hi", 4}, {"\xda\x00\x02hi", 5}, {"\xdb\x00\x00\x00\x02hi", 7}};
	size_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		scoped_frame struct frame frame = frame_of(cases[i].bytes, cases[i].len);
		const char *text = wire_str(&frame.wire, &len);
		assert_int_equal(len, 2);
		assert_memory_equal(text, "hi", 2);
		assert_true(wire_at_end(&frame.wire));
	}
}

static void reads_bytes_of_every_form(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} cases[] = {{"\xc4\x02\xff\x00", 4}, {"\xc5\x00\x02\xff\x00", 5},
	    {"\xc6\x00\x00\x00\x02\xff\x00", 7}};
	size_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		scoped_frame struct frame frame = frame_of(cases[i].bytes, cases[i].len);
		const uint8_t *bytes = wire_bin(&frame.wire, &len);
		assert_int_equal(len, 2);
		assert_memory_equal(bytes, "\xff\x00", 2);
		assert_true(wire_at_end(&frame.wire));
	}
}

static void reads_counts_of_every_form(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		bool is_map;
	} cases[] = {{"\x81zz", 3, true}, {"\xde\x00\x01zz", 5, true},
	    {"\xdf\x00\x00\x00\x01zz", 7, true}, {"\x91z", 2, false}, {"\xdc\x00\x01z", 4, false},
	    {"\xdd\x00\x00\x00\x01z", 6, false}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		scoped_frame struct frame frame = frame_of(cases[i].bytes, cases[i].len);
		uint32_t count = cases[i].is_map ? wire_map(&frame.wire) : wire_array(&frame.wire);
		assert_int_equal(count, 1);
		assert_false(frame.wire.bad);
	}
}

static void a_count_larger_than_the_bytes_left_is_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		bool is_map;
	} cases[] = {{"\xdd\x0f\xff\xff\xff", 5, false}, {"\xdd\xff\xff\xff\xff", 5, false},
	    {"\xdc\x00\x01", 3, false}, {"\x91", 1, false}, {"\x92z", 2, false},
	    {"\xdf\x0f\xff\xff\xff", 5, true}, {"\xdf\xff\xff\xff\xffzzzz", 9, true},
	    {"\xde\x00\x01z", 4, true}, {"\x81", 1, true}, {"\x81z", 2, true}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		scoped_frame struct frame frame = frame_of(cases[i].bytes, cases[i].len);
		assert_int_equal(
		    cases[i].is_map ? wire_map(&frame.wire) : wire_array(&frame.wire), 0);
		assert_true(frame.wire.bad);
	}
}

static void a_length_larger_than_the_bytes_left_is_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} texts[] = {{"\xa1", 1}, {"\xa3hi", 3}, {"\xd9\x03hi", 4}, {"\xdb\xff\xff\xff\xffhi", 7},
	    {"\xd9", 1}},
	  bins[] = {{"\xc4\x01", 2}, {"\xc6\xff\xff\xff\xffhi", 7}, {"\xc5\x00", 2}, {"\xc4", 1}};
	size_t len = 1;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		scoped_frame struct frame frame = frame_of(texts[i].bytes, texts[i].len);
		assert_null(wire_str(&frame.wire, &len));
		assert_int_equal(len, 0);
		assert_true(frame.wire.bad);
	}
	for (size_t i = 0; i < ARRAY_LEN(bins); i++) {
		scoped_frame struct frame frame = frame_of(bins[i].bytes, bins[i].len);
		assert_null(wire_bin(&frame.wire, &len));
		assert_int_equal(len, 0);
		assert_true(frame.wire.bad);
	}
}

enum reader { MAP, ARRAY, STR, BIN, UINT, BOOL, NREADERS };

static void read_as(struct wire *wire, enum reader reader)
{
	size_t len;

	if (reader == MAP)
		wire_map(wire);
	else if (reader == ARRAY)
		wire_array(wire);
	else if (reader == STR)
		wire_str(wire, &len);
	else if (reader == BIN)
		wire_bin(wire, &len);
	else if (reader == UINT)
		wire_uint(wire);
	else
		wire_bool(wire);
}

/* What the specification says a first byte is; -1: something we do not use. */
static int reader_of(uint8_t tag)
{
	if (tag < 0x80 || (tag >= 0xcc && tag <= 0xcf))
		return UINT;
	if (tag < 0x90 || tag == 0xde || tag == 0xdf)
		return MAP;
	if (tag < 0xa0 || tag == 0xdc || tag == 0xdd)
		return ARRAY;
	if (tag < 0xc0 || (tag >= 0xd9 && tag <= 0xdb))
		return STR;
	if (tag >= 0xc4 && tag <= 0xc6)
		return BIN;
	return tag == 0xc2 || tag == 0xc3 ? BOOL : -1;
}

static void every_first_byte_is_read_as_its_own_type_and_no_other(void **state)
{
	uint8_t bytes[600] = {0};

	(void)state;
	for (int tag = 0; tag < 256; tag++) {
		for (enum reader reader = MAP; reader < NREADERS; reader++) {
			/* what follows the first byte reads as a length or count of 0, or as 31 letters */
			memset(bytes, tag >= 0xa0 && tag < 0xc0 ? 'a' : 0, sizeof(bytes));
			bytes[0] = (uint8_t)tag;
			scoped_frame struct frame frame = frame_of(bytes, sizeof(bytes));
			read_as(&frame.wire, reader);
			if (frame.wire.bad != (reader_of((uint8_t)tag) != (int)reader))
				fail_msg("first byte %02x, reader %d", (unsigned)tag, (int)reader);
		}
	}
}

static void an_error_sticks(void **state)
{
	scoped_frame struct frame frame = FRAME("\xc0\x01\xa1x\xc3\xc4\x00\x80\x90");
	size_t len = 1;

	(void)state;
	assert_int_equal(wire_uint(&frame.wire), 0);
	assert_true(frame.wire.bad);
	assert_int_equal(wire_uint(&frame.wire), 0);
	assert_null(wire_str(&frame.wire, &len));
	assert_false(wire_bool(&frame.wire));
	assert_null(wire_bin(&frame.wire, &len));
	assert_int_equal(wire_map(&frame.wire), 0);
	assert_int_equal(wire_array(&frame.wire), 0);
	assert_false(wire_at_end(&frame.wire));
}

static void an_empty_frame_is_at_its_end_and_gives_nothing(void **state)
{
	(void)state;
	for (enum reader reader = MAP; reader < NREADERS; reader++) {
		scoped_frame struct frame frame = frame_of("", 0);
		assert_true(wire_at_end(&frame.wire));
		read_as(&frame.wire, reader);
		assert_true(frame.wire.bad);
	}
}

static void text_must_be_utf8(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		bool valid;
	} cases[] = {
	    {"", 0, true},
	    {"plain", 5, true},
	    {"\xc2\x80", 2, true},
	    {"\xdf\xbf", 2, true},
	    {"\xe0\xa0\x80", 3, true},
	    {"\xed\x9f\xbf", 3, true},
	    {"\xee\x80\x80", 3, true},
	    {"\xef\xbf\xbf", 3, true},
	    {"\xf0\x90\x80\x80", 4, true},
	    {"\xf4\x8f\xbf\xbf", 4, true},
	    {"a\0b", 3, false},
	    {"\x80", 1, false},
	    {"\xc0\x80", 2, false},
	    {"\xc1\xbf", 2, false},
	    {"\xc2", 1, false},
	    {"\xc2\x41", 2, false},
	    {"\xe0\x9f\xbf", 3, false},
	    {"\xed\xa0\x80", 3, false},
	    {"\xed\xbf\xbf", 3, false},
	    {"\xe2\x82", 2, false},
	    {"\xe2\x82\x41", 3, false},
	    {"\xf0\x8f\xbf\xbf", 4, false},
	    {"\xf0\x90\x80", 3, false},
	    {"\xf4\x90\x80\x80", 4, false},
	    {"\xf5\x80\x80\x80", 4, false},
	    {"\xf0\x90\x80\x41", 4, false},
	    {"\xff", 1, false},
	};
	uint8_t bytes[8];
	size_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(utf8_is_valid(cases[i].text, cases[i].len), cases[i].valid);
		bytes[0] = (uint8_t)(0xa0 | cases[i].len);
		memcpy(bytes + 1, cases[i].text, cases[i].len);
		scoped_frame struct frame frame = frame_of(bytes, cases[i].len + 1);
		assert_int_equal(wire_str(&frame.wire, &len) != NULL, cases[i].valid);
		assert_int_equal(frame.wire.bad, !cases[i].valid);
	}
}

static size_t encode_point(uint32_t point, char *text)
{
	static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
	size_t len = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;

	for (size_t i = len; i-- > 1; point >>= 6)
		text[i] = (char)(0x80 | (point & 0x3f));
	text[0] = (char)(lead[len] | point);
	return len;
}

static void every_code_point_but_nul_and_surrogates_is_valid(void **state)
{
	char text[8];

	(void)state;
	for (uint32_t point = 0; point <= 0x1fffff; point++) {
		size_t len = encode_point(point, text);
		bool want =
		    point != 0 && !(point >= 0xd800 && point <= 0xdfff) && point <= 0x10ffff;
		if (utf8_is_valid(text, len) != want)
			fail_msg("U+%04X", (unsigned)point);
	}
}

static void reads_what_msgpack_c_packs(void **state)
{
	static const uint64_t numbers[] = {0, 1, 127, 128, 255, 256, 65535, 65536, UINT32_MAX,
	    (uint64_t)UINT32_MAX + 1, UINT64_MAX};
	static const size_t lens[] = {0, 1, 31, 32, 255, 256, 65535, 65536};
	static char bytes[65536];
	msgpack_sbuffer buf;
	msgpack_packer packer;
	struct wire wire;
	size_t len;

	(void)state;
	memset(bytes, 'x', sizeof(bytes));
	msgpack_sbuffer_init(&buf);
	msgpack_packer_init(&packer, &buf, msgpack_sbuffer_write);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		msgpack_pack_uint64(&packer, numbers[i]);
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		msgpack_pack_str_with_body(&packer, bytes, lens[i]);
		msgpack_pack_bin_with_body(&packer, bytes, lens[i]);
	}
	msgpack_pack_true(&packer);
	msgpack_pack_false(&packer);
	wire_init(&wire, buf.data, buf.size);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		assert_int_equal(wire_uint(&wire), numbers[i]);
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		assert_non_null(wire_str(&wire, &len));
		assert_int_equal(len, lens[i]);
		assert_non_null(wire_bin(&wire, &len));
		assert_int_equal(len, lens[i]);
	}
	assert_true(wire_bool(&wire));
	assert_false(wire_bool(&wire));
	assert_true(wire_at_end(&wire));
	msgpack_sbuffer_destroy(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(reads_unsigned_integers_of_every_form),
	    cmocka_unit_test(reads_text_of_every_form),
	    cmocka_unit_test(reads_bytes_of_every_form),
	    cmocka_unit_test(reads_counts_of_every_form),
	    cmocka_unit_test(a_count_larger_than_the_bytes_left_is_refused),
	    cmocka_unit_test(a_length_larger_than_the_bytes_left_is_refused),
	    cmocka_unit_test(every_first_byte_is_read_as_its_own_type_and_no_other),
	    cmocka_unit_test(an_error_sticks),
	    cmocka_unit_test(an_empty_frame_is_at_its_end_and_gives_nothing),
	    cmocka_unit_test(text_must_be_utf8),
	    cmocka_unit_test(every_code_point_but_nul_and_surrogates_is_valid),
	    cmocka_unit_test(reads_what_msgpack_c_packs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
