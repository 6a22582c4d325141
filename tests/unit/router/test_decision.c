#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "common/error.h"
#include "common/pubkey.h"
#include "services/router/decision.h"

static const struct decision_moment start = {
    .has_lease = true, .history = 1, .unix_ms = 1000000000, .boot_ms = 5000000};

static struct decision_answer answer_of(uint8_t asset, uint64_t position_ms)
{
	struct decision_answer answer = {.audience = DECISION_CONSOLE,
	    .exp_ms = start.unix_ms + 600000000,
	    .history = 1,
	    .position = {position_ms, 0}};
	memset(answer.asset, asset, PUBKEY_LEN);
	memset(answer.wallet, 0xee, PUBKEY_LEN);
	return answer;
}

static struct decision_table *table_at(uint64_t entries, uint64_t head_ms)
{
	struct decision_table *table = decision_table_new(entries);
	assert_non_null(table);
	decision_restart(table, 1, (struct event_id){head_ms, 0});
	return table;
}

static void key_of(const struct decision_table *table, unsigned n, uint8_t key[DECISION_KEY_LEN])
{
	char token[16];
	int len = snprintf(token, sizeof(token), "token-%u", n);
	decision_key(table, token, (size_t)len, key);
}

static enum decision_verdict look(
    struct decision_table *table, unsigned n, struct decision_moment now)
{
	uint8_t key[DECISION_KEY_LEN];
	const struct decision_entry *found = NULL;
	key_of(table, n, key);
	return decision_lookup(table, key, NULL, &now, &found);
}

static bool put(struct decision_table *table, unsigned n, struct decision_answer answer)
{
	uint8_t key[DECISION_KEY_LEN];
	key_of(table, n, key);
	return decision_put(table, key, &answer, &start);
}

static void allows_what_session_allowed(void **state)
{
	(void)state;
	struct decision_table *table = table_at(64, 100);
	uint8_t key[DECISION_KEY_LEN];
	const struct decision_entry *found = NULL;
	key_of(table, 1, key);
	struct decision_answer answer = answer_of(7, 100);
	answer.audience = DECISION_AGENT;
	assert_true(decision_put(table, key, &answer, &start));
	assert_int_equal(decision_lookup(table, key, NULL, &start, &found), DECISION_ALLOW);
	assert_memory_equal(found->asset, answer.asset, PUBKEY_LEN);
	assert_memory_equal(found->wallet, answer.wallet, PUBKEY_LEN);
	assert_int_equal(found->audience, DECISION_AGENT);
	assert_int_equal(look(table, 2, start), DECISION_MISS);
	decision_table_destroy(&table);
	assert_null(table);
}

static void holds_only_under_every_condition(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		struct decision_moment now;
		enum decision_verdict verdict;
	} cases[] = {
	    {"as it was", {true, 1, 1000000000, 5000000}, DECISION_ALLOW},
	    {"no lease", {false, 1, 1000000000, 5000000}, DECISION_MISS},
	    {"another history", {true, 2, 1000000000, 5000000}, DECISION_MISS},
	    {"no history", {true, 0, 1000000000, 5000000}, DECISION_MISS},
	    {"1 ms before exp", {true, 1, 1599999999, 5000000}, DECISION_ALLOW},
	    {"at exp", {true, 1, 1600000000, 5000000}, DECISION_MISS},
	    {"long after exp", {true, 1, UINT64_MAX, 5000000}, DECISION_MISS},
	    {"checked almost 300 s ago", {true, 1, 1000000000, 5299999}, DECISION_ALLOW},
	    {"checked 300 s ago", {true, 1, 1000000000, 5300000}, DECISION_MISS},
	    {"a clock that went back", {true, 1, 1000000000, 4999999}, DECISION_MISS},
	};
	struct decision_table *table = table_at(64, 100);
	assert_true(put(table, 1, answer_of(7, 100)));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (look(table, 1, cases[i].now) != cases[i].verdict)
			fail_msg("%s", cases[i].name);
	decision_table_destroy(&table);
}

static void allows_its_own_agent_and_no_other(void **state)
{
	(void)state;
	struct decision_table *table = table_at(64, 100);
	uint8_t key[DECISION_KEY_LEN], other_asset[PUBKEY_LEN] = {9};
	char own[AGENT_ID_LEN + 1], other[AGENT_ID_LEN + 1];
	const struct decision_entry *found;
	struct decision_answer answer = answer_of(7, 100);
	agent_id(answer.asset, own);
	agent_id(other_asset, other);
	key_of(table, 1, key);
	assert_true(decision_put(table, key, &answer, &start));
	assert_int_equal(decision_lookup(table, key, own, &start, &found), DECISION_ALLOW);
	assert_int_equal(decision_lookup(table, key, other, &start, &found), DECISION_OTHER);
	own[0] = (char)(own[0] - 'a' + 'A');
	assert_int_equal(decision_lookup(table, key, own, &start, &found), DECISION_OTHER);
	assert_int_equal(decision_lookup(table, key, "", &start, &found), DECISION_OTHER);
	decision_table_destroy(&table);
}

static void a_newer_event_of_the_asset_or_of_all_voids_an_allow(void **state)
{
	(void)state;
	for (int all = 0; all < 2; all++) {
		struct decision_table *table = table_at(64, 100);
		struct decision_answer answer = answer_of(7, 200);
		const uint8_t *marked = all ? NULL : answer.asset;
		assert_true(put(table, 1, answer));
		decision_mark(table, marked, (struct event_id){200, 0});
		assert_int_equal(look(table, 1, start), DECISION_ALLOW);
		decision_mark(table, marked, (struct event_id){200, 1});
		assert_int_equal(look(table, 1, start), DECISION_MISS);
		/* a mark never falls */
		decision_mark(table, marked, (struct event_id){150, 0});
		assert_int_equal(look(table, 1, start), DECISION_MISS);
		decision_table_destroy(&table);
	}
}

static void refuses_an_answer_overtaken_by_an_event(void **state)
{
	(void)state;
	struct decision_table *table = table_at(64, 100);
	struct decision_answer answer = answer_of(7, 200);
	decision_mark(table, answer.asset, (struct event_id){201, 0});
	assert_false(put(table, 1, answer));
	assert_int_equal(look(table, 1, start), DECISION_MISS);
	answer.position.ms = 201;
	assert_true(put(table, 1, answer));
	answer = answer_of(8, 99); /* before the head at the start */
	assert_false(put(table, 2, answer));
	answer = answer_of(8, 300);
	answer.history = 2;
	assert_false(put(table, 2, answer));
	decision_table_destroy(&table);
}

static void starting_over_drops_every_answer(void **state)
{
	(void)state;
	struct decision_table *table = table_at(64, 100);
	assert_true(put(table, 1, answer_of(7, 500)));
	decision_restart(table, 1, (struct event_id){300, 0});
	assert_int_equal(look(table, 1, start), DECISION_MISS);
	assert_false(put(table, 1, answer_of(7, 299)));
	/* within a history the mark of all never falls */
	decision_restart(table, 1, (struct event_id){200, 0});
	assert_false(put(table, 1, answer_of(7, 299)));
	assert_true(put(table, 1, answer_of(7, 300)));
	assert_int_equal(look(table, 1, start), DECISION_ALLOW);
	decision_table_destroy(&table);
}

static void a_new_history_forgets_the_marks_of_the_old(void **state)
{
	(void)state;
	struct decision_table *table = table_at(64, 100);
	struct decision_answer answer = answer_of(7, 900);
	decision_mark(table, answer.asset, (struct event_id){900, 0});
	assert_true(put(table, 1, answer));
	decision_restart(table, 2, (struct event_id){50, 0});
	struct decision_moment now = start;
	now.history = 2;
	assert_int_equal(look(table, 1, now), DECISION_MISS);
	answer.history = 2;
	answer.position.ms = 60;
	assert_true(put(table, 1, answer));
	assert_int_equal(look(table, 1, now), DECISION_ALLOW);
	assert_int_equal(look(table, 1, start), DECISION_MISS);
	decision_table_destroy(&table);
}

static void keeps_the_most_recently_used_of_a_full_set(void **state)
{
	(void)state;
	struct decision_table *table = table_at(1, 100);
	struct decision_moment now = start;
	assert_int_equal(decision_table_entries(table), DECISION_WAYS);
	for (unsigned n = 0; n < DECISION_WAYS; n++)
		assert_true(put(table, n, answer_of((uint8_t)n, 100)));
	for (unsigned n = 0; n < DECISION_WAYS; n++) {
		now.boot_ms += 1000;
		if (n != 3)
			assert_int_equal(look(table, n, now), DECISION_ALLOW);
	}
	uint8_t key[DECISION_KEY_LEN];
	struct decision_answer answer = answer_of(99, 100);
	key_of(table, 99, key);
	assert_true(decision_put(table, key, &answer, &now));
	for (unsigned n = 0; n < DECISION_WAYS; n++)
		assert_int_equal(look(table, n, now), n == 3 ? DECISION_MISS : DECISION_ALLOW);
	assert_int_equal(look(table, 99, now), DECISION_ALLOW);
	decision_table_destroy(&table);
}

static void prefers_to_evict_what_is_void(void **state)
{
	(void)state;
	struct decision_table *table = table_at(1, 100);
	for (unsigned n = 0; n < DECISION_WAYS; n++)
		assert_true(put(table, n, answer_of((uint8_t)n, 100)));
	uint8_t asset[PUBKEY_LEN];
	memset(asset, 5, sizeof(asset));
	decision_mark(table, asset, (struct event_id){101, 0});
	assert_true(put(table, 99, answer_of(99, 101)));
	for (unsigned n = 0; n < DECISION_WAYS; n++)
		assert_int_equal(look(table, n, start), n == 5 ? DECISION_MISS : DECISION_ALLOW);
	decision_table_destroy(&table);
}

static void a_repeated_put_replaces_its_own_entry(void **state)
{
	(void)state;
	struct decision_table *table = table_at(1, 100);
	for (unsigned n = 0; n < DECISION_WAYS; n++)
		assert_true(put(table, n, answer_of((uint8_t)n, 100)));
	for (unsigned i = 0; i < 20; i++)
		assert_true(put(table, 2, answer_of(2, 100 + i)));
	for (unsigned n = 0; n < DECISION_WAYS; n++)
		assert_int_equal(look(table, n, start), DECISION_ALLOW);
	decision_table_destroy(&table);
}

static void forgets_one_token_and_no_other(void **state)
{
	(void)state;
	struct decision_table *table = table_at(1, 100);
	uint8_t key[DECISION_KEY_LEN];
	assert_true(put(table, 1, answer_of(7, 100)));
	assert_true(put(table, 2, answer_of(7, 100)));
	key_of(table, 1, key);
	decision_forget(table, key);
	key_of(table, 3, key);
	decision_forget(table, key);
	assert_int_equal(look(table, 1, start), DECISION_MISS);
	assert_int_equal(look(table, 2, start), DECISION_ALLOW);
	assert_true(put(table, 1, answer_of(7, 100)));
	assert_int_equal(look(table, 1, start), DECISION_ALLOW);
	decision_table_destroy(&table);
}

static void keys_depend_on_the_process(void **state)
{
	(void)state;
	struct decision_table *a = table_at(8, 1), *b = table_at(8, 1);
	uint8_t key_a[DECISION_KEY_LEN], again[DECISION_KEY_LEN], key_b[DECISION_KEY_LEN];
	key_of(a, 1, key_a);
	key_of(a, 1, again);
	key_of(b, 1, key_b);
	assert_memory_equal(key_a, again, DECISION_KEY_LEN);
	assert_memory_not_equal(key_a, key_b, DECISION_KEY_LEN);
	decision_table_destroy(&a);
	decision_table_destroy(&b);
}

#define MODEL_TOKENS 24
#define MODEL_ASSETS 6

/* What must be true, kept the slow way. */
struct model {
	uint32_t history;
	uint64_t clock; /* of event ids */
	struct event_id event[MODEL_ASSETS], all;
	struct {
		bool kept;
		struct event_id position;
		uint32_t history;
	} last[MODEL_TOKENS];
	unsigned allows;
};

static struct event_id next_id(struct model *model)
{
	model->clock += randombytes_uniform(3);
	return (struct event_id){model->clock, randombytes_uniform(4)};
}

static void raise_id(struct event_id *id, struct event_id to)
{
	if (event_id_compare(*id, to) < 0)
		*id = to;
}

static void model_event(struct model *model, struct decision_table *table)
{
	uint8_t asset[PUBKEY_LEN], n = (uint8_t)randombytes_uniform(MODEL_ASSETS);
	struct event_id id = next_id(model);
	memset(asset, n, sizeof(asset));
	bool all = randombytes_uniform(8) == 0;
	decision_mark(table, all ? NULL : asset, id);
	raise_id(all ? &model->all : &model->event[n], id);
}

static void model_restart(struct model *model, struct decision_table *table)
{
	struct event_id head = next_id(model);
	if (randombytes_uniform(2)) {
		model->history++;
		if (randombytes_uniform(2))
			head.ms = model->clock /= 2;
		memset(model->event, 0, sizeof(model->event));
		model->all = (struct event_id){0, 0};
	}
	raise_id(&model->all, head);
	memset(model->last, 0, sizeof(model->last));
	decision_restart(table, model->history, head);
}

static void model_put(struct model *model, struct decision_table *table)
{
	unsigned token = randombytes_uniform(MODEL_TOKENS);
	struct decision_answer answer =
	    answer_of((uint8_t)(token % MODEL_ASSETS), model->clock - randombytes_uniform(3));
	answer.position.seq = randombytes_uniform(4);
	answer.history = model->history - (randombytes_uniform(10) == 0);
	if (!put(table, token, answer))
		return;
	model->last[token].kept = true;
	model->last[token].position = answer.position;
	model->last[token].history = answer.history;
}

static void model_look(struct model *model, struct decision_table *table)
{
	unsigned token = randombytes_uniform(MODEL_TOKENS);
	struct decision_moment now = start;
	now.history = model->history;
	now.has_lease = randombytes_uniform(10) != 0;
	if (look(table, token, now) != DECISION_ALLOW)
		return;
	struct event_id position = model->last[token].position;
	assert_true(now.has_lease);
	assert_true(model->last[token].kept);
	assert_int_equal(model->last[token].history, model->history);
	assert_true(event_id_compare(position, model->all) >= 0);
	assert_true(event_id_compare(position, model->event[token % MODEL_ASSETS]) >= 0);
	model->allows++;
}

static void never_allows_after_a_newer_mark_in_any_order_of_things(void **state)
{
	(void)state;
	for (int round = 0; round < 200; round++) {
		struct decision_table *table = decision_table_new(16);
		struct model model = {.history = 1, .clock = 1000};
		decision_restart(table, 1, (struct event_id){1000, 0});
		model.all = (struct event_id){1000, 0};
		for (int step = 0; step < 500; step++) {
			uint32_t what = randombytes_uniform(100);
			if (what < 12)
				model_event(&model, table);
			else if (what < 50)
				model_put(&model, table);
			else if (what < 99)
				model_look(&model, table);
			else
				model_restart(&model, table);
		}
		assert_true(model.allows > 0); /* or this test would prove nothing */
		decision_table_destroy(&table);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(allows_what_session_allowed),
	    cmocka_unit_test(holds_only_under_every_condition),
	    cmocka_unit_test(allows_its_own_agent_and_no_other),
	    cmocka_unit_test(a_newer_event_of_the_asset_or_of_all_voids_an_allow),
	    cmocka_unit_test(refuses_an_answer_overtaken_by_an_event),
	    cmocka_unit_test(starting_over_drops_every_answer),
	    cmocka_unit_test(a_new_history_forgets_the_marks_of_the_old),
	    cmocka_unit_test(keeps_the_most_recently_used_of_a_full_set),
	    cmocka_unit_test(prefers_to_evict_what_is_void),
	    cmocka_unit_test(a_repeated_put_replaces_its_own_entry),
	    cmocka_unit_test(forgets_one_token_and_no_other),
	    cmocka_unit_test(keys_depend_on_the_process),
	    cmocka_unit_test(never_allows_after_a_newer_mark_in_any_order_of_things),
	};
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
