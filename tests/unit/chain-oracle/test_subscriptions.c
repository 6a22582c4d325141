/* What a connection is subscribed to, through its life. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <sodium.h>

#include "services/chain-oracle/subscriptions.h"

static int setup(void **arg)
{
	static struct subscriptions all;
	subscriptions_open(&all);
	*arg = &all;
	return 0;
}

static int teardown(void **arg)
{
	subscriptions_close(*arg);
	return 0;
}

static void answer(struct subscriptions *all, const struct subscription *asked, uint64_t id)
{
	struct error err;
	bool unwanted;
	assert_non_null(asked);
	assert_int_equal(subscriptions_answered(all, asked->request, id, &unwanted, &err), 0);
	assert_false(unwanted);
}

static void asks_for_slots_and_the_collection_first(void **arg)
{
	struct subscriptions *all = *arg;
	subscriptions_add(all, "a");
	assert_int_equal(subscriptions_ask(all)->kind, SUBSCRIPTION_SLOTS);
	assert_int_equal(subscriptions_ask(all)->kind, SUBSCRIPTION_COLLECTION);
	assert_string_equal(subscriptions_ask(all)->asset, "a");
	assert_null(subscriptions_ask(all));
	assert_false(subscriptions_settled(all));
}

static void finds_by_the_nodes_id_until_the_connection_ends(void **arg)
{
	struct subscriptions *all = *arg;
	answer(all, subscriptions_ask(all), 0);
	answer(all, subscriptions_ask(all), UINT64_MAX);
	subscriptions_add(all, "a");
	answer(all, subscriptions_ask(all), 7);
	assert_true(subscriptions_settled(all));
	assert_string_equal(subscriptions_find(all, 7)->asset, "a");
	assert_int_equal(subscriptions_find(all, UINT64_MAX)->kind, SUBSCRIPTION_COLLECTION);
	subscriptions_start_over(all);
	assert_null(subscriptions_find(all, 7));
	assert_int_equal(subscriptions_ask(all)->kind, SUBSCRIPTION_SLOTS);
	assert_int_equal(subscriptions_ask(all)->kind, SUBSCRIPTION_COLLECTION);
	answer(all, subscriptions_ask(all), UINT64_MAX);
	assert_string_equal(subscriptions_find(all, UINT64_MAX)->asset, "a");
}

static void refuses_one_id_for_two(void **arg)
{
	struct subscriptions *all = *arg;
	struct error err;
	bool unwanted;
	answer(all, subscriptions_ask(all), 7);
	const struct subscription *second = subscriptions_ask(all);
	assert_int_equal(subscriptions_answered(all, second->request, 7, &unwanted, &err), -1);
}

static void asks_for_so_many_at_once_and_no_more(void **arg)
{
	struct subscriptions *all = *arg;
	char asset[8];
	for (int i = 0; i < 100; i++) {
		snprintf(asset, sizeof(asset), "%d", i);
		subscriptions_add(all, asset);
	}
	const struct subscription *asked, *last = NULL;
	size_t n = 0;
	for (; (asked = subscriptions_ask(all)); n++)
		last = asked;
	assert_int_equal(n, SUBSCRIPTIONS_ASKED_MAX);
	answer(all, last, 1);
	assert_non_null(subscriptions_ask(all));
	assert_null(subscriptions_ask(all));
}

static void says_what_to_unsubscribe(void **arg)
{
	struct subscriptions *all = *arg;
	struct error err;
	bool unwanted;
	uint64_t id = 0;
	answer(all, subscriptions_ask(all), 1);
	answer(all, subscriptions_ask(all), 2);
	subscriptions_add(all, "wanted");
	assert_false(subscriptions_remove(all, "wanted", &id));
	assert_null(subscriptions_ask(all));
	subscriptions_add(all, "active");
	answer(all, subscriptions_ask(all), 3);
	assert_true(subscriptions_remove(all, "active", &id));
	assert_int_equal(id, 3);
	assert_null(subscriptions_find(all, 3));
	subscriptions_add(all, "asked");
	uint64_t request = subscriptions_ask(all)->request;
	assert_false(subscriptions_remove(all, "asked", &id));
	assert_false(subscriptions_has(all, "asked"));
	assert_int_equal(subscriptions_answered(all, request, 4, &unwanted, &err), 0);
	assert_true(unwanted);
	assert_false(subscriptions_remove(all, "never", &id));
	assert_int_equal(all->naccounts, 0);
	assert_true(subscriptions_settled(all));
}

static void takes_back_what_it_was_about_to_drop(void **arg)
{
	struct subscriptions *all = *arg;
	uint64_t id;
	answer(all, subscriptions_ask(all), 1);
	answer(all, subscriptions_ask(all), 2);
	subscriptions_add(all, "a");
	const struct subscription *asked = subscriptions_ask(all);
	subscriptions_remove(all, "a", &id);
	subscriptions_add(all, "a");
	assert_null(subscriptions_ask(all));
	answer(all, asked, 3);
	assert_string_equal(subscriptions_find(all, 3)->asset, "a");
}

static void lives_with_refusals(void **arg)
{
	struct subscriptions *all = *arg;
	uint64_t id;
	assert_true(subscriptions_refused(all, subscriptions_ask(all)->request));
	assert_false(subscriptions_refused(all, subscriptions_ask(all)->request));
	assert_true(subscriptions_settled(all));
	assert_false(subscriptions_refused(all, 12345));
	subscriptions_add(all, "a");
	subscriptions_refused(all, subscriptions_ask(all)->request);
	assert_false(subscriptions_remove(all, "a", &id));
	subscriptions_add(all, "b");
	uint64_t request = subscriptions_ask(all)->request;
	subscriptions_remove(all, "b", &id);
	assert_false(subscriptions_refused(all, request));
	subscriptions_start_over(all);
	assert_int_equal(subscriptions_ask(all)->kind, SUBSCRIPTION_SLOTS);
}

static void ignores_answers_to_what_it_did_not_ask(void **arg)
{
	struct subscriptions *all = *arg;
	struct error err;
	bool unwanted;
	assert_int_equal(subscriptions_answered(all, 99, 1, &unwanted, &err), 0);
	assert_false(unwanted);
	assert_null(subscriptions_find(all, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		asks_for_slots_and_the_collection_first, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		finds_by_the_nodes_id_until_the_connection_ends, setup, teardown),
	    cmocka_unit_test_setup_teardown(refuses_one_id_for_two, setup, teardown),
	    cmocka_unit_test_setup_teardown(asks_for_so_many_at_once_and_no_more, setup, teardown),
	    cmocka_unit_test_setup_teardown(says_what_to_unsubscribe, setup, teardown),
	    cmocka_unit_test_setup_teardown(takes_back_what_it_was_about_to_drop, setup, teardown),
	    cmocka_unit_test_setup_teardown(lives_with_refusals, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		ignores_answers_to_what_it_did_not_ask, setup, teardown),
	};
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
