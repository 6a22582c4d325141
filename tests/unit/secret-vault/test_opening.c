/* Opening: which keys and which marks open a store, what state every other case ends in, and that none of them harms anything. */
#include "services/secret-vault/opening.h"
#include "tests/unit/secret-vault/desk_world.h"

static struct opening_try try_with(struct desk_world *world, int first, int second)
{
	struct opening_try attempt = {.by = "operator someone"};
	if (first)
		attempt.keys[0] = desk_master(world, (unsigned)first);
	if (second)
		attempt.keys[1] = desk_master(world, (unsigned)second);
	return attempt;
}

/* What comes of a try; wipes it. */
static enum vault_state open_with(struct desk_world *world, struct opening_try *attempt)
{
	GOOD(world, opening_work(attempt, &world->desk, &world->err));
	db_rollback(world->desk.db);
	enum vault_state state = attempt->state;
	opening_try_wipe(attempt);
	return state;
}

static enum vault_state open_file(struct desk_world *world, int first, int second)
{
	struct opening_try attempt = try_with(world, first, second);
	return open_with(world, &attempt);
}

static void a_new_store_is_claimed_by_the_first_key_and_opened_by_it_ever_after(void **state)
{
	struct desk_world *world = *state;
	struct opening_try attempt = try_with(world, 1, 0);
	GOOD(world, opening_work(&attempt, &world->desk, &world->err));
	assert_int_equal(attempt.state, VAULT_CATCHING_UP);
	assert_int_equal(strlen(attempt.key_id), 2 * KEY_ID_LEN);
	assert_string_equal(attempt.next_key_id, "");
	assert_non_null(attempt.grant_key);
	assert_null(attempt.next_grant_key);
	opening_try_wipe(&attempt);
	desk_add_period(world, 10);
	desk_world_restart(world);
	assert_int_equal(open_file(world, 1, 0), VAULT_CATCHING_UP);
	desk_assert_readable(world, 10);
}

static void another_key_finds_a_foreign_store_and_harms_nothing(void **state)
{
	struct desk_world *world = *state;
	assert_int_equal(open_file(world, 1, 0), VAULT_CATCHING_UP);
	desk_add_period(world, 10);
	desk_world_restart(world);
	assert_int_equal(open_file(world, 2, 0), VAULT_FOREIGN);
	assert_null(world->desk.master);
	assert_int_equal(open_file(world, 2, 1), VAULT_CATCHING_UP); /* whichever file holds it */
	desk_assert_readable(world, 10);
}

static void without_any_key_a_new_store_waits(void **state)
{
	struct desk_world *world = *state;
	struct opening_try attempt = {.is_passphrase_expected = true};
	assert_int_equal(open_with(world, &attempt), VAULT_SEALED);
	assert_null(world->desk.master);
}

static enum vault_state open_passphrase(struct desk_world *world, const char *text)
{
	struct opening_try attempt = {.is_passphrase_expected = true};
	if (text)
		attempt.passphrase = secret_new(text, strlen(text));
	return open_with(world, &attempt);
}

static void a_passphrase_opens_what_it_sealed_and_a_wrong_one_is_said_to_be_wrong(void **state)
{
	struct desk_world *world = *state;
	struct opening_try wrong = {.is_passphrase_expected = true};
	assert_int_equal(open_passphrase(world, "correct horse battery"), VAULT_CATCHING_UP);
	desk_add_period(world, 10);
	desk_world_restart(world);
	assert_int_equal(open_passphrase(world, NULL), VAULT_SEALED);
	wrong.passphrase = secret_new("correct horse batterz", 21);
	assert_int_equal(opening_work(&wrong, &world->desk, &world->err), -1);
	assert_int_equal(world->err.code, ERR_UNAUTHENTICATED);
	assert_string_equal(world->err.reason, "passphrase_wrong");
	assert_null(world->desk.master);
	opening_try_wipe(&wrong);
	db_rollback(world->desk.db);
	assert_int_equal(open_passphrase(world, "correct horse battery"), VAULT_CATCHING_UP);
	desk_assert_readable(world, 10);
}

static void lost_marks_wait_for_an_operator_and_are_adopted_then(void **state)
{
	struct desk_world *world = *state;
	assert_int_equal(open_file(world, 1, 0), VAULT_CATCHING_UP);
	desk_add_period(world, 10);
	desk_world_lose_marks(world);
	assert_int_equal(open_file(world, 1, 0), VAULT_UNMARKED);
	assert_int_equal(open_file(world, 1, 0), VAULT_UNMARKED);
	struct opening_try attempt = {.adopts = true}; /* the desk has the key already */
	assert_int_equal(open_with(world, &attempt), VAULT_CATCHING_UP);
	desk_world_restart(world);
	assert_int_equal(open_file(world, 1, 0), VAULT_CATCHING_UP);
}

static void another_stores_marks_are_refused(void **state)
{
	struct desk_world *world = *state;
	static const uint8_t other[STORE_ID_LEN] = {1, 2, 3};
	GOOD(world, highwater_adopt(world->desk.highwater, other, &world->err));
	GOOD(world, highwater_commit(world->desk.highwater, &world->err));
	assert_int_equal(open_file(world, 1, 0), VAULT_UNMARKED); /* although the store is empty */
}

static uint64_t mark_of(struct desk_world *world, const struct period *period, const char *kind)
{
	uint64_t mark;
	GOOD(world, highwater_get(
			world->desk.highwater, period, kind, *kind ? "x" : "", &mark, &world->err));
	return mark;
}

static void an_older_store_is_taken_as_it_is_on_an_operators_word_but_what_is_gone_stays_gone(
    void **state)
{
	struct desk_world *world = *state;
	struct opening_try attempt = {.adopts = true};
	struct period lost = {.asset = DESK_ASSET, .wallet = DESK_OTHER, .slot = 30}, gone = lost;
	assert_int_equal(open_file(world, 1, 0), VAULT_CATCHING_UP);
	desk_add_period(world, 10);
	struct period kept = desk_row(world, 10).period;
	gone.slot = 20;
	struct highwater *marks = world->desk.highwater;
	/* the store that was put back is older than these */
	GOOD(world, highwater_raise(marks, &kept, "custom", "x", 99, &world->err));
	GOOD(world, highwater_raise(marks, &lost, "", "", 1, &world->err));
	GOOD(world, highwater_gone(marks, &gone, &world->err));
	GOOD(world, highwater_commit(marks, &world->err));
	assert_int_equal(open_with(world, &attempt), VAULT_CATCHING_UP);
	assert_int_equal(mark_of(world, &kept, "custom"), 0);
	assert_int_equal(mark_of(world, &lost, ""), 0);
	assert_int_equal(mark_of(world, &gone, ""), HIGHWATER_GONE);
	desk_assert_readable(world, 10);
}

static void a_wrong_key_does_not_adopt(void **state)
{
	struct desk_world *world = *state;
	assert_int_equal(open_file(world, 1, 0), VAULT_CATCHING_UP);
	desk_add_period(world, 10);
	desk_world_lose_marks(world);
	struct opening_try attempt = try_with(world, 2, 0);
	attempt.adopts = true;
	assert_int_equal(open_with(world, &attempt), VAULT_FOREIGN);
	assert_int_equal(open_file(world, 1, 0), VAULT_UNMARKED);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, desk_world_open, desk_world_close)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_new_store_is_claimed_by_the_first_key_and_opened_by_it_ever_after),
	    TEST(another_key_finds_a_foreign_store_and_harms_nothing),
	    TEST(without_any_key_a_new_store_waits),
	    TEST(a_passphrase_opens_what_it_sealed_and_a_wrong_one_is_said_to_be_wrong),
	    TEST(lost_marks_wait_for_an_operator_and_are_adopted_then),
	    TEST(another_stores_marks_are_refused),
	    TEST(an_older_store_is_taken_as_it_is_on_an_operators_word_but_what_is_gone_stays_gone),
	    TEST(a_wrong_key_does_not_adopt),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
