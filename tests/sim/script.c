#include "tests/sim/script.h"

#include <luajit-2.1/lauxlib.h>
#include <luajit-2.1/luajit.h>
#include <luajit-2.1/lualib.h>
#include <openssl/sha.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "tests/sim/bugs.h"
#include "tests/sim/world.h"

#define COMPILED_MAX 16

static struct {
	lua_State *lua;
	struct db *db; /* of the call under way */
	struct {
		const char *text;
		enum script_size size;
		int function;
	} compiled[COMPILED_MAX];
	size_t ncompiled;
} own;

/* ---- what a script sees */

static int lua_call_command(lua_State *lua)
{
	return db_command(own.db, lua);
}

static int lua_sha1hex(lua_State *lua)
{
	size_t len;
	const char *text = luaL_checklstring(lua, 1, &len);
	unsigned char digest[SHA_DIGEST_LENGTH];
	char hex[2 * SHA_DIGEST_LENGTH + 1];

	SHA1((const unsigned char *)text, len, digest);
	lua_pushstring(lua, sodium_bin2hex(hex, sizeof(hex), digest, sizeof(digest)));
	return 1;
}

static int lua_error_reply(lua_State *lua)
{
	lua_createtable(lua, 0, 1);
	lua_pushvalue(lua, 1);
	lua_setfield(lua, -2, "err");
	return 1;
}

static void open_lua(void)
{
	static const luaL_Reg functions[] = {{"call", lua_call_command}, {"sha1hex", lua_sha1hex},
	    {"error_reply", lua_error_reply}, {NULL, NULL}};

	own.lua = luaL_newstate();
	bug_if(!own.lua);
	luaL_openlibs(own.lua);
	/* (a new trace costs two system calls, and hardly any runs often) */
	luaJIT_setmode(own.lua, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
	lua_gc(own.lua, LUA_GCSETPAUSE, 1000);
	luaL_register(own.lua, "redis", functions);
	lua_pop(own.lua, 1);
}

/* ---- compiling */

/* Caller frees. */
static char *replaced(char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);

	if (!at || strstr(at + 1, from))
		fatal("sim: \"%s\" is not there exactly once in the script", from);
	size_t len = strlen(text) - strlen(from) + strlen(to) + 1;
	char *changed = malloc(len);
	bug_if(!changed);
	snprintf(changed, len, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
	free(text);
	return changed;
}

static char *edited(const char *text, enum script_size size)
{
	static const char kept[] = "local EVENTS_KEPT = 250000";
	static const char read[] = "local EVENTS_PER_READ = 1000";
	static const char *const sizes[SCRIPT_SIZES][2] = {
	    [SCRIPT_AS_IS] = {kept, read},
	    [SCRIPT_SHORT] = {"local EVENTS_KEPT = 12", "local EVENTS_PER_READ = 3"},
	    [SCRIPT_SHORTEST] = {"local EVENTS_KEPT = 4", "local EVENTS_PER_READ = 1"},
	};
	char *copy = strdup(text);

	bug_if(!copy);
	if (!strstr(text, kept))
		return copy;
	copy = replaced(copy, kept, sizes[size][0]);
	copy = replaced(copy, read, sizes[size][1]);
	for (const struct bug_edit *edit = bug_edits(); edit && edit->from; edit++)
		copy = replaced(copy, edit->from, edit->to);
	return copy;
}

static int compile(const char *text, enum script_size size)
{
	for (size_t i = 0; i < own.ncompiled; i++)
		if (own.compiled[i].text == text && own.compiled[i].size == size)
			return own.compiled[i].function;
	if (!own.lua)
		open_lua();
	bug_if(own.ncompiled == COMPILED_MAX);
	char *copy = edited(text, size);
	if (luaL_loadbuffer(own.lua, copy, strlen(copy), "script") != 0)
		fatal("sim: %s", lua_tostring(own.lua, -1));
	free(copy);
	int function = luaL_ref(own.lua, LUA_REGISTRYINDEX);
	own.compiled[own.ncompiled].text = text;
	own.compiled[own.ncompiled].size = size;
	own.compiled[own.ncompiled++].function = function;
	return function;
}

/* ---- replies */

static redisReply *reply_new(int type, const char *text, size_t len)
{
	redisReply *reply = world_alloc(sizeof(*reply));

	reply->type = type;
	reply->str = world_copy(text, len);
	reply->len = len;
	return reply;
}

static redisReply *reply_of(lua_State *lua, int at);

static redisReply *reply_of_list(lua_State *lua, int at)
{
	redisReply *reply = reply_new(REDIS_REPLY_ARRAY, "", 0);
	size_t n = lua_objlen(lua, at);

	reply->elements = n;
	reply->element = world_alloc((n + 1) * sizeof(redisReply *));
	for (size_t i = 0; i < n; i++) {
		lua_rawgeti(lua, at, (int)i + 1);
		reply->element[i] = reply_of(lua, lua_gettop(lua));
		lua_pop(lua, 1);
	}
	return reply;
}

static redisReply *reply_of_table(lua_State *lua, int at)
{
	size_t len;

	lua_getfield(lua, at, "err");
	const char *text = lua_tolstring(lua, -1, &len);
	redisReply *reply = text ? reply_new(REDIS_REPLY_ERROR, text, len) : NULL;
	lua_pop(lua, 1);
	return reply ? reply : reply_of_list(lua, at);
}

static redisReply *reply_of(lua_State *lua, int at)
{
	size_t len;
	const char *text;
	redisReply *reply;

	switch (lua_type(lua, at)) {
	case LUA_TSTRING:
		text = lua_tolstring(lua, at, &len);
		return reply_new(REDIS_REPLY_STRING, text, len);
	case LUA_TNUMBER:
		reply = reply_new(REDIS_REPLY_INTEGER, "", 0);
		reply->integer = (long long)lua_tonumber(lua, at);
		return reply;
	case LUA_TTABLE:
		return reply_of_table(lua, at);
	default:
		return reply_new(REDIS_REPLY_NIL, "", 0);
	}
}

redisReply *script_run(struct db *db, enum script_size size, const char *text, int argc,
    const char *const *argv, const size_t *argvlen)
{
	int function = compile(text, size);
	lua_State *lua = own.lua;
	redisReply *reply;
	size_t len;

	own.db = db;
	db->nadded = 0;
	lua_createtable(lua, argc, 0);
	for (int i = 0; i < argc; i++) {
		lua_pushlstring(lua, argv[i], argvlen[i]);
		lua_rawseti(lua, -2, i + 1);
	}
	lua_setglobal(lua, "ARGV");
	lua_rawgeti(lua, LUA_REGISTRYINDEX, function);
	bool failed = lua_pcall(lua, 0, 1, 0) != 0;
	if (failed) {
		const char *why = lua_tolstring(lua, -1, &len);
		/* only what Redis itself would refuse is an answer */
		if (!strstr(why, "READONLY"))
			fatal("sim: script: %s", why);
		reply = reply_new(REDIS_REPLY_ERROR, why, len);
	} else {
		reply = reply_of(lua, lua_gettop(lua));
	}
	lua_settop(lua, 0);
	return reply;
}

void script_close(void)
{
	if (own.lua)
		lua_close(own.lua);
	own.lua = NULL;
	own.ncompiled = 0;
}
