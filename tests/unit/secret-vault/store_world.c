#include "tests/unit/secret-vault/store_world.h"

#include <unistd.h>

#include "tests/unit/common/scratch.h"

const char store_sqlite, store_postgres;

/* ---- the server ---- */

static struct postgres_server server;

struct postgres_server *store_server(void)
{
	return &server;
}

int store_server_up(void **state)
{
	(void)state;
	postgres_server_start(&server);
	return 0;
}

int store_server_down(void **state)
{
	(void)state;
	postgres_server_stop(&server);
	return 0;
}

/* ---- the store ---- */

void *store_initial(const char *kind)
{
	union {
		const char *in;
		void *out;
	} u = {.in = kind};

	return u.out;
}

struct db *store_world_connect(const struct store_world *world)
{
	struct error err = {0};
	struct db *db = db_open(world->where, &err);

	if (!db)
		fail_msg("%s", err.text);
	return db;
}

void store_world_reopen(struct store_world *world)
{
	db_close(&world->db);
	world->db = store_world_connect(world);
}

int store_world_open(void **state)
{
	struct store_world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	world->is_postgres = *state == store_initial(&store_postgres);
	snprintf(world->dir, sizeof(world->dir), "/tmp/mc-unit-store-XXXXXX");
	assert_non_null(mkdtemp(world->dir));
	if (world->is_postgres) {
		postgres_server_empty(&server);
		snprintf(world->where, sizeof(world->where), "%s", server.where);
	} else {
		snprintf(world->where, sizeof(world->where), "sqlite:%s/vault.db", world->dir);
	}
	world->db = store_world_connect(world);
	GOOD(world, store_create(world->db, &world->err));
	*state = world;
	return 0;
}

int store_world_close(void **state)
{
	struct store_world *world = *state;

	db_close(&world->db);
	scratch_remove(world->dir);
	free(world);
	return 0;
}

char *store_world_file(const struct store_world *world, const char *suffix, char path[80])
{
	snprintf(path, 80, "%s/vault.db%s", world->dir, suffix);
	return path;
}

void store_begin(struct store_world *world, bool writes)
{
	GOOD(world, db_begin(world->db, writes, &world->err));
}

void store_commit(struct store_world *world)
{
	GOOD(world, db_commit(world->db, &world->err));
}

void assert_unavailable(const struct error *err)
{
	assert_int_equal(err->code, ERR_UNAVAILABLE);
	assert_string_equal(err->reason, "storage_unavailable");
	assert_true(strlen(err->text) > 0);
}

/* ---- what is put into it ---- */

struct store_period store_some_period(unsigned n)
{
	struct store_period period = {
	    .period = {.slot = 1000 + n},
	    .since = 1000 + n,
	    .state = PERIOD_LIVE,
	    .key_id = {1, 2, 3, 4, 5, 6, 7, 8},
	    .wrapped_len = 72,
	    .created_ms = 1700000000000 + n,
	    .changed_ms = 1700000000000 + n,
	};

	snprintf(period.period.asset, sizeof(period.period.asset), "asset%u", n);
	snprintf(period.period.wallet, sizeof(period.period.wallet), "wallet%u", n);
	for (size_t i = 0; i < period.wrapped_len; i++)
		period.wrapped[i] = (uint8_t)(n * 31 + i);
	return period;
}

uint64_t store_add_period(struct store_world *world, unsigned n)
{
	struct store_period period = store_some_period(n);

	GOOD(world, store_period_add(world->db, &period, &world->err));
	return period.id;
}

struct store_record store_some_record(uint64_t period_id, const char *kind, const char *name)
{
	static const uint8_t value[] = "sealed\0value\xff", preview[] = "sealed\0preview";
	struct store_record record = {
	    .period_id = period_id,
	    .version = 1,
	    .updated_ms = 1700000000001,
	    .value = value,
	    .value_len = sizeof(value),
	    .preview = preview,
	    .preview_len = sizeof(preview),
	};

	snprintf(record.kind, sizeof(record.kind), "%s", kind);
	snprintf(record.name, sizeof(record.name), "%s", name);
	return record;
}

struct audit_entry store_some_entry(const char *chain)
{
	struct audit_entry entry = {.at_ms = 1700000000002, .version = 3};

	snprintf(entry.chain, sizeof(entry.chain), "%s", chain);
	snprintf(entry.act, sizeof(entry.act), "put");
	snprintf(entry.by, sizeof(entry.by), "owner wallet1");
	snprintf(entry.kind, sizeof(entry.kind), "llm");
	snprintf(entry.name, sizeof(entry.name), "anthropic");
	snprintf(entry.detail, sizeof(entry.detail), "\xc3\xa9t\xc3\xa9");
	return entry;
}

int store_append(struct store_world *world, struct audit_entry *entry)
{
	struct store_heads heads;

	if (store_audit_heads(world->db, entry->chain, &heads, &world->err) != 0)
		return -1;
	return store_audit_append(world->db, &heads, entry, &world->err);
}
