/* A change of the master key: whole at each step, resumable between any two of them, and at its end the old key opens nothing. */
#include "services/secret-vault/eraser_work.h"
#include "services/secret-vault/opening.h"
#include "services/secret-vault/rotation.h"
#include "tests/unit/secret-vault/desk_world.h"

#define BY "operator someone"
#define PERIODS 5

static enum vault_state open_file(struct desk_world *world, int first, int second)
{
	struct opening_try attempt = {0};
	if (first)
		attempt.keys[0] = desk_master(world, (unsigned)first);
	if (second)
		attempt.keys[1] = desk_master(world, (unsigned)second);
	GOOD(world, opening_work(&attempt, &world->desk, &world->err));
	db_rollback(world->desk.db);
	enum vault_state state = attempt.state;
	opening_try_wipe(&attempt);
	return state;
}

static void fill(struct desk_world *world)
{
	assert_int_equal(open_file(world, 1, 0), VAULT_CATCHING_UP);
	for (unsigned i = 0; i < PERIODS; i++)
		desk_add_period(world, 10 + 10 * i);
}

static int begin(struct desk_world *world, unsigned key)
{
	struct master *next = desk_master(world, key);
	desk_begin(world);
	int result = rotation_begin(&world->desk, next, NULL, BY, &world->err);
	if (result == 0)
		desk_commit(world);
	else
		db_rollback(world->desk.db);
	if (result == 0 && !world->desk.next)
		world->desk.next = next;
	else
		master_destroy(&next);
	return result;
}

static bool step(struct desk_world *world)
{
	bool is_left;
	desk_begin(world);
	GOOD(world, rotation_step(&world->desk, BY, &is_left, &world->err));
	desk_commit(world);
	return is_left;
}

static void assert_all_readable(struct desk_world *world)
{
	for (unsigned i = 0; i < PERIODS; i++)
		desk_assert_readable(world, 10 + 10 * i);
}

static void at_its_end_only_the_next_key_opens_the_store(void **state)
{
	struct desk_world *world = *state;
	fill(world);
	assert_int_equal(begin(world, 2), 0);
	assert_true(step(world));
	assert_all_readable(world);
	assert_false(step(world));
	assert_false(step(world));
	desk_world_restart(world);
	assert_int_equal(open_file(world, 1, 0), VAULT_FOREIGN);
	assert_int_equal(open_file(world, 2, 0), VAULT_CATCHING_UP);
	assert_all_readable(world);
}

static void goes_on_after_a_crash_between_any_two_steps(void **state)
{
	struct desk_world *world = *state;
	fill(world);
	assert_int_equal(begin(world, 2), 0);
	for (unsigned i = 0; i < 2; i++) {
		desk_world_restart(world);
		/* both are needed until then, in whichever file they are */
		assert_int_equal(open_file(world, 1, 0), VAULT_FOREIGN);
		desk_world_restart(world);
		assert_int_equal(open_file(world, 2, 0), VAULT_FOREIGN);
		desk_world_restart(world);
		assert_int_equal(open_file(world, 2, 1), VAULT_CATCHING_UP);
		assert_non_null(world->desk.next);
		assert_all_readable(world);
		assert_int_equal(step(world), i == 0);
	}
	desk_world_restart(world);
	assert_int_equal(open_file(world, 2, 0), VAULT_CATCHING_UP);
	assert_all_readable(world);
}

static void a_step_that_is_undone_changes_nothing(void **state)
{
	struct desk_world *world = *state;
	bool is_left;
	fill(world);
	assert_int_equal(begin(world, 2), 0);
	desk_begin(world);
	GOOD(world, rotation_step(&world->desk, BY, &is_left, &world->err));
	db_rollback(world->desk.db);
	struct store_period row = desk_row(world, 10);
	assert_memory_equal(row.key_id, master_id(world->desk.master), KEY_ID_LEN);
	assert_all_readable(world);
}

static void what_is_made_meanwhile_is_under_the_next_key(void **state)
{
	struct desk_world *world = *state;
	fill(world);
	assert_int_equal(begin(world, 2), 0);
	desk_add_period(world, 1000);
	struct store_period row = desk_row(world, 1000);
	assert_memory_equal(row.key_id, master_id(world->desk.next), KEY_ID_LEN);
}

/* As in a vault that has not heard yet that another, on the same store, has changed the key. */
static void a_vault_with_the_old_key_alone_makes_nothing_new(void **state)
{
	struct desk_world *world = *state;
	struct holding holding = {.asset = DESK_ASSET, .wallet = DESK_WALLET, .slot = 999};
	struct open_period period;
	bool made;
	fill(world);
	assert_int_equal(begin(world, 2), 0);
	master_destroy(&world->desk.next);
	holding.other_slot = 998;
	desk_begin(world);
	assert_int_equal(
	    records_make_period(&world->desk, &holding, &period, &made, &world->err), -1);
	assert_int_equal(world->err.code, ERR_UNAVAILABLE);
	assert_string_equal(world->err.reason, "vault_foreign_key");
}

static void refuses_the_key_in_use_and_a_third_one_meanwhile(void **state)
{
	struct desk_world *world = *state;
	fill(world);
	assert_int_equal(begin(world, 1), -1);
	assert_string_equal(world->err.reason, "key_unchanged");
	assert_int_equal(begin(world, 2), 0);
	assert_int_equal(begin(world, 2), 0); /* twice is once */
	assert_int_equal(begin(world, 3), -1);
	assert_string_equal(world->err.reason, "rotation_under_way");
}

static void what_cannot_be_opened_keeps_the_old_key_needed(void **state)
{
	struct desk_world *world = *state;
	bool is_left;
	fill(world);
	desk_begin(world);
	GOOD(world, db_run(world->desk.db, "UPDATE periods SET since = since + 1 WHERE slot = 10",
			NULL, 0, NULL, NULL, NULL, &world->err));
	desk_commit(world);
	assert_int_equal(begin(world, 2), 0);
	assert_true(step(world)); /* the others */
	desk_begin(world);
	assert_int_equal(rotation_step(&world->desk, BY, &is_left, &world->err), -1);
	db_rollback(world->desk.db);
	desk_world_restart(world);
	assert_int_equal(open_file(world, 2, 0), VAULT_FOREIGN);
}

/* ---- destroying, in the same store */

static void a_destroyed_period_is_gone_and_to_be_scrubbed_until_it_is(void **state)
{
	struct desk_world *world = *state;
	bool is_tripped, must_scrub;
	fill(world);
	struct store_period row = desk_row(world, 10);
	desk_begin(world);
	GOOD(world, eraser_work(&world->desk, &row, "vault", "a test", &world->err));
	desk_commit(world);
	desk_begin(world);
	GOOD(world, eraser_read(&world->desk, &is_tripped, &must_scrub, &world->err));
	db_rollback(world->desk.db);
	assert_true(must_scrub);
	assert_false(is_tripped);
	assert_int_equal(desk_row(world, 10).state, PERIOD_DESTROYED);
	/* who destroyed it knows what to look for; another process would not */
	assert_false(world->desk.traces.overflown);
	assert_int_equal(world->desk.traces.len, 1);
	assert_memory_equal(world->desk.traces.trace[0].bytes, row.wrapped, row.wrapped_len);
	world->desk.traces.len = 0;
	desk_begin(world);
	GOOD(world, eraser_read(&world->desk, &is_tripped, &must_scrub, &world->err));
	db_rollback(world->desk.db);
	assert_true(world->desk.traces.overflown);
	GOOD(world, eraser_scrub_work(&world->desk, &world->err));
	desk_begin(world);
	GOOD(world, eraser_read(&world->desk, &is_tripped, &must_scrub, &world->err));
	db_rollback(world->desk.db);
	assert_false(must_scrub);
	assert_false(world->desk.traces.overflown);
	desk_assert_readable(world, 20);
}

static void the_breaker_is_in_the_store_and_survives_the_process(void **state)
{
	struct desk_world *world = *state;
	bool allows, must_scrub, is_tripped;
	fill(world);
	for (unsigned i = 0; i < 3; i++) {
		desk_begin(world);
		GOOD(world, eraser_allow(&world->desk, 2, &allows, &world->err));
		desk_commit(world);
		assert_int_equal(allows, i < 2);
		desk_world_restart(world);
	}
	desk_begin(world);
	GOOD(world, eraser_read(&world->desk, &is_tripped, &must_scrub, &world->err));
	assert_true(is_tripped);
	GOOD(world, eraser_reset(&world->desk, &world->err));
	GOOD(world, eraser_allow(&world->desk, 2, &allows, &world->err));
	assert_true(allows);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, desk_world_open, desk_world_close)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(at_its_end_only_the_next_key_opens_the_store),
	    TEST(goes_on_after_a_crash_between_any_two_steps),
	    TEST(a_step_that_is_undone_changes_nothing),
	    TEST(what_is_made_meanwhile_is_under_the_next_key),
	    TEST(a_vault_with_the_old_key_alone_makes_nothing_new),
	    TEST(refuses_the_key_in_use_and_a_third_one_meanwhile),
	    TEST(what_cannot_be_opened_keeps_the_old_key_needed),
	    TEST(a_destroyed_period_is_gone_and_to_be_scrubbed_until_it_is),
	    TEST(the_breaker_is_in_the_store_and_survives_the_process),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
