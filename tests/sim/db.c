#include "tests/sim/db.h"

#include <inttypes.h>
#include <luajit-2.1/lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/error.h"
#include "tests/sim/world.h"

#define ARGS_MAX 64

struct call {
	struct db *db;
	lua_State *lua;
	int n; /* the command's name is arg[0] */
	struct text arg[ARGS_MAX];
};

/* ---- keys */

static bool same(struct text a, struct text b)
{
	return a.len == b.len && memcmp(a.s, b.s, a.len) == 0;
}

static bool is_word(struct text a, const char *word)
{
	return a.len == strlen(word) && strncasecmp(a.s, word, a.len) == 0;
}

static struct text keep(struct text text)
{
	return (struct text){world_copy(text.s, text.len), text.len};
}

static uint64_t hash_of(struct text name)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (size_t i = 0; i < name.len; i++)
		hash = (hash ^ (unsigned char)name.s[i]) * 0x100000001b3u;
	return hash;
}

static void drop(struct db *db, struct db_key *key)
{
	*key = db->key[--db->nkeys];
}

static struct db_key *find(struct db *db, struct text name)
{
	uint64_t hash = hash_of(name);

	for (size_t i = 0; i < db->nkeys; i++) {
		struct db_key *key = &db->key[i];
		if (key->hash != hash || !same(key->name, name))
			continue;
		if (key->expires_ms == 0 || key->expires_ms > db->now_us / 1000)
			return key;
		drop(db, key);
		return NULL;
	}
	return NULL;
}

static void *grow(void *old, size_t len, size_t *cap, size_t size)
{
	if (len < *cap)
		return old;
	*cap = *cap ? 2 * *cap : 4;
	void *more = world_alloc(*cap * size);
	return len ? memcpy(more, old, len * size) : more;
}

/* The key, made if it is not there. */
static struct db_key *need(struct db *db, struct text name, enum db_type type)
{
	struct db_key *key = find(db, name);

	bug_if(key && key->type != type);
	if (key)
		return key;
	db->key = grow(db->key, db->nkeys, &db->cap, sizeof(*db->key));
	key = &db->key[db->nkeys++];
	*key = (struct db_key){.hash = hash_of(name), .name = keep(name), .type = type};
	return key;
}

static struct db_pair *pair_find(const struct db_key *key, struct text name)
{
	for (size_t i = 0; key && i < key->len; i++)
		if (same(key->pair[i].name, name))
			return &key->pair[i];
	return NULL;
}

static struct db_pair *pair_need(struct db_key *key, struct text name, bool *is_new_r)
{
	struct db_pair *pair = pair_find(key, name);

	*is_new_r = !pair;
	if (pair)
		return pair;
	key->pair = grow(key->pair, key->len, &key->cap, sizeof(*key->pair));
	pair = &key->pair[key->len++];
	*pair = (struct db_pair){.name = keep(name)};
	return pair;
}

static void pair_drop(struct db *db, struct db_key *key, struct db_pair *pair)
{
	size_t after = (size_t)(key->pair + key->len - pair) - 1;

	memmove(pair, pair + 1, after * sizeof(*pair));
	if (--key->len == 0)
		drop(db, key);
}

/* ---- replies */

static int reply_nil(struct call *c)
{
	lua_pushboolean(c->lua, false);
	return 1;
}

static int reply_number(struct call *c, size_t n)
{
	lua_pushnumber(c->lua, (lua_Number)n);
	return 1;
}

static int reply_text(struct call *c, struct text text)
{
	lua_pushlstring(c->lua, text.s, text.len);
	return 1;
}

static int reply_ok(struct call *c)
{
	lua_createtable(c->lua, 0, 1);
	lua_pushliteral(c->lua, "OK");
	lua_setfield(c->lua, -2, "ok");
	return 1;
}

static void add_text(struct call *c, int i, struct text text)
{
	lua_pushlstring(c->lua, text.s, text.len);
	lua_rawseti(c->lua, -2, i);
}

static double number(struct text text)
{
	char *end;
	double n = strtod(text.s, &end);

	bug_if(end != text.s + text.len || text.len == 0);
	return n;
}

static uint64_t whole(struct text text)
{
	char *end;
	uint64_t n = strtoull(text.s, &end, 10);

	bug_if(end != text.s + text.len || text.len == 0);
	return n;
}

/* ---- the server */

static int cmd_time(struct call *c)
{
	char part[24];

	lua_createtable(c->lua, 2, 0);
	int len = snprintf(part, sizeof(part), "%" PRIu64, c->db->now_us / SECOND);
	add_text(c, 1, (struct text){part, (size_t)len});
	len = snprintf(part, sizeof(part), "%" PRIu64, c->db->now_us % SECOND);
	add_text(c, 2, (struct text){part, (size_t)len});
	return 1;
}

static int cmd_info(struct call *c)
{
	lua_pushfstring(c->lua, "# Server\r\nredis_version:7.0.15\r\nrun_id:%s\r\ntcp_port:0\r\n",
	    c->db->run_id);
	return 1;
}

/* ---- any key */

static int cmd_exists(struct call *c)
{
	return reply_number(c, find(c->db, c->arg[1]) != NULL);
}

static int cmd_del(struct call *c)
{
	size_t n = 0;

	for (int i = 1; i < c->n; i++) {
		struct db_key *key = find(c->db, c->arg[i]);
		n += key != NULL;
		if (key)
			drop(c->db, key);
	}
	return reply_number(c, n);
}

static int expire_at(struct call *c, uint64_t ms)
{
	struct db_key *key = find(c->db, c->arg[1]);

	if (key)
		key->expires_ms = ms;
	return reply_number(c, key != NULL);
}

static int cmd_pexpire(struct call *c)
{
	return expire_at(c, c->db->now_us / 1000 + whole(c->arg[2]));
}

static int cmd_pexpireat(struct call *c)
{
	return expire_at(c, whole(c->arg[2]));
}

/* ---- strings */

static int cmd_get(struct call *c)
{
	struct db_key *key = find(c->db, c->arg[1]);

	return key ? reply_text(c, key->value) : reply_nil(c);
}

static int cmd_getdel(struct call *c)
{
	struct db_key *key = find(c->db, c->arg[1]);

	cmd_get(c);
	if (key)
		drop(c->db, key);
	return 1;
}

static int cmd_set(struct call *c)
{
	struct db_key *key = need(c->db, c->arg[1], DB_STRING);

	key->value = keep(c->arg[2]);
	key->expires_ms = 0;
	bug_if(c->n != 3 && !(c->n == 5 && is_word(c->arg[3], "PX")));
	if (c->n == 5)
		key->expires_ms = c->db->now_us / 1000 + whole(c->arg[4]);
	return reply_ok(c);
}

static int cmd_setnx(struct call *c)
{
	if (find(c->db, c->arg[1]))
		return reply_number(c, 0);
	need(c->db, c->arg[1], DB_STRING)->value = keep(c->arg[2]);
	return reply_number(c, 1);
}

/* ---- hashes */

static int cmd_hset(struct call *c)
{
	struct db_key *key = need(c->db, c->arg[1], DB_HASH);
	size_t n = 0;
	bool is_new;

	bug_if(c->n % 2 != 0);
	for (int i = 2; i + 1 < c->n; i += 2) {
		pair_need(key, c->arg[i], &is_new)->value = keep(c->arg[i + 1]);
		n += is_new;
	}
	return reply_number(c, n);
}

static int cmd_hget(struct call *c)
{
	const struct db_pair *pair = pair_find(find(c->db, c->arg[1]), c->arg[2]);

	return pair ? reply_text(c, pair->value) : reply_nil(c);
}

static int cmd_hmget(struct call *c)
{
	const struct db_key *key = find(c->db, c->arg[1]);

	lua_createtable(c->lua, c->n - 2, 0);
	for (int i = 2; i < c->n; i++) {
		const struct db_pair *pair = pair_find(key, c->arg[i]);
		if (pair)
			lua_pushlstring(c->lua, pair->value.s, pair->value.len);
		else
			lua_pushboolean(c->lua, false);
		lua_rawseti(c->lua, -2, i - 1);
	}
	return 1;
}

static int cmd_hgetall(struct call *c)
{
	const struct db_key *key = find(c->db, c->arg[1]);

	lua_newtable(c->lua);
	for (size_t i = 0; key && i < key->len; i++) {
		add_text(c, (int)(2 * i + 1), key->pair[i].name);
		add_text(c, (int)(2 * i + 2), key->pair[i].value);
	}
	return 1;
}

/* hashes, sets and sorted sets alike */
static int cmd_remove(struct call *c)
{
	size_t n = 0;

	for (int i = 2; i < c->n; i++) {
		struct db_key *key = find(c->db, c->arg[1]);
		struct db_pair *pair = pair_find(key, c->arg[i]);
		n += pair != NULL;
		if (pair)
			pair_drop(c->db, key, pair);
	}
	return reply_number(c, n);
}

/* ---- sets */

static int cmd_sadd(struct call *c)
{
	struct db_key *key = need(c->db, c->arg[1], DB_SET);
	size_t n = 0;
	bool is_new;

	for (int i = 2; i < c->n; i++) {
		pair_need(key, c->arg[i], &is_new);
		n += is_new;
	}
	return reply_number(c, n);
}

static int cmd_card(struct call *c)
{
	const struct db_key *key = find(c->db, c->arg[1]);

	return reply_number(c, key ? key->len : 0);
}

static int cmd_sscan(struct call *c)
{
	const struct db_key *key = find(c->db, c->arg[1]);

	lua_createtable(c->lua, 2, 0);
	add_text(c, 1, (struct text){"0", 1});
	lua_newtable(c->lua);
	for (size_t i = 0; key && i < key->len; i++)
		add_text(c, (int)i + 1, key->pair[i].name);
	lua_rawseti(c->lua, -2, 2);
	return 1;
}

/* ---- sorted sets: kept in order */

static int by_score(const void *a, const void *b)
{
	const struct db_pair *x = a, *y = b;

	if (x->score != y->score)
		return x->score < y->score ? -1 : 1;
	size_t len = x->name.len < y->name.len ? x->name.len : y->name.len;
	int order = memcmp(x->name.s, y->name.s, len);
	return order ? order : (x->name.len > y->name.len) - (x->name.len < y->name.len);
}

static int cmd_zadd(struct call *c)
{
	struct db_key *key = need(c->db, c->arg[1], DB_ZSET);
	bool is_new;

	bug_if(c->n != 4);
	pair_need(key, c->arg[3], &is_new)->score = number(c->arg[2]);
	if (key->len > 1)
		qsort(key->pair, key->len, sizeof(*key->pair), by_score);
	return reply_number(c, is_new);
}

static int cmd_zrange(struct call *c)
{
	const struct db_key *key = find(c->db, c->arg[1]);
	int64_t len = key ? (int64_t)key->len : 0;
	int64_t first = (int64_t)number(c->arg[2]), last = (int64_t)number(c->arg[3]);
	bool with_scores = c->n == 5 && is_word(c->arg[4], "WITHSCORES");
	char score[32];
	int n = 0;

	bug_if(c->n != 4 && !with_scores);
	first = first < 0 ? first + len : first;
	last = last < 0 ? last + len : last;
	lua_newtable(c->lua);
	for (int64_t i = first < 0 ? 0 : first; key && i <= last && i < len; i++) {
		add_text(c, ++n, key->pair[i].name);
		if (!with_scores)
			continue;
		int used = snprintf(score, sizeof(score), "%.17g", key->pair[i].score);
		add_text(c, ++n, (struct text){score, (size_t)used});
	}
	return 1;
}

static bool is_within(const struct db_pair *pair, struct text least, struct text most)
{
	double low = is_word(least, "-inf") ? -INFINITY : number(least);
	double high = is_word(most, "+inf") ? INFINITY : number(most);

	return pair->score >= low && pair->score <= high;
}

static int cmd_zcount(struct call *c)
{
	const struct db_key *key = find(c->db, c->arg[1]);
	size_t n = 0;

	for (size_t i = 0; key && i < key->len; i++)
		n += is_within(&key->pair[i], c->arg[2], c->arg[3]);
	return reply_number(c, n);
}

static int cmd_zrangebyscore(struct call *c)
{
	const struct db_key *key = find(c->db, c->arg[1]);
	int n = 0;

	lua_newtable(c->lua);
	for (size_t i = 0; key && i < key->len; i++)
		if (is_within(&key->pair[i], c->arg[2], c->arg[3]))
			add_text(c, ++n, key->pair[i].name);
	return 1;
}

static int cmd_zremrangebyscore(struct call *c)
{
	struct db_key *key = find(c->db, c->arg[1]);
	size_t left = 0, before = key ? key->len : 0;

	for (size_t i = 0; i < before; i++)
		if (!is_within(&key->pair[i], c->arg[2], c->arg[3]))
			key->pair[left++] = key->pair[i];
	if (key)
		key->len = left;
	if (key && left == 0)
		drop(c->db, key);
	return reply_number(c, before - left);
}

/* ---- streams */

static void trim(struct db_key *key, size_t most)
{
	while (key->len - key->first > most)
		key->first++;
}

static struct text id_text(uint64_t ms, uint64_t seq)
{
	char text[48];
	int len = snprintf(text, sizeof(text), "%" PRIu64 "-%" PRIu64, ms, seq);

	return keep((struct text){text, (size_t)len});
}

static void note_added(struct db *db, const struct db_entry *entry)
{
	db->nadded++;
	db->added_id = entry->id;
	for (size_t i = 0; i + 1 < entry->nparts; i += 2) {
		if (is_word(entry->part[i], "a"))
			db->added_asset = entry->part[i + 1];
		if (is_word(entry->part[i], "k"))
			db->added_kind = entry->part[i + 1];
	}
}

static int cmd_xadd(struct call *c)
{
	struct db_key *key = need(c->db, c->arg[1], DB_STREAM);
	bool has_most = is_word(c->arg[2], "MAXLEN");
	int at = has_most ? 5 : 2;
	uint64_t now_ms = c->db->now_us / 1000;

	bug_if((has_most && !is_word(c->arg[3], "~")) || !is_word(c->arg[at], "*"));
	bool is_later = now_ms > key->last_ms;
	key->last_seq = is_later ? 0 : key->last_seq + 1;
	key->last_ms = is_later ? now_ms : key->last_ms;
	key->entry = grow(key->entry, key->len, &key->cap, sizeof(*key->entry));
	struct db_entry *entry = &key->entry[key->len++];
	*entry = (struct db_entry){.ms = key->last_ms,
	    .seq = key->last_seq,
	    .id = id_text(key->last_ms, key->last_seq),
	    .nparts = (size_t)(c->n - at - 1)};
	entry->part = world_alloc(entry->nparts * sizeof(*entry->part));
	for (size_t i = 0; i < entry->nparts; i++)
		entry->part[i] = keep(c->arg[at + 1 + (int)i]);
	if (has_most && c->db->trims_early)
		trim(key, whole(c->arg[4]));
	note_added(c->db, entry);
	return reply_text(c, entry->id);
}

static int cmd_xlen(struct call *c)
{
	const struct db_key *key = find(c->db, c->arg[1]);

	return reply_number(c, key ? key->len - key->first : 0);
}

struct bound {
	uint64_t ms, seq;
	bool is_open;
};

static struct bound bound_of(struct text text)
{
	struct bound bound = {0};

	if (is_word(text, "-"))
		return bound;
	if (is_word(text, "+"))
		return (struct bound){UINT64_MAX, UINT64_MAX, false};
	bound.is_open = text.s[0] == '(';
	char *dash;
	bound.ms = strtoull(text.s + bound.is_open, &dash, 10);
	bug_if(*dash != '-');
	bound.seq = strtoull(dash + 1, NULL, 10);
	return bound;
}

static int compare(const struct db_entry *entry, struct bound bound)
{
	if (entry->ms != bound.ms)
		return entry->ms < bound.ms ? -1 : 1;
	return entry->seq < bound.seq ? -1 : entry->seq > bound.seq;
}

static void add_entry(struct call *c, int i, const struct db_entry *entry)
{
	lua_createtable(c->lua, 2, 0);
	add_text(c, 1, entry->id);
	lua_createtable(c->lua, (int)entry->nparts, 0);
	for (size_t p = 0; p < entry->nparts; p++)
		add_text(c, (int)p + 1, entry->part[p]);
	lua_rawseti(c->lua, -2, 2);
	lua_rawseti(c->lua, -2, i);
}

static bool is_between(const struct db_entry *entry, struct bound from, struct bound to)
{
	int low = compare(entry, from), high = compare(entry, to);

	return (low > 0 || (low == 0 && !from.is_open)) && (high < 0 || (high == 0 && !to.is_open));
}

static int entries(struct call *c, struct text from, struct text to, bool is_reversed)
{
	const struct db_key *key = find(c->db, c->arg[1]);
	struct bound low = bound_of(from), high = bound_of(to);
	uint64_t most = UINT64_MAX;
	int n = 0;

	bug_if(c->n != 4 && !(c->n == 6 && is_word(c->arg[4], "COUNT")));
	if (c->n == 6)
		most = whole(c->arg[5]);
	lua_newtable(c->lua);
	for (size_t i = key ? key->first : 0; key && i < key->len && (uint64_t)n < most; i++) {
		size_t at = is_reversed ? key->len - 1 - (i - key->first) : i;
		if (is_between(&key->entry[at], low, high))
			add_entry(c, ++n, &key->entry[at]);
	}
	return 1;
}

static int cmd_xrange(struct call *c)
{
	return entries(c, c->arg[2], c->arg[3], false);
}

static int cmd_xrevrange(struct call *c)
{
	return entries(c, c->arg[3], c->arg[2], true);
}

/* ---- the table */

static const struct {
	const char *name;
	int (*run)(struct call *c);
	int least; /* arguments, name included */
	bool writes;
} commands[] = {
    {"HMGET", cmd_hmget, 3, false},
    {"HGET", cmd_hget, 3, false},
    {"HSET", cmd_hset, 4, true},
    {"TIME", cmd_time, 1, false},
    {"INFO", cmd_info, 2, false},
    {"XRANGE", cmd_xrange, 4, false},
    {"XREVRANGE", cmd_xrevrange, 4, false},
    {"EXISTS", cmd_exists, 2, false},
    {"PEXPIRE", cmd_pexpire, 3, true},
    {"PEXPIREAT", cmd_pexpireat, 3, true},
    {"XADD", cmd_xadd, 5, true},
    {"XLEN", cmd_xlen, 2, false},
    {"GET", cmd_get, 2, false},
    {"GETDEL", cmd_getdel, 2, true},
    {"SET", cmd_set, 3, true},
    {"SETNX", cmd_setnx, 3, true},
    {"DEL", cmd_del, 2, true},
    {"HGETALL", cmd_hgetall, 2, false},
    {"HDEL", cmd_remove, 3, true},
    {"SADD", cmd_sadd, 3, true},
    {"SREM", cmd_remove, 3, true},
    {"SCARD", cmd_card, 2, false},
    {"SSCAN", cmd_sscan, 3, false},
    {"ZADD", cmd_zadd, 4, true},
    {"ZREM", cmd_remove, 3, true},
    {"ZCARD", cmd_card, 2, false},
    {"ZCOUNT", cmd_zcount, 4, false},
    {"ZRANGE", cmd_zrange, 4, false},
    {"ZRANGEBYSCORE", cmd_zrangebyscore, 4, false},
    {"ZREMRANGEBYSCORE", cmd_zremrangebyscore, 4, true},
};

int db_command(struct db *db, lua_State *lua)
{
	struct call call = {.db = db, .lua = lua, .n = lua_gettop(lua)};

	if (call.n < 1 || call.n > ARGS_MAX)
		return luaL_error(lua, "sim: %d arguments", call.n);
	for (int i = 0; i < call.n; i++)
		call.arg[i].s = luaL_checklstring(lua, i + 1, &call.arg[i].len);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (!is_word(call.arg[0], commands[i].name))
			continue;
		if (call.n < commands[i].least)
			return luaL_error(lua, "ERR wrong number of arguments");
		if (commands[i].writes && db->is_readonly)
			return luaL_error(
			    lua, "READONLY You can't write against a read only replica.");
		return commands[i].run(&call);
	}
	return luaL_error(lua, "sim: tests/sim/db.c has no command %s", call.arg[0].s);
}

/* ---- all of it */

static void copy_key(struct db_key *key)
{
	if (key->pair)
		key->pair =
		    (struct db_pair *)(void *)world_copy(key->pair, key->cap * sizeof(*key->pair));
	if (key->entry)
		key->entry = (struct db_entry *)(void *)world_copy(
		    key->entry, key->cap * sizeof(*key->entry));
}

void db_copy(struct db *to, const struct db *from)
{
	*to = *from;
	to->key = world_alloc(from->cap * sizeof(*from->key));
	if (from->nkeys)
		memcpy(to->key, from->key, from->nkeys * sizeof(*from->key));
	for (size_t i = 0; i < to->nkeys; i++)
		copy_key(&to->key[i]);
}

void db_flush(struct db *db)
{
	db->nkeys = 0;
}
