#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/error.h"
#include "common/log.h"
#include "tests/unit/common/capture.h"

#define AT 1767323045678 /* 2026-01-02T03:04:05.678Z */

static char said[32768];

static int begin(void **state)
{
	(void)state;
	clock_fake(AT, 1);
	log_open("auth", "auth-1", LOG_INFO);
	log_request(NULL, NULL, NULL);
	return 0;
}

/* The line that logging one pair makes, from its key on. */
static const char *line_of(const char *value)
{
	struct capture capture = capture_begin();

	log_info("m", "k", value);
	capture_end(&capture, said, sizeof(said));
	return strstr(said, " k=") ? strstr(said, " k=") + 3 : said;
}

static void a_line_has_time_level_service_replica_message_and_pairs(void **state)
{
	struct capture capture = capture_begin();

	(void)state;
	log_warn("node set aside", "url", "https://n.example", "behind", log_u64(17));
	capture_end(&capture, said, sizeof(said));
	assert_string_equal(said,
	    "2026-01-02T03:04:05.678Z warn auth replica=auth-1 msg=\"node set aside\""
	    " url=https://n.example behind=17\n");
}

static void the_request_served_is_in_every_line_until_cleared(void **state)
{
	(void)state;
	log_request("0123456789abcdef", "router", "auth.verify");
	line_of("v");
	assert_non_null(
	    strstr(said, " trace=0123456789abcdef caller=router call=auth.verify k=v\n"));
	log_request(NULL, NULL, NULL);
	line_of("v");
	assert_null(strstr(said, "trace="));
}

static void values_are_quoted_when_they_need_it(void **state)
{
	static const struct {
		const char *value, *line;
	} cases[] = {
	    {"plain-1.2:3/x", "plain-1.2:3/x\n"},
	    {"", "\"\"\n"},
	    {NULL, "-\n"},
	    {"two words", "\"two words\"\n"},
	    {"a=b", "\"a=b\"\n"},
	    {"say \"x\" \\", "\"say \\\"x\\\" \\\\\"\n"},
	    {"a\nb level=error", "\"a\\nb level=error\"\n"},
	    {"\x1b[2J\r", "\"\\u{1b}[2J\\u{d}\"\n"},
	    {"\x7f", "\"\\u{7f}\"\n"},
	    {"\xc3\xa9", "\"\xc3\xa9\"\n"},
	    {"\xf0\x9f\xa6\x80", "\"\xf0\x9f\xa6\x80\"\n"},
	    {"\xc2\x9b", "\"\\u{9b}\"\n"},
	    {"a\xe2\x80\xae", "\"a\\u{202e}\"\n"},
	    {"\xe2\x81\xa6", "\"\\u{2066}\"\n"},
	    {"\xe2\x80\xa8", "\"\\u{2028}\"\n"},
	    {"\xe2\x80\x8b", "\"\\u{200b}\"\n"},
	    {"\xef\xbb\xbf", "\"\\u{feff}\"\n"},
	    {"\xd8\x9c", "\"\\u{61c}\"\n"},
	    {"\xf3\xa0\x81\x81", "\"\\u{e0041}\"\n"},
	    {"\xff", "\"\\xff\"\n"},
	    {"\xe2\x80", "\"\\xe2\\x80\"\n"},
	    {"\xc0\x8a", "\"\\xc0\\x8a\"\n"},
	    {"\xe0\x80\x8a", "\"\\xe0\\x80\\x8a\"\n"},
	    {"\xed\xa0\x80", "\"\\xed\\xa0\\x80\"\n"},
	    {"\xf4\x90\x80\x80", "\"\\xf4\\x90\\x80\\x80\"\n"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(line_of(cases[i].value), cases[i].line);
}

static void a_hostile_value_never_makes_a_second_line(void **state)
{
	(void)state;
	for (int c = 1; c < 256; c++) {
		char value[] = {'a', (char)c, 'b', '\0'};
		line_of(value);
		assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
	}
}

static void a_line_that_is_too_long_is_cut_and_says_so(void **state)
{
	static char value[20000];

	(void)state;
	for (size_t len = 8000; len < 8200; len++) {
		memset(value, 'v', len);
		value[len] = '\0';
		line_of(value);
		assert_true(strlen(said) <= 8192);
		assert_true(strstr(said, value) || strstr(said, " cut=yes\n"));
		assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
	}
	memset(value, 'v', sizeof(value) - 1);
	line_of(value);
	assert_non_null(strstr(said, " cut=yes\n"));
}

static void nothing_follows_what_was_cut(void **state)
{
	static char value[9000];
	struct capture capture = capture_begin();

	(void)state;
	memset(value, 'v', sizeof(value) - 1);
	log_info("m", "long", value, "short", "x");
	capture_end(&capture, said, sizeof(said));
	assert_null(strstr(said, "short"));
	assert_non_null(strstr(said, " long= cut=yes\n"));
}

static void levels_below_the_lowest_are_silent_but_audit_never_is(void **state)
{
	struct capture capture = capture_begin();

	(void)state;
	log_open("auth", "auth-1", LOG_ERROR);
	log_debug("d");
	log_info("i");
	log_warn("w");
	log_audit("denied", "wallet", "W");
	log_error("e");
	capture_end(&capture, said, sizeof(said));
	assert_string_equal(said,
	    "2026-01-02T03:04:05.678Z audit auth replica=auth-1 msg=denied wallet=W\n"
	    "2026-01-02T03:04:05.678Z error auth replica=auth-1 msg=e\n");
}

static void eight_numbers_fit_into_one_call(void **state)
{
	struct capture capture = capture_begin();

	(void)state;
	log_info("n", "a", log_u64(1), "b", log_u64(2), "c", log_u64(3), "d", log_u64(4), "e",
	    log_u64(5), "f", log_u64(6), "g", log_u64(7), "h", log_u64(UINT64_MAX));
	capture_end(&capture, said, sizeof(said));
	assert_non_null(strstr(said, "a=1 b=2 c=3 d=4 e=5 f=6 g=7 h=18446744073709551615\n"));
}

static void time_is_written_as_rfc_3339(void **state)
{
	static const struct {
		uint64_t ms;
		const char *text;
	} cases[] = {
	    {0, "1970-01-01T00:00:00.000Z"},
	    {951782399999, "2000-02-28T23:59:59.999Z"},
	    {951782400000, "2000-02-29T00:00:00.000Z"},
	    {AT, "2026-01-02T03:04:05.678Z"},
	    {253402300799999, "9999-12-31T23:59:59.999Z"},
	    {UINT64_MAX, "9999-12-31T23:59:59.999Z"},
	};
	char text[CLOCK_RFC3339_LEN + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(clock_rfc3339(cases[i].ms, text, sizeof(text)), cases[i].text);
}

static void clocks_stand_still_when_told_and_go_on_when_let_go(void **state)
{
	(void)state;
	clock_fake(5, 7);
	assert_int_equal(clock_unix_ms(), 5);
	assert_int_equal(clock_boot_ms(), 7);
	assert_int_equal(clock_boot_us(), 7000);
	clock_fake(0, 0);
	assert_true(clock_unix_ms() > 1700000000000);
	uint64_t before = clock_boot_us();
	assert_true(clock_boot_us() >= before);
	assert_true(clock_boot_ms() >= before / 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(a_line_has_time_level_service_replica_message_and_pairs, begin),
	    cmocka_unit_test_setup(the_request_served_is_in_every_line_until_cleared, begin),
	    cmocka_unit_test_setup(values_are_quoted_when_they_need_it, begin),
	    cmocka_unit_test_setup(a_hostile_value_never_makes_a_second_line, begin),
	    cmocka_unit_test_setup(a_line_that_is_too_long_is_cut_and_says_so, begin),
	    cmocka_unit_test_setup(nothing_follows_what_was_cut, begin),
	    cmocka_unit_test_setup(levels_below_the_lowest_are_silent_but_audit_never_is, begin),
	    cmocka_unit_test_setup(eight_numbers_fit_into_one_call, begin),
	    cmocka_unit_test(time_is_written_as_rfc_3339),
	    cmocka_unit_test(clocks_stand_still_when_told_and_go_on_when_let_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
