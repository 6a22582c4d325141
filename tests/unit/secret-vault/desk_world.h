/* desk_world - a desk as the worker has it: a store and marks in a folder of their own; master keys and periods for it. */
#ifndef TESTS_DESK_WORLD_H
#define TESTS_DESK_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/secret-vault/records.h"

#define DESK_ASSET "So11111111111111111111111111111111111111112"
#define DESK_WALLET "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
#define DESK_OTHER "Stake11111111111111111111111111111111111111"

struct desk_world {
	char folder[40];
	struct desk desk;
	struct error err;
};
int desk_world_open(void **state);
int desk_world_close(void **state);
/* The process has died and begun again: what was not committed is gone, and so are the keys. */
void desk_world_restart(struct desk_world *world);
/* Other marks, as if they were lost. */
void desk_world_lose_marks(struct desk_world *world);

void desk_begin(struct desk_world *world);
void desk_commit(struct desk_world *world);
#define GOOD(world, call) \
	do { \
		if ((call) < 0) \
			fail_msg("%s: %s", #call, (world)->err.text); \
	} while (0)

/* The same n, the same key. Caller owns the result. */
struct master *desk_master(struct desk_world *world, unsigned n);
/* A period of DESK_WALLET since slot, with one secret in it, in a transaction of its own. */
void desk_add_period(struct desk_world *world, uint64_t slot);
/* Its secret can be read. */
void desk_assert_readable(struct desk_world *world, uint64_t slot);
struct store_period desk_row(struct desk_world *world, uint64_t slot);

#endif
