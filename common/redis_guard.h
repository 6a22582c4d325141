/* redis_guard - keeps hiredis alive when Redis lies: unguarded it aborts on an answer that
 * nobody asked for, and reserves what an array's header promises. Either now ends the
 * connection. Internal to redis_link.c. */
#ifndef COMMON_REDIS_GUARD_H
#define COMMON_REDIS_GUARD_H

#include <hiredis/async.h>

#define REDIS_ARRAY_MAX (4 << 20)

/* Before anything is read. */
void redis_guard(redisAsyncContext *ac);

#endif
