/* What others say, made text: whatever the bytes, the bus and a record take it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "common/wire.h"
#include "services/sandbox/text.h"

static void good_text_stays(void **state)
{
	static const char *const texts[] = {
	    "", "a", "notes/Z\xc3\xbcrich.md", "\xe2\x82\xac \xf0\x9f\xa6\x80", "\xc2\xa0~"};
	char buf[64];
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		text_copy(buf, sizeof(buf), texts[i]);
		assert_string_equal(buf, texts[i]);
	}
}

static void what_is_no_text_is_marked(void **state)
{
	static const struct {
		const char *from, *to;
	} texts[] = {
	    {"\xff", "?"}, {"a\xc3", "a?"},           /* cut by who sent it */
	    {"a\xe2\x82", "a??"}, {"\xc0\xaf", "??"}, /* a longer form */
	    {"\xed\xa0\x80", "???"},                  /* half a pair */
	    {"\xf5\x80\x80\x80", "????"}, {"\x80ok\xc3\xa9", "?ok\xc3\xa9"},
	    {"a\nb\x1b[2J\x7f", "a?b?[2J?"},
	    {"\xc2\x85", "??"},            /* a control character of two bytes */
	    {"\xe2\x80\xaegnp", "???gnp"}, /* what turns the rest around */
	};
	char buf[64];
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		text_copy(buf, sizeof(buf), texts[i].from);
		assert_string_equal(buf, texts[i].to);
		memset(buf, 'x', sizeof(buf));
		memcpy(buf, texts[i].from, strlen(texts[i].from) + 1);
		text_copy(buf, sizeof(buf), buf);
		assert_string_equal(buf, texts[i].to);
	}
}

static void it_is_cut_between_characters(void **state)
{
	static const char text[] = "a\xe2\x82\xac\xf0\x9f\xa6\x80z";
	static const char *const cut[] = {"", "a", "a", "a", "a\xe2\x82\xac", "a\xe2\x82\xac",
	    "a\xe2\x82\xac", "a\xe2\x82\xac", "a\xe2\x82\xac\xf0\x9f\xa6\x80", text};
	char buf[16];
	(void)state;
	for (size_t i = 0; i < sizeof(cut) / sizeof(cut[0]); i++) {
		memset(buf, 'x', sizeof(buf));
		text_copy(buf, i + 1, text);
		assert_string_equal(buf, cut[i]);
	}
}

static void every_pair_of_bytes_becomes_text(void **state)
{
	char from[4] = {0}, buf[4];
	(void)state;
	for (unsigned a = 1; a < 256; a++)
		for (unsigned b = 1; b < 256; b++) {
			from[0] = (char)a, from[1] = (char)b;
			text_copy(buf, sizeof(buf), from);
			assert_true(utf8_is_valid(buf, strlen(buf)));
			for (const char *at = buf; *at; at++)
				assert_true((unsigned char)*at >= 0x20 && *at != 0x7f);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(good_text_stays),
	    cmocka_unit_test(what_is_no_text_is_marked),
	    cmocka_unit_test(it_is_cut_between_characters),
	    cmocka_unit_test(every_pair_of_bytes_becomes_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
