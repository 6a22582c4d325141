#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "common/metrics.h"
#include "common/scoped.h"

static int begin(void **state)
{
	*state = metrics_new();
	return 0;
}

static int end(void **state)
{
	struct metrics *metrics = *state;

	metrics_destroy(&metrics);
	assert_null(metrics);
	metrics_destroy(&metrics);
	return 0;
}

static char *text_of(const struct metrics *metrics)
{
	size_t len = 0;
	char *text = metrics_text(metrics, &len);

	assert_non_null(text);
	assert_int_equal(strlen(text), len);
	assert_true(len > 0 && text[len - 1] == '\n');
	return text;
}

static void a_counter_counts(void **state)
{
	struct metric *counter = metrics_counter(*state, "m_total", "What it counts.", NULL);

	metric_add(counter, 1);
	metric_add(counter, 41);
	assert_int_equal(metric_value(counter), 42);
	scoped_free char *text = text_of(*state);
	assert_non_null(
	    strstr(text, "# HELP m_total What it counts.\n# TYPE m_total counter\nm_total 42\n"));
}

static void a_counter_is_exact_beyond_what_a_double_holds(void **state)
{
	struct metric *counter = metrics_counter(*state, "m_total", "h", NULL);

	metric_add(counter, ((uint64_t)1 << 60) + 1);
	scoped_free char *text = text_of(*state);
	assert_non_null(strstr(text, "m_total 1152921504606846977\n"));
}

static double half(void *arg)
{
	return *(double *)arg / 2;
}

static void a_gauge_is_set_and_a_function_is_asked(void **state)
{
	struct metric *gauge = metrics_gauge(*state, "g", "h", "a=\"1\"");
	double value = 5;

	metrics_gauge_fn(*state, "f", "h", NULL, half, &value);
	metric_set(gauge, 2.25);
	assert_int_equal(metric_value(gauge), 2);
	metric_add(gauge, 1);
	scoped_free char *text = text_of(*state);
	assert_non_null(strstr(text, "# TYPE g gauge\ng{a=\"1\"} 3.25\n"));
	assert_non_null(strstr(text, "# TYPE f gauge\nf 2.5\n"));
	value = 7;
	scoped_free char *again = text_of(*state);
	assert_non_null(strstr(again, "f 3.5\n"));
}

static void the_same_name_and_labels_give_the_same_handle(void **state)
{
	struct metric *one = metrics_counter(*state, "m_total", "h", "call=\"a\"");

	assert_ptr_equal(one, metrics_counter(*state, "m_total", "h", "call=\"a\""));
	assert_ptr_not_equal(one, metrics_counter(*state, "m_total", "h", "call=\"b\""));
	assert_ptr_not_equal(one, metrics_counter(*state, "m_total", "h", NULL));
	assert_ptr_not_equal(one, metrics_counter(*state, "n_total", "h", "call=\"a\""));
	assert_ptr_equal(
	    metrics_histogram(*state, "s", "h", NULL), metrics_histogram(*state, "s", "h", NULL));
}

static void series_of_one_name_stand_together_under_one_head(void **state)
{
	metric_add(metrics_counter(*state, "m_total", "h", "call=\"a\""), 1);
	metric_add(metrics_counter(*state, "n_total", "h", NULL), 2);
	metric_add(metrics_counter(*state, "m_total", "h", "call=\"b\""), 3);
	scoped_free char *text = text_of(*state);
	assert_non_null(strstr(text, "m_total{call=\"a\"} 1\nm_total{call=\"b\"} 3\n"));
	const char *head = strstr(text, "# TYPE m_total");
	assert_non_null(head);
	assert_null(strstr(head + 1, "# TYPE m_total"));
}

static void a_histogram_has_cumulative_buckets_sum_and_count(void **state)
{
	struct histogram *histogram = metrics_histogram(*state, "s_seconds", "h", "call=\"a\"");

	histogram_observe_us(histogram, 50);
	histogram_observe_us(histogram, 51);
	histogram_observe_us(histogram, 10000000);
	histogram_observe_us(histogram, 10000001);
	scoped_free char *text = text_of(*state);
	assert_non_null(strstr(text, "# TYPE s_seconds histogram\n"));
	assert_non_null(strstr(text, "s_seconds_bucket{call=\"a\",le=\"5e-05\"} 1\n"));
	assert_non_null(strstr(text, "s_seconds_bucket{call=\"a\",le=\"0.0001\"} 2\n"));
	assert_non_null(strstr(text, "s_seconds_bucket{call=\"a\",le=\"5\"} 2\n"));
	assert_non_null(strstr(text, "s_seconds_bucket{call=\"a\",le=\"10\"} 3\n"));
	assert_non_null(strstr(text, "s_seconds_bucket{call=\"a\",le=\"+Inf\"} 4\n"));
	assert_non_null(strstr(text, "s_seconds_sum{call=\"a\"} 20.000102\n"));
	assert_non_null(strstr(text, "s_seconds_count{call=\"a\"} 4\n"));
}

static void a_histogram_without_labels_is_well_formed(void **state)
{
	histogram_observe_us(metrics_histogram(*state, "s_seconds", "h", NULL), 1);
	scoped_free char *text = text_of(*state);
	assert_non_null(strstr(text, "s_seconds_bucket{le=\"+Inf\"} 1\n"));
	assert_non_null(strstr(text, "s_seconds_sum 0.000001\ns_seconds_count 1\n"));
}

static void a_full_registry_shares_one_series_and_says_so(void **state)
{
	struct metric *first = NULL, *shared = NULL;
	char labels[32];

	for (int i = 0; i < 1024; i++) {
		snprintf(labels, sizeof(labels), "n=\"%d\"", i);
		struct metric *made = metrics_counter(*state, "m_total", "h", labels);
		first = first ? first : made;
	}
	shared = metrics_counter(*state, "m_total", "h", "n=\"1024\"");
	assert_ptr_equal(shared, metrics_gauge(*state, "other", "h", NULL));
	assert_ptr_equal(first, metrics_counter(*state, "m_total", "h", "n=\"0\""));
	metric_add(shared, 1);
	metric_set(shared, 2);
	metrics_gauge_fn(*state, "fn", "h", NULL, half, NULL);
	histogram_observe_us(metrics_histogram(*state, "s", "h", NULL), 1);
	scoped_free char *text = text_of(*state);
	assert_non_null(strstr(text, "multiclaw_metrics_overflow_total 4\n"));
	assert_null(strstr(text, "1024"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
	    TEST(a_counter_counts),
	    TEST(a_counter_is_exact_beyond_what_a_double_holds),
	    TEST(a_gauge_is_set_and_a_function_is_asked),
	    TEST(the_same_name_and_labels_give_the_same_handle),
	    TEST(series_of_one_name_stand_together_under_one_head),
	    TEST(a_histogram_has_cumulative_buckets_sum_and_count),
	    TEST(a_histogram_without_labels_is_well_formed),
	    TEST(a_full_registry_shares_one_series_and_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
