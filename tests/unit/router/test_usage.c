/* Of which days usage is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "services/router/usage.h"

static void reads_of_how_many_days(void **state)
{
	static const struct {
		const char *query;
		uint64_t days; /* 0: refused */
	} cases[] = {
	    {"", 7},
	    {"days=1", 1},
	    {"days=9", 9},
	    {"days=31", 31},
	    {"days=0", 0},
	    {"days=32", 0},
	    {"days=100", 0},
	    {"days=07", 0},
	    {"days=", 0},
	    {"days", 0},
	    {"d", 0},
	    {"days=-1", 0},
	    {"days=1x", 0},
	    {"days=1&days=2", 0},
	    {"DAYS=1", 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = {0};
		uint64_t days;
		int rc = usage_days(cases[i].query, &days, &err);
		assert_int_equal(rc, cases[i].days ? 0 : -1);
		if (cases[i].days)
			assert_int_equal(days, cases[i].days);
		else
			assert_string_equal(err.reason, "query_invalid");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(reads_of_how_many_days)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
