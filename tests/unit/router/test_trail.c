/* Where a reading of the trail begins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "services/router/trail.h"

static void reads_after_which_entry_it_goes_on(void **state)
{
	(void)state;
	static const struct {
		const char *query;
		uint64_t after;
		bool is_refused;
	} cases[] = {
	    {"", 0, false},
	    {"after=0", 0, false},
	    {"after=17", 17, false},
	    {"after=007", 7, false},
	    {"after=999999999999999999", UINT64_C(999999999999999999), false},
	    {"after=9999999999999999999", 0, true},
	    {"after=18446744073709551616", 0, true},
	    {"after=", 0, true},
	    {"after", 0, true},
	    {"afte=1", 0, true},
	    {"after=-1", 0, true},
	    {"after=+1", 0, true},
	    {"after= 1", 0, true},
	    {"after=1x", 0, true},
	    {"after=0x10", 0, true},
	    {"after=1&after=2", 0, true},
	    {"after=1&x=2", 0, true},
	    {"x=2", 0, true},
	    {"&after=1", 0, true},
	    {"AFTER=1", 0, true},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = {0};
		uint64_t after = 99;
		int rc = trail_after(cases[i].query, &after, &err);
		assert_int_equal(rc, cases[i].is_refused ? -1 : 0);
		if (cases[i].is_refused)
			assert_string_equal(err.reason, "query_invalid");
		else
			assert_true(after == cases[i].after);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(reads_after_which_entry_it_goes_on)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
