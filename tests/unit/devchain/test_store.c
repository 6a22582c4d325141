#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/stat.h>

#include "common/scoped.h"
#include "tests/devchain/store.h"
#include "tests/unit/devchain/fixtures.h"

static const uint64_t lags[COMMITMENTS] = {0, 2, 32};

static int make_folder(void **state)
{
	char *dir = strdup("/tmp/devchain-store-XXXXXX");

	*state = dir;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_folder(void **state)
{
	static const char *const names[] = {"chain.json", "slot", "lock", "note"};
	char *dir = *state;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		scoped_free char *path = NULL;

		assert_true(asprintf(&path, "%s/%s", dir, names[i]) > 0);
		unlink(path);
	}
	rmdir(dir);
	free(dir);
	return 0;
}

static struct chain *load(
    struct store *store, const char *dir, struct genesis *genesis, bool *found)
{
	struct error err = {0};
	struct chain *chain;

	if (store_open(store, dir, &err) != 0)
		fail_msg("%s", err.text);
	chain = store_load(store, 400, lags, genesis, found, &err);
	if (!chain)
		fail_msg("%s", err.text);
	return chain;
}

static void goes_on_where_it_stopped_with_every_version(void **state)
{
	scoped_json json_t *vectors = vectors_solana();
	struct account_state scoped_state first =
	    fixture(vectors, "asset in collection, Attributes");
	struct account_state scoped_state second = fixture(vectors, "same asset after transfer");
	struct genesis genesis, again;
	struct store store;
	uint8_t key[PUBKEY_LEN];
	uint64_t next, changed;
	bool found;
	struct chain *chain = load(&store, *state, &genesis, &found);

	assert_false(found);
	fill_key(key, 1);
	chain_put(chain, key, &first);
	chain_tick(chain, 1);
	changed = chain_put(chain, key, &second);
	chain_tick(chain, 2);
	next = chain_next_slot(chain);
	assert_int_equal(store_save(&store, chain, &genesis, NULL), 0);
	chain_destroy(&chain);
	store_close(&store);

	chain = load(&store, *state, &again, &found);
	assert_true(found);
	assert_memory_equal(again.hash, genesis.hash, PUBKEY_LEN);
	assert_int_equal(again.started_ms, genesis.started_ms);
	assert_int_equal(chain_next_slot(chain), next);
	assert_same_account(account_at(chain_find(chain, key), changed - 1), &first);
	assert_same_account(account_at(chain_find(chain, key), changed), &second);
	chain_destroy(&chain);
	store_close(&store);
}

static void comes_back_above_the_last_slot_of_a_killed_process(void **state)
{
	struct genesis genesis;
	struct store store;
	uint64_t last = 0;
	bool found;
	struct chain *chain = load(&store, *state, &genesis, &found);

	assert_int_equal(store_save(&store, chain, &genesis, NULL), 0);
	for (int i = 0; i < 1000; i++) {
		chain_tick(chain, 1);
		assert_int_equal(store_reserve(&store, chain_next_slot(chain), 3, false, NULL), 0);
		last = chain_next_slot(chain);
	}
	chain_destroy(&chain);
	store_close(&store);

	chain = load(&store, *state, &genesis, &found);
	assert_true(chain_next_slot(chain) >= last);
	assert_true(chain_next_slot(chain) <= last + 6);
	chain_destroy(&chain);
	store_close(&store);
}

static void refuses_a_folder_that_is_in_use_and_a_file_it_cannot_read(void **state)
{
	struct store store, second;
	struct error err = {0};
	struct genesis genesis;
	bool found;

	assert_int_equal(store_open(&store, *state, &err), 0);
	assert_int_equal(store_open(&second, *state, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	store_close(&second);
	assert_int_equal(store_write(&store, "chain.json", "{\"version\":1", 0600, &err), 0);
	assert_null(store_load(&store, 400, lags, &genesis, &found, &err));
	assert_int_equal(store_write(&store, "chain.json", "{}", 0600, &err), 0);
	assert_null(store_load(&store, 400, lags, &genesis, &found, &err));
	store_close(&store);
}

static void writes_files_with_the_mode_it_was_given(void **state)
{
	struct store store;
	struct stat status;

	assert_int_equal(store_open(&store, *state, NULL), 0);
	scoped_free char *path = store_path(&store, "note");
	assert_int_equal(store_write(&store, "note", "hello", 0600, NULL), 0);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_int_equal(status.st_size, 5);
	store_close(&store);
}

#define in_folder(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    in_folder(goes_on_where_it_stopped_with_every_version),
	    in_folder(comes_back_above_the_last_slot_of_a_killed_process),
	    in_folder(refuses_a_folder_that_is_in_use_and_a_file_it_cannot_read),
	    in_folder(writes_files_with_the_mode_it_was_given),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
