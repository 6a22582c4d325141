/* How far something is, in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/error.h"
#include "services/cli/progress.h"

static void a_size_is_short(void **state)
{
	(void)state;
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
	    {0, "0 B"},
	    {1023, "1023 B"},
	    {1024, "1.0 KiB"},
	    {1536, "1.5 KiB"},
	    {1048575, "1.0 MiB"},
	    {UINT64_C(10737418240), "10.0 GiB"},
	    {UINT64_MAX, "16.0 EiB"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char buf[PROGRESS_SIZE_MAX];
		assert_string_equal(progress_size(cases[i].bytes, buf), cases[i].text);
	}
}

static void a_bar_fills(void **state)
{
	(void)state;
	static const struct {
		const char *doing;
		uint64_t done, total;
		const char *text;
	} cases[] = {
	    {"snapshot", 0, 4096, "saving [--------------------]   0 %, 0 B of 4.0 KiB"},
	    {"restore", 1024, 4096, "restoring [#####---------------]  25 %, 1.0 KiB of 4.0 KiB"},
	    {"hand_over", 4096, 4096,
		"saving for the next owner [####################] 100 %, 4.0 KiB of 4.0 KiB"},
	    {"snapshot", 4095, 4096, "saving [###################-]  99 %, 4.0 KiB of 4.0 KiB"},
	    {"snapshot", 5, 0, "saving, 5 B so far"},
	    {"snapshot", 5, 4, "saving, 5 B so far"},
	    {"\033[2J", 0, 0, "working, 0 B so far"},
	    {"snapshot", UINT64_MAX, UINT64_MAX,
		"saving [####################] 100 %, 16.0 EiB of 16.0 EiB"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char buf[PROGRESS_TEXT_MAX];
		assert_string_equal(
		    progress_text(cases[i].doing, cases[i].done, cases[i].total, buf),
		    cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_size_is_short),
	    cmocka_unit_test(a_bar_fills),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
