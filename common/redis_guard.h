/* redis_guard - keeps hiredis alive when Redis lies: unguarded it aborts on an answer that
 * nobody asked for, and reserves what an array's header promises. Either now ends the
 * connection. A Sentinel's answers are small: no array in an array, and no more elements than
 * the one answer has that we ask for. Internal to redis_link.c. */
#ifndef COMMON_REDIS_GUARD_H
#define COMMON_REDIS_GUARD_H

#include <hiredis/async.h>
#include <stdbool.h>

#define REDIS_ARRAY_MAX (4 << 20)
#define REDIS_SMALL_ARRAY_MAX 2

/* Before anything is read. */
void redis_guard(redisAsyncContext *ac, bool is_small);

#endif
