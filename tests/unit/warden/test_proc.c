#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "services/warden/proc.h"

static void says_what_a_process_does(void **state)
{
	char text[80], short_text[8], begin[32];

	(void)state;
	proc_describe(getpid(), text, sizeof(text));
	snprintf(begin, sizeof(begin), "test_proc %d: R in ", (int)getpid());
	assert_memory_equal(text, begin, strlen(begin));
	proc_describe(getpid(), short_text, sizeof(short_text));
	assert_string_equal(short_text, "test_pr");
	/* one that is gone has no threads */
	proc_describe(0, text, sizeof(text));
	assert_string_equal(text, " 0:");
}

static void lists_who_has_a_mount(void **state)
{
	char text[64];

	(void)state;
	proc_list_mount("/no/such/mount", text, sizeof(text));
	assert_string_equal(text, "");
	proc_list_mount("/proc", text, sizeof(text));
	assert_true(strlen(text) > 0 && strlen(text) < sizeof(text));
	assert_true(proc_has_mount(getpid(), "/proc"));
}

static void counts_what_is_written(void **state)
{
	uint64_t before = proc_written(getpid());
	FILE *null = fopen("/dev/null", "w");

	(void)state;
	assert_non_null(null);
	fprintf(null, "%1000d", 1);
	fclose(null);
	assert_true(proc_written(getpid()) >= before + 1000);
	assert_int_equal(proc_written(0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(says_what_a_process_does),
	    cmocka_unit_test(lists_who_has_a_mount), cmocka_unit_test(counts_what_is_written)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
