/* script - the suite's Lua scripts (common/ledger.lua), run as Redis runs them: the text that the caller sends, in Lua 5.1, with redis.call on a db. */
#ifndef SIM_SCRIPT_H
#define SIM_SCRIPT_H

#include <hiredis/hiredis.h>

#include "tests/sim/db.h"

/* How long the stream is kept, and how much one read brings: the script's own numbers, or small ones, so that seeds meet them. */
enum script_size { SCRIPT_AS_IS, SCRIPT_SHORT, SCRIPT_SHORTEST, SCRIPT_SIZES };

/* The reply lives as long as the seed. */
redisReply *script_run(struct db *db, enum script_size size, const char *text, int argc,
    const char *const *argv, const size_t *argvlen);
/* Forgets what was compiled. */
void script_close(void);

#endif
