/* What an owner leaves to the next one: who gets it, who never does, and what ends it. */
#include "services/secret-vault/handover.h"

#include "common/log.h"
#include "services/secret-vault/eraser_work.h"
#include "services/secret-vault/opening.h"
#include "services/secret-vault/rotation.h"
#include "tests/unit/secret-vault/desk_world.h"

#define SELLER DESK_WALLET
#define BUYER DESK_OTHER
#define THIRD "Vote111111111111111111111111111111111111111"

static const uint8_t key[HANDOVER_KEY_LEN] = {1}, digest[HANDOVER_DIGEST_LEN] = {2},
		     other_key[HANDOVER_KEY_LEN] = {3};

static void open_keys(struct desk_world *world, unsigned first, unsigned second)
{
	struct opening_try attempt = {0};
	attempt.keys[0] = desk_master(world, first);
	if (second)
		attempt.keys[1] = desk_master(world, second);
	GOOD(world, opening_work(&attempt, &world->desk, &world->err));
	db_rollback(world->desk.db);
	assert_int_equal(attempt.state, VAULT_CATCHING_UP);
	opening_try_wipe(&attempt);
}

static int open_world(void **state)
{
	int rc = desk_world_open(state);
	open_keys(*state, 1, 0);
	return rc;
}

/* The period of who proves to be the owner at that slot; nobody else's since is live. */
static void open_at(
    struct desk_world *world, const char *wallet, uint64_t slot, struct open_period *period_r)
{
	struct holding holding = {.asset = DESK_ASSET, .slot = slot, .other_slot = slot - 1};
	bool made;
	snprintf(holding.wallet, sizeof(holding.wallet), "%s", wallet);
	desk_begin(world);
	GOOD(world, records_make_period(&world->desk, &holding, period_r, &made, &world->err));
}

static void begin(struct desk_world *world, const char *wallet, uint64_t slot)
{
	scoped_open_period struct open_period period = {0};
	open_at(world, wallet, slot, &period);
	desk_commit(world);
}

static int give(struct desk_world *world, const char *wallet, uint64_t slot, const uint8_t *its_key)
{
	scoped_open_period struct open_period period = {0};
	open_at(world, wallet, slot, &period);
	int rc = handover_put(&world->desk, &period, its_key, digest, &world->err);
	if (rc == 0)
		desk_commit(world);
	else
		db_rollback(world->desk.db);
	return rc;
}

static enum handover_part drop(struct desk_world *world, const char *wallet, uint64_t slot)
{
	struct period period = {.asset = DESK_ASSET, .slot = slot};
	enum handover_part part;
	snprintf(period.wallet, sizeof(period.wallet), "%s", wallet);
	desk_begin(world);
	GOOD(world, handover_drop(&world->desk, &period, &part, &world->err));
	desk_commit(world);
	return part;
}

static int take(
    struct desk_world *world, const char *wallet, uint64_t slot, struct handed *handed_r)
{
	struct period period = {.asset = DESK_ASSET, .slot = slot};
	snprintf(period.wallet, sizeof(period.wallet), "%s", wallet);
	desk_begin(world);
	int rc = handover_read(&world->desk, &period, handed_r, &world->err);
	desk_commit(world);
	return rc;
}

static void assert_gets(
    struct desk_world *world, const char *wallet, uint64_t slot, const uint8_t *its_key)
{
	struct handed handed;
	assert_int_equal(take(world, wallet, slot, &handed), its_key ? 1 : 0);
	if (!its_key)
		return;
	assert_memory_equal(handed.key, its_key, sizeof(handed.key));
	assert_memory_equal(handed.digest, digest, sizeof(handed.digest));
}

static void erase(struct desk_world *world, const char *wallet, uint64_t slot)
{
	struct period period = {.asset = DESK_ASSET, .slot = slot};
	struct store_period row;
	snprintf(period.wallet, sizeof(period.wallet), "%s", wallet);
	desk_begin(world);
	assert_int_equal(store_period_find(world->desk.db, &period, &row, &world->err), 1);
	GOOD(world, eraser_work(&world->desk, &row, "vault", "a test", &world->err));
	desk_commit(world);
}

static void run(struct desk_world *world, const char *statement)
{
	desk_begin(world);
	GOOD(world, db_run(world->desk.db, statement, NULL, 0, NULL, NULL, NULL, &world->err));
	desk_commit(world);
}

static void the_next_period_gets_it_and_no_other(void **state)
{
	struct desk_world *world = *state;
	assert_int_equal(give(world, SELLER, 100, key), 0);
	assert_gets(world, SELLER, 100, NULL);
	begin(world, BUYER, 200);
	assert_gets(world, BUYER, 200, NULL);
	erase(world, SELLER, 100);
	assert_gets(world, BUYER, 200, key);
	assert_gets(world, BUYER, 200, key);
	begin(world, THIRD, 300);
	assert_gets(world, THIRD, 300, NULL);
	assert_gets(world, BUYER, 200, key);
	struct handed handed;
	assert_int_equal(take(world, BUYER, 200, &handed), 1);
	assert_string_equal(handed.from.wallet, SELLER);
	assert_true(handed.from.slot == 100);
}

/* Only evidence at finalized destroys a period of who sold: what is not destroyed, or not there, proves no sale. */
static void nothing_is_released_before_the_givers_period_is_destroyed(void **state)
{
	struct desk_world *world = *state;
	assert_int_equal(give(world, SELLER, 100, key), 0);
	begin(world, BUYER, 200);
	assert_gets(world, BUYER, 200, NULL);
	struct store_period row = desk_row(world, 100);
	desk_begin(world);
	GOOD(world, store_period_lock(world->desk.db, row.id, PERIOD_LOCKED, 1, &world->err));
	desk_commit(world);
	assert_gets(world, BUYER, 200, NULL);
	run(world, "CREATE TABLE away AS SELECT * FROM periods WHERE slot = 100");
	run(world, "DELETE FROM periods WHERE slot = 100");
	assert_gets(world, BUYER, 200, NULL);
	run(world, "INSERT INTO periods SELECT * FROM away");
	assert_gets(world, BUYER, 200, NULL);
	erase(world, SELLER, 100);
	assert_gets(world, BUYER, 200, key);
}

/* As destroy_owner does it, in this order. */
static void an_operators_word_that_destroys_the_giver_releases_nothing(void **state)
{
	struct desk_world *world = *state;
	assert_int_equal(give(world, SELLER, 100, key), 0);
	begin(world, BUYER, 200);
	struct store_period row = desk_row(world, 100);
	desk_begin(world);
	GOOD(world, eraser_work(&world->desk, &row, "operator", "a test", &world->err));
	GOOD(world, handover_forget(&world->desk, DESK_ASSET, SELLER, &world->err));
	desk_commit(world);
	assert_gets(world, BUYER, 200, NULL);
	begin(world, THIRD, 300);
	assert_gets(world, THIRD, 300, NULL);
}

static void who_never_fetched_it_leaves_nothing_to_the_third(void **state)
{
	struct desk_world *world = *state;
	assert_int_equal(give(world, SELLER, 100, key), 0);
	begin(world, BUYER, 200);
	erase(world, SELLER, 100);
	erase(world, BUYER, 200);
	begin(world, THIRD, 300);
	assert_gets(world, THIRD, 300, NULL);
	assert_gets(world, BUYER, 200, NULL);
}

static void it_waits_for_the_next_one_after_its_giver_is_erased(void **state)
{
	struct desk_world *world = *state;
	assert_int_equal(give(world, SELLER, 100, key), 0);
	erase(world, SELLER, 100);
	desk_world_restart(world);
	open_keys(world, 1, 0);
	begin(world, SELLER, 200); /* a buy-back is another period */
	assert_gets(world, SELLER, 200, key);
}

static void an_owner_of_before_is_no_receiver(void **state)
{
	struct desk_world *world = *state;
	assert_int_equal(give(world, SELLER, 100, key), 0);
	begin(world, THIRD, 50);
	assert_gets(world, THIRD, 50, NULL);
	begin(world, BUYER, 200);
	erase(world, SELLER, 100);
	assert_gets(world, BUYER, 200, key);
}

static void a_newer_one_takes_its_place(void **state)
{
	struct desk_world *world = *state;
	assert_int_equal(give(world, SELLER, 100, key), 0);
	assert_int_equal(give(world, SELLER, 100, other_key), 0);
	begin(world, BUYER, 200);
	erase(world, SELLER, 100);
	assert_gets(world, BUYER, 200, other_key);
	assert_int_equal(give(world, BUYER, 200, key), 0);
	assert_gets(world, BUYER, 200, NULL);
	begin(world, THIRD, 300);
	erase(world, BUYER, 200);
	assert_gets(world, THIRD, 300, key);
}

static void who_sold_already_gives_nothing(void **state)
{
	struct desk_world *world = *state;
	begin(world, SELLER, 100);
	begin(world, BUYER, 200);
	assert_int_equal(give(world, SELLER, 100, key), -1);
	assert_string_equal(world->err.reason, "grant_refused");
}

static void giver_and_receiver_end_it_and_nobody_else(void **state)
{
	struct desk_world *world = *state;
	assert_int_equal(drop(world, SELLER, 100), HANDOVER_NONE);
	assert_int_equal(give(world, SELLER, 100, key), 0);
	assert_int_equal(drop(world, BUYER, 200), HANDOVER_NONE);
	assert_int_equal(drop(world, SELLER, 100), HANDOVER_GIVER);
	assert_int_equal(drop(world, SELLER, 100), HANDOVER_NONE);
	begin(world, BUYER, 200);
	erase(world, SELLER, 100);
	assert_gets(world, BUYER, 200, NULL);
	assert_int_equal(give(world, BUYER, 200, key), 0);
	begin(world, THIRD, 300);
	erase(world, BUYER, 200);
	assert_gets(world, THIRD, 300, key);
	assert_int_equal(drop(world, SELLER, 100), HANDOVER_NONE);
	assert_int_equal(drop(world, THIRD, 300), HANDOVER_RECEIVER);
	assert_gets(world, THIRD, 300, NULL);
}

static void what_was_taken_back_is_in_no_file(void **state)
{
	struct desk_world *world = *state;
	bool is_tripped, must_scrub;
	assert_int_equal(give(world, SELLER, 100, key), 0);
	assert_int_equal(world->desk.traces.len, 0);
	drop(world, SELLER, 100);
	assert_int_equal(world->desk.traces.len, 1);
	desk_begin(world);
	GOOD(world, eraser_read(&world->desk, &is_tripped, &must_scrub, &world->err));
	db_rollback(world->desk.db);
	assert_true(must_scrub);
}

static void putting_back_an_older_store_brings_nothing_back(void **state)
{
	struct desk_world *world = *state;
	assert_int_equal(give(world, SELLER, 100, key), 0);
	run(world, "CREATE TABLE given AS SELECT * FROM handovers");
	begin(world, BUYER, 200);
	erase(world, SELLER, 100);
	run(world, "CREATE TABLE fixed AS SELECT * FROM handovers");
	drop(world, BUYER, 200);
	run(world, "DELETE FROM handovers");
	run(world, "INSERT INTO handovers SELECT * FROM fixed");
	assert_gets(world, BUYER, 200, NULL);
	/* not even before the receiver was fixed, for another one */
	run(world, "DELETE FROM handovers");
	run(world, "INSERT INTO handovers SELECT * FROM given");
	begin(world, THIRD, 300);
	assert_gets(world, THIRD, 300, NULL);
	run(world, "UPDATE handovers SET version = 9");
	assert_gets(world, BUYER, 200, NULL);
	assert_gets(world, THIRD, 300, NULL);
	/* nor does it hinder a new one */
	assert_int_equal(give(world, THIRD, 300, other_key), 0);
	begin(world, BUYER, 400);
	erase(world, THIRD, 300);
	assert_gets(world, BUYER, 400, other_key);
}

static void the_receiver_cannot_be_exchanged(void **state)
{
	struct desk_world *world = *state;
	assert_int_equal(give(world, SELLER, 100, key), 0);
	begin(world, BUYER, 200);
	erase(world, SELLER, 100);
	assert_gets(world, BUYER, 200, key);
	begin(world, THIRD, 300);
	run(world, "UPDATE handovers SET to_wallet = '" THIRD "', to_slot = 300");
	assert_gets(world, THIRD, 300, NULL);
	assert_gets(world, BUYER, 200, NULL);
}

static void it_follows_the_master_key(void **state)
{
	struct desk_world *world = *state;
	bool is_left = true;
	assert_int_equal(give(world, SELLER, 100, key), 0);
	begin(world, BUYER, 200);
	erase(world, SELLER, 100);
	desk_begin(world);
	world->desk.next = desk_master(world, 2);
	GOOD(world, rotation_begin(&world->desk, world->desk.next, NULL, "a test", &world->err));
	desk_commit(world);
	for (unsigned steps = 0; is_left; steps++) {
		assert_true(steps < 5);
		assert_gets(world, BUYER, 200, key);
		desk_begin(world);
		GOOD(world, rotation_step(&world->desk, "a test", &is_left, &world->err));
		desk_commit(world);
	}
	desk_world_restart(world);
	open_keys(world, 2, 0);
	assert_gets(world, BUYER, 200, key);
}

/* It is lost with or without the old key, and must not keep that one needed. */
static void one_that_does_not_open_holds_up_no_change_of_the_key(void **state)
{
	struct desk_world *world = *state;
	bool is_left = true;
	assert_int_equal(give(world, SELLER, 100, key), 0);
	run(world, "UPDATE handovers SET from_slot = 101");
	desk_begin(world);
	world->desk.next = desk_master(world, 2);
	GOOD(world, rotation_begin(&world->desk, world->desk.next, NULL, "a test", &world->err));
	desk_commit(world);
	for (unsigned steps = 0; is_left; steps++) {
		assert_true(steps < 5);
		desk_begin(world);
		GOOD(world, rotation_step(&world->desk, "a test", &is_left, &world->err));
		desk_commit(world);
	}
	desk_world_restart(world);
	open_keys(world, 2, 0);
	assert_int_equal(give(world, SELLER, 100, other_key), 0);
	begin(world, BUYER, 200);
	erase(world, SELLER, 100);
	assert_gets(world, BUYER, 200, other_key);
}

/* As in a vault that has not heard yet that another has changed the key: the next try knows it. */
static void a_vault_with_the_old_key_alone_does_not_take_it_for_lost(void **state)
{
	struct desk_world *world = *state;
	struct handed handed;
	assert_int_equal(give(world, SELLER, 100, key), 0);
	desk_begin(world);
	world->desk.next = desk_master(world, 2);
	GOOD(world, rotation_begin(&world->desk, world->desk.next, NULL, "a test", &world->err));
	desk_commit(world);
	assert_int_equal(give(world, SELLER, 100, key), 0);
	begin(world, BUYER, 200);
	master_destroy(&world->desk.next);
	assert_int_equal(take(world, BUYER, 200, &handed), -1);
	assert_string_equal(world->err.reason, "vault_foreign_key");
}

static void whoever_came_by_a_wrong_reading_is_no_receiver(void **state)
{
	struct desk_world *world = *state;
	const struct period giver = {.asset = DESK_ASSET, .wallet = SELLER, .slot = 100};
	assert_int_equal(give(world, SELLER, 100, key), 0);
	begin(world, THIRD, 200);
	desk_begin(world);
	GOOD(world, handover_reopen(&world->desk, &giver, &world->err));
	desk_commit(world);
	erase(world, SELLER, 100);
	assert_gets(world, THIRD, 200, NULL);
	begin(world, BUYER, 300);
	assert_gets(world, BUYER, 300, key);
}

static void an_operators_word_ends_what_a_wallet_gave_or_was_to_get(void **state)
{
	static const char *const wallets[] = {SELLER, BUYER};
	struct desk_world *world = *state;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(give(world, SELLER, 100 + 1000 * i, key), 0);
		begin(world, BUYER, 200 + 1000 * i);
		erase(world, SELLER, 100 + 1000 * i);
		desk_begin(world);
		GOOD(world, handover_forget(&world->desk, DESK_ASSET, THIRD, &world->err));
		desk_commit(world);
		assert_gets(world, BUYER, 200 + 1000 * i, key);
		desk_begin(world);
		GOOD(world, handover_forget(&world->desk, DESK_ASSET, wallets[i], &world->err));
		desk_commit(world);
		assert_gets(world, BUYER, 200 + 1000 * i, NULL);
	}
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_world, desk_world_close)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(the_next_period_gets_it_and_no_other),
	    TEST(nothing_is_released_before_the_givers_period_is_destroyed),
	    TEST(an_operators_word_that_destroys_the_giver_releases_nothing),
	    TEST(who_never_fetched_it_leaves_nothing_to_the_third),
	    TEST(it_waits_for_the_next_one_after_its_giver_is_erased),
	    TEST(an_owner_of_before_is_no_receiver),
	    TEST(a_newer_one_takes_its_place),
	    TEST(who_sold_already_gives_nothing),
	    TEST(giver_and_receiver_end_it_and_nobody_else),
	    TEST(what_was_taken_back_is_in_no_file),
	    TEST(putting_back_an_older_store_brings_nothing_back),
	    TEST(the_receiver_cannot_be_exchanged),
	    TEST(it_follows_the_master_key),
	    TEST(one_that_does_not_open_holds_up_no_change_of_the_key),
	    TEST(a_vault_with_the_old_key_alone_does_not_take_it_for_lost),
	    TEST(whoever_came_by_a_wrong_reading_is_no_receiver),
	    TEST(an_operators_word_ends_what_a_wallet_gave_or_was_to_get),
	};
	log_open("test", "test-1", getenv("V") ? LOG_DEBUG : LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
