/* db - what one Redis holds, and its commands as far as the suite's scripts call them. Nothing is ever freed before the seed ends, and texts never change,
 * so a snapshot copies only what points to them. An unknown command or form is our bug. */
#ifndef SIM_DB_H
#define SIM_DB_H

#include <luajit-2.1/lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUN_ID_LEN 40

struct text {
	const char *s;
	size_t len;
};

enum db_type { DB_STRING, DB_HASH, DB_SET, DB_ZSET, DB_STREAM };
struct db_pair { /* hash: name, value; set: name; sorted set: name, score */
	struct text name, value;
	double score;
};
struct db_entry {
	uint64_t ms, seq;
	struct text id;
	struct text *part; /* name, value, name, value... */
	size_t nparts;
};
struct db_key {
	uint64_t hash;
	struct text name;
	enum db_type type;
	uint64_t expires_ms; /* 0: never */
	struct text value;
	struct db_pair *pair;
	struct db_entry *entry;
	size_t first, len, cap; /* of pairs or entries; a trimmed stream begins later */
	uint64_t last_ms, last_seq;
};

struct db {
	struct db_key *key;
	size_t nkeys, cap;
	char run_id[RUN_ID_LEN + 1];
	bool is_readonly; /* demoted, or without its replicas */
	bool trims_early; /* MAXLEN ~ drops down to the number, else nothing */
	uint64_t now_us;  /* its clock, Unix; set before each call */
	/* what the last call added to a stream */
	unsigned nadded;
	struct text added_id, added_asset, added_kind;
};

void db_copy(struct db *to, const struct db *from);
void db_flush(struct db *db);
/* One command, its arguments on Lua's stack from 1 on. Pushes its reply as Lua sees it, or raises an error. */
int db_command(struct db *db, lua_State *lua);

#endif
