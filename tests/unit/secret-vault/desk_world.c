#include "tests/unit/secret-vault/desk_world.h"

#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>

#include "common/scoped.h"
#include "tests/unit/common/scratch.h"

#define VALUE "sk-0123456789abcdefghijklmnopqrstuvwxyz"

static void open_desk(struct desk_world *world)
{
	char at[80];
	snprintf(at, sizeof(at), "sqlite:%s/store", world->folder);
	world->desk = (struct desk){.db = db_open(at, &world->err), .now_ms = 1767323045123};
	assert_non_null(world->desk.db);
	GOOD(world, store_create(world->desk.db, &world->err));
	snprintf(at, sizeof(at), "%s/marks", world->folder);
	world->desk.highwater = highwater_open(at, &world->err);
	assert_non_null(world->desk.highwater);
}

static void close_desk(struct desk_world *world)
{
	db_rollback(world->desk.db);
	highwater_close(&world->desk.highwater);
	db_close(&world->desk.db);
	master_destroy(&world->desk.master);
	master_destroy(&world->desk.next);
}

int desk_world_open(void **state)
{
	struct desk_world *world = calloc(1, sizeof(*world));
	assert_true(sodium_init() >= 0);
	snprintf(world->folder, sizeof(world->folder), "/tmp/desk.XXXXXX");
	assert_non_null(mkdtemp(world->folder));
	open_desk(world);
	*state = world;
	return 0;
}

int desk_world_close(void **state)
{
	struct desk_world *world = *state;
	close_desk(world);
	int rc = scratch_remove(world->folder);
	free(world);
	return rc;
}

void desk_world_restart(struct desk_world *world)
{
	close_desk(world);
	open_desk(world);
}

void desk_world_lose_marks(struct desk_world *world)
{
	char at[80];
	close_desk(world);
	snprintf(at, sizeof(at), "%s/marks", world->folder);
	assert_int_equal(unlink(at), 0);
	open_desk(world);
}

void desk_begin(struct desk_world *world)
{
	GOOD(world, db_begin(world->desk.db, true, &world->err));
}

void desk_commit(struct desk_world *world)
{
	GOOD(world, db_commit(world->desk.db, &world->err));
	GOOD(world, highwater_commit(world->desk.highwater, &world->err));
}

struct master *desk_master(struct desk_world *world, unsigned n)
{
	uint8_t seed[randombytes_SEEDBYTES] = {(uint8_t)n}, bytes[MASTER_LEN];
	char path[80], text[64];
	randombytes_buf_deterministic(bytes, sizeof(bytes), seed);
	sodium_bin2base64(text, sizeof(text), bytes, sizeof(bytes), sodium_base64_VARIANT_ORIGINAL);
	snprintf(path, sizeof(path), "%s/key%u", world->folder, n);
	unlink(path);
	scoped_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	struct master *master = master_read_file(path, &world->err);
	if (!master)
		fail_msg("%s", world->err.text);
	return master;
}

static struct holding holding_of(uint64_t slot)
{
	struct holding holding = {.slot = slot, .other_slot = slot - 1};
	snprintf(holding.asset, sizeof(holding.asset), "%s", DESK_ASSET);
	snprintf(holding.wallet, sizeof(holding.wallet), "%s", DESK_WALLET);
	return holding;
}

void desk_add_period(struct desk_world *world, uint64_t slot)
{
	struct holding holding = holding_of(slot);
	scoped_open_period struct open_period period = {0};
	uint64_t version;
	bool made;
	desk_begin(world);
	GOOD(world, records_make_period(&world->desk, &holding, &period, &made, &world->err));
	assert_true(made);
	GOOD(world, records_write(&world->desk, &period, "llm", "one", VALUE, strlen(VALUE), "",
			&version, &world->err));
	desk_commit(world);
}

struct store_period desk_row(struct desk_world *world, uint64_t slot)
{
	struct period period = {.asset = DESK_ASSET, .wallet = DESK_WALLET, .slot = slot};
	struct store_period row;
	desk_begin(world);
	assert_int_equal(store_period_find(world->desk.db, &period, &row, &world->err), 1);
	db_rollback(world->desk.db);
	return row;
}

void desk_assert_readable(struct desk_world *world, uint64_t slot)
{
	scoped_open_period struct open_period period = {.row = desk_row(world, slot)};
	struct record record;
	bool is_next = world->desk.next &&
		       memcmp(master_id(world->desk.next), period.row.key_id, KEY_ID_LEN) == 0;
	period.data_key = data_key_unwrap(
	    is_next ? world->desk.next : world->desk.master, &period.row, &world->err);
	if (!period.data_key)
		fail_msg("%s", world->err.text);
	desk_begin(world);
	GOOD(world, records_read(&world->desk, &period, "llm", "one", &record, &world->err));
	db_rollback(world->desk.db);
	highwater_forget(world->desk.highwater);
	assert_int_equal(record.found, RECORD_SET);
	assert_true(secret_equal(record.value, VALUE, strlen(VALUE)));
	secret_destroy(&record.value);
}
