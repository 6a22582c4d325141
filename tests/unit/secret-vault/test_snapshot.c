/* Which snapshot is the newest: compare and set, told twice, and an older store put back. */
#include "services/secret-vault/snapshot.h"

#include "services/secret-vault/eraser_work.h"
#include "tests/unit/secret-vault/desk_world.h"

static const uint8_t one[SNAPSHOT_DIGEST_LEN] = {1}, two[SNAPSHOT_DIGEST_LEN] = {2};

static void open_period(struct desk_world *world, struct open_period *period_r)
{
	struct holding holding = {
	    .asset = DESK_ASSET, .wallet = DESK_WALLET, .slot = 100, .other_slot = 99};
	bool made;
	desk_begin(world);
	GOOD(world, records_make_period(&world->desk, &holding, period_r, &made, &world->err));
}

static int keep(struct desk_world *world, uint64_t base, const uint8_t *digest)
{
	scoped_open_period struct open_period period = {0};
	open_period(world, &period);
	int rc = snapshot_keep(&world->desk, &period, base, digest, &world->err);
	desk_commit(world);
	return rc;
}

static int read_newest(struct desk_world *world, struct snapshot *newest_r)
{
	scoped_open_period struct open_period period = {0};
	open_period(world, &period);
	int rc = snapshot_read(&world->desk, &period, newest_r, &world->err);
	desk_commit(world);
	return rc;
}

static void assert_newest(
    struct desk_world *world, uint64_t number, const uint8_t digest[SNAPSHOT_DIGEST_LEN])
{
	struct snapshot newest;
	GOOD(world, read_newest(world, &newest));
	assert_true(newest.number == number);
	assert_memory_equal(newest.digest, digest, SNAPSHOT_DIGEST_LEN);
}

static void run(struct desk_world *world, const char *statement)
{
	desk_begin(world);
	GOOD(world, db_run(world->desk.db, statement, NULL, 0, NULL, NULL, NULL, &world->err));
	desk_commit(world);
}

static int open_world(void **state)
{
	int rc = desk_world_open(state);
	struct desk_world *world = *state;
	world->desk.master = desk_master(world, 1);
	return rc;
}

static void each_is_made_from_the_newest(void **state)
{
	static const uint8_t none[SNAPSHOT_DIGEST_LEN];
	struct desk_world *world = *state;
	assert_newest(world, 0, none);
	assert_int_equal(keep(world, 1, one), -1);
	assert_string_equal(world->err.reason, "snapshot_overtaken");
	assert_int_equal(keep(world, 0, one), 1);
	assert_newest(world, 1, one);
	assert_int_equal(keep(world, 1, two), 1);
	assert_newest(world, 2, two);
	desk_world_restart(world);
	world->desk.master = desk_master(world, 1);
	assert_newest(world, 2, two);
}

static void who_was_overtaken_is_told_both_numbers(void **state)
{
	struct desk_world *world = *state;
	for (uint64_t base = 0; base < 41; base++)
		assert_int_equal(keep(world, base, one), 1);
	assert_int_equal(keep(world, 17, one), -1);
	assert_int_equal(world->err.code, ERR_CONFLICT);
	assert_string_equal(world->err.reason, "snapshot_overtaken");
	assert_non_null(strstr(world->err.text, "17"));
	assert_non_null(strstr(world->err.text, "41"));
	assert_int_equal(keep(world, 42, one), -1);
	assert_int_equal(keep(world, UINT64_MAX, one), -1);
	assert_string_equal(world->err.reason, "snapshot_overtaken");
	assert_newest(world, 41, one);
}

static void the_same_again_is_answered_the_same(void **state)
{
	struct desk_world *world = *state;
	assert_int_equal(keep(world, 0, one), 1);
	assert_int_equal(keep(world, 0, one), 0);
	assert_int_equal(keep(world, 0, two), -1);
	assert_string_equal(world->err.reason, "snapshot_overtaken");
	assert_int_equal(keep(world, 1, two), 1);
	assert_int_equal(keep(world, 0, one), -1);
	assert_newest(world, 2, two);
}

static void an_older_one_put_back_is_refused(void **state)
{
	struct desk_world *world = *state;
	struct snapshot newest;
	assert_int_equal(keep(world, 0, one), 1);
	run(world, "CREATE TABLE old AS SELECT * FROM snapshots");
	assert_int_equal(keep(world, 1, two), 1);
	run(world, "DELETE FROM snapshots");
	assert_int_equal(read_newest(world, &newest), -1);
	assert_string_equal(world->err.reason, "secret_rolled_back");
	assert_int_equal(keep(world, 0, one), -1);
	assert_string_equal(world->err.reason, "secret_rolled_back");
	run(world, "INSERT INTO snapshots SELECT * FROM old");
	assert_int_equal(read_newest(world, &newest), -1);
	assert_int_equal(keep(world, 1, one), -1);
	assert_string_equal(world->err.reason, "secret_rolled_back");
	/* nor does its number make it a newer one */
	run(world, "UPDATE snapshots SET number = 2");
	assert_int_equal(read_newest(world, &newest), -1);
	assert_string_equal(world->err.reason, "secret_undecryptable");
}

/* A crash between store and marks, or another vault. */
static void a_newer_one_than_its_mark_is_learnt(void **state)
{
	struct desk_world *world = *state;
	struct snapshot newest;
	assert_int_equal(keep(world, 0, one), 1);
	run(world, "CREATE TABLE old AS SELECT * FROM snapshots");
	desk_world_lose_marks(world);
	world->desk.master = desk_master(world, 1);
	assert_newest(world, 1, one);
	run(world, "DELETE FROM snapshots");
	assert_int_equal(read_newest(world, &newest), -1);
	assert_string_equal(world->err.reason, "secret_rolled_back");
}

static void a_secrets_list_knows_nothing_of_it(void **state)
{
	struct desk_world *world = *state;
	assert_int_equal(keep(world, 0, one), 1);
	scoped_open_period struct open_period period = {0};
	scoped_record_list struct record_list list = {0}, names = {0};
	open_period(world, &period);
	GOOD(world, records_list_all(&world->desk, &period, &list, &world->err));
	GOOD(world, records_list_names(&world->desk, &period, &names, &world->err));
	assert_int_equal(list.len + names.len, 0);
	db_rollback(world->desk.db);
}

static void it_is_gone_with_the_period(void **state)
{
	static const uint8_t none[SNAPSHOT_DIGEST_LEN];
	struct desk_world *world = *state;
	assert_int_equal(keep(world, 0, one), 1);
	struct store_period row = desk_row(world, 100);
	desk_begin(world);
	GOOD(world, eraser_work(&world->desk, &row, "vault", "a test", &world->err));
	desk_commit(world);
	/* another one begins, at the next slot */
	assert_newest(world, 0, none);
	assert_int_equal(keep(world, 0, two), 1);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_world, desk_world_close)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(each_is_made_from_the_newest),
	    TEST(who_was_overtaken_is_told_both_numbers),
	    TEST(the_same_again_is_answered_the_same),
	    TEST(an_older_one_put_back_is_refused),
	    TEST(a_newer_one_than_its_mark_is_learnt),
	    TEST(a_secrets_list_knows_nothing_of_it),
	    TEST(it_is_gone_with_the_period),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
