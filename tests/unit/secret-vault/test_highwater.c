#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "common/log.h"
#include "services/secret-vault/highwater.h"
#include "tests/unit/common/scratch.h"

struct shore {
	char dir[40], path[64];
	struct highwater *marks;
	struct error err;
};
#define GOOD(call) \
	do { \
		if ((call) < 0) \
			fail_msg("%s: %s", #call, shore->err.text); \
	} while (0)

static const struct period one = {"asset", "seller", 10}, two = {"asset", "buyer", 20},
			   back = {"asset", "seller", 30}, other = {"other", "seller", 10};

static void reopen(struct shore *shore)
{
	highwater_close(&shore->marks);
	shore->marks = highwater_open(shore->path, &shore->err);
	if (!shore->marks)
		fail_msg("%s", shore->err.text);
}

static int open_shore(void **state)
{
	struct shore *shore = calloc(1, sizeof(*shore));

	snprintf(shore->dir, sizeof(shore->dir), "/tmp/mc-unit-marks-XXXXXX");
	assert_non_null(mkdtemp(shore->dir));
	snprintf(shore->path, sizeof(shore->path), "%s/marks.db", shore->dir);
	reopen(shore);
	*state = shore;
	return 0;
}

static int close_shore(void **state)
{
	struct shore *shore = *state;

	highwater_close(&shore->marks);
	scratch_remove(shore->dir);
	free(shore);
	return 0;
}

static void raise_to(struct shore *shore, const struct period *period, const char *name, uint64_t v)
{
	GOOD(highwater_raise(shore->marks, period, *name ? "llm" : "", name, v, &shore->err));
}

static uint64_t mark(struct shore *shore, const struct period *period, const char *name)
{
	uint64_t version = 77;

	GOOD(highwater_get(shore->marks, period, *name ? "llm" : "", name, &version, &shore->err));
	return version;
}

static void makes_a_file_of_its_own_that_nobody_else_can_read(void **state)
{
	struct shore *shore = *state;
	struct stat st;
	struct error err = {0};

	assert_int_equal(stat(shore->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_null(highwater_open(shore->path, &err));
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_null(highwater_open("/nowhere/at/all/marks.db", &err));
}

static void marks_only_rise(void **state)
{
	struct shore *shore = *state;

	assert_int_equal(mark(shore, &one, "a"), 0);
	raise_to(shore, &one, "a", 5);
	raise_to(shore, &one, "a", 3);
	assert_int_equal(mark(shore, &one, "a"), 5);
	raise_to(shore, &one, "a", INT64_MAX);
	assert_int_equal(mark(shore, &one, "a"), INT64_MAX);
	assert_int_equal(
	    highwater_raise(shore->marks, &one, "llm", "a", UINT64_MAX, &shore->err), -1);
	assert_int_equal(mark(shore, &one, "b"), 0);
	assert_int_equal(mark(shore, &back, "a"), 0);
	assert_int_equal(mark(shore, &other, "a"), 0);
	assert_int_equal(mark(shore, &one, ""), 0);
}

static void what_is_committed_stays_and_the_rest_does_not(void **state)
{
	struct shore *shore = *state;

	raise_to(shore, &one, "a", 5);
	GOOD(highwater_commit(shore->marks, &shore->err));
	GOOD(highwater_commit(shore->marks, &shore->err));
	raise_to(shore, &one, "a", 6);
	raise_to(shore, &one, "b", 1);
	highwater_forget(shore->marks);
	highwater_forget(shore->marks);
	assert_int_equal(mark(shore, &one, "a"), 5);
	assert_int_equal(mark(shore, &one, "b"), 0);
	raise_to(shore, &one, "a", 7);
	reopen(shore);
	assert_int_equal(mark(shore, &one, "a"), 5);
}

static void a_job_is_undone_alone(void **state)
{
	struct shore *shore = *state;

	highwater_undo(shore->marks);
	GOOD(highwater_keep(shore->marks, &shore->err));
	raise_to(shore, &one, "a", 1);
	raise_to(shore, &one, "b", 1);
	GOOD(highwater_keep(shore->marks, &shore->err));
	raise_to(shore, &one, "a", 2);
	GOOD(highwater_gone(shore->marks, &one, &shore->err));
	highwater_undo(shore->marks);
	assert_int_equal(mark(shore, &one, "a"), 1);
	raise_to(shore, &one, "c", 4);
	GOOD(highwater_keep(shore->marks, &shore->err));
	raise_to(shore, &one, "d", 1);
	highwater_undo(shore->marks);
	GOOD(highwater_commit(shore->marks, &shore->err));
	reopen(shore);
	assert_int_equal(mark(shore, &one, ""), 0);
	assert_int_equal(mark(shore, &one, "a"), 1);
	assert_int_equal(mark(shore, &one, "b"), 1);
	assert_int_equal(mark(shore, &one, "c"), 4);
	assert_int_equal(mark(shore, &one, "d"), 0);
}

struct seen {
	size_t n;
	struct period periods[8];
	char names[8][65];
	uint64_t versions[8];
};

static bool see_period(void *arg, const struct period *period)
{
	struct seen *seen = arg;

	assert_true(seen->n < ARRAY_LEN(seen->periods));
	seen->periods[seen->n++] = *period;
	return true;
}

static bool see_record(void *arg, const char *kind, const char *name, uint64_t version)
{
	struct seen *seen = arg;

	assert_true(seen->n < ARRAY_LEN(seen->names));
	snprintf(seen->names[seen->n], sizeof(seen->names[0]), "%.8s/%.50s", kind, name);
	seen->versions[seen->n++] = version;
	return true;
}

static void knows_which_periods_should_be_there(void **state)
{
	struct shore *shore = *state;
	struct seen seen = {0};

	raise_to(shore, &one, "", 1);
	raise_to(shore, &two, "", 1);
	raise_to(shore, &back, "", 1);
	raise_to(shore, &other, "", 1);
	raise_to(shore, &two, "a", 9);
	GOOD(highwater_gone(shore->marks, &one, &shore->err));
	GOOD(highwater_periods_of(shore->marks, "asset", see_period, &seen, &shore->err));
	assert_int_equal(seen.n, 2);
	assert_string_equal(seen.periods[0].asset, "asset");
	assert_string_equal(seen.periods[0].wallet, "buyer");
	assert_int_equal(seen.periods[0].slot, 20);
	assert_string_equal(seen.periods[1].wallet, "seller");
	assert_int_equal(seen.periods[1].slot, 30);
	seen.n = 0;
	GOOD(highwater_periods_of(shore->marks, "none", see_period, &seen, &shore->err));
	assert_int_equal(seen.n, 0);
}

static void knows_which_records_should_be_there(void **state)
{
	struct shore *shore = *state;
	struct seen seen = {0};

	raise_to(shore, &one, "", 1);
	raise_to(shore, &one, "b", 2);
	raise_to(shore, &one, "a", 3);
	GOOD(highwater_raise(shore->marks, &one, "bot", "z", 4, &shore->err));
	raise_to(shore, &two, "a", 9);
	GOOD(highwater_records_of(shore->marks, &one, see_record, &seen, &shore->err));
	assert_int_equal(seen.n, 3);
	assert_string_equal(seen.names[0], "bot/z");
	assert_string_equal(seen.names[1], "llm/a");
	assert_string_equal(seen.names[2], "llm/b");
	assert_int_equal(seen.versions[2], 2);
}

static void a_period_that_is_gone_stays_gone(void **state)
{
	struct shore *shore = *state;
	struct seen seen = {0};

	raise_to(shore, &one, "", 1);
	raise_to(shore, &one, "a", 3);
	raise_to(shore, &two, "a", 3);
	GOOD(highwater_gone(shore->marks, &one, &shore->err));
	raise_to(shore, &one, "", 1);
	GOOD(highwater_commit(shore->marks, &shore->err));
	reopen(shore);
	assert_int_equal(mark(shore, &one, ""), HIGHWATER_GONE);
	GOOD(highwater_records_of(shore->marks, &one, see_record, &seen, &shore->err));
	assert_int_equal(seen.n, 0);
	assert_int_equal(mark(shore, &two, "a"), 3);
	/* also one that was never heard of */
	GOOD(highwater_gone(shore->marks, &back, &shore->err));
	assert_int_equal(mark(shore, &back, ""), HIGHWATER_GONE);
}

static void knows_which_store_it_belongs_to(void **state)
{
	struct shore *shore = *state;
	static const uint8_t first[16] = {1, 2, 3}, second[16] = {0, 0, 9};
	uint8_t id[16];
	bool is_known = true;

	GOOD(highwater_store(shore->marks, id, &is_known, &shore->err));
	assert_false(is_known);
	GOOD(highwater_adopt(shore->marks, first, &shore->err));
	GOOD(highwater_adopt(shore->marks, second, &shore->err));
	highwater_undo(shore->marks);
	GOOD(highwater_adopt(shore->marks, first, &shore->err));
	GOOD(highwater_commit(shore->marks, &shore->err));
	GOOD(highwater_adopt(shore->marks, second, &shore->err));
	reopen(shore);
	GOOD(highwater_store(shore->marks, id, &is_known, &shore->err));
	assert_true(is_known);
	assert_memory_equal(id, first, 16);
}

int main(void)
{
#define SHORE(test) cmocka_unit_test_setup_teardown(test, open_shore, close_shore)
	const struct CMUnitTest tests[] = {
	    SHORE(makes_a_file_of_its_own_that_nobody_else_can_read),
	    SHORE(marks_only_rise),
	    SHORE(what_is_committed_stays_and_the_rest_does_not),
	    SHORE(a_job_is_undone_alone),
	    SHORE(knows_which_periods_should_be_there),
	    SHORE(knows_which_records_should_be_there),
	    SHORE(a_period_that_is_gone_stays_gone),
	    SHORE(knows_which_store_it_belongs_to),
	};

	log_open("test", "test-1", getenv("V") ? LOG_DEBUG : LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
