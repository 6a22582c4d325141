#include "tests/sim/server.h"

#include <string.h>

#include "tests/sim/judge.h"

static struct {
	struct server primary, demoted;
	struct db snapshot;
	bool has_snapshot, has_demoted;
	enum script_size size;
} own;

static void new_run_id(struct db *db)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < RUN_ID_LEN; i++)
		db->run_id[i] = hex[world_below(16)];
	db->run_id[RUN_ID_LEN] = '\0';
}

void server_begin(enum script_size size, bool trims_early)
{
	memset(&own, 0, sizeof(own));
	own.size = size;
	own.primary.is_up = true;
	own.primary.db.trims_early = trims_early;
	new_run_id(&own.primary.db);
}

struct server *server_primary(void)
{
	return &own.primary;
}

struct server *server_demoted(void)
{
	return own.has_demoted ? &own.demoted : NULL;
}

redisReply *server_run(struct server *server, const char *text, int argc, const char *const *argv,
    const size_t *argvlen)
{
	server->db.now_us = WORLD_EPOCH_MS * MS + world.now - server->behind_us;
	return script_run(&server->db, own.size, text, argc, argv, argvlen);
}

void server_snapshot(void)
{
	db_copy(&own.snapshot, &own.primary.db);
	own.has_snapshot = true;
	judge_snapshot();
}

void server_replace(enum server_loss loss, bool is_failover)
{
	if (is_failover) {
		own.demoted = own.primary;
		db_copy(&own.demoted.db, &own.primary.db);
		own.demoted.db.is_readonly = true;
	}
	own.has_demoted = is_failover;
	if (loss == LOSS_TAIL) {
		bug_if(!own.has_snapshot);
		db_copy(&own.primary.db, &own.snapshot);
	} else if (loss == LOSS_ALL) {
		db_flush(&own.primary.db);
	}
	new_run_id(&own.primary.db);
	own.primary.life++;
	world_trace("redis: another process serves, %s", loss == LOSS_NOTHING ? "nothing is lost"
							 : loss == LOSS_TAIL
							     ? "the last writes are lost"
							     : "everything is lost");
	judge_replaced(loss);
}

void server_flush(void)
{
	db_flush(&own.primary.db);
	world_trace("redis: FLUSHALL");
	judge_replaced(LOSS_ALL);
}

void server_set_back(uint64_t us)
{
	own.primary.behind_us += us;
	world_trace("redis: its clock is %llu ms behind now",
	    (unsigned long long)own.primary.behind_us / MS);
	judge_set_back();
}
