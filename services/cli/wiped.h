/* wiped - heap memory that is overwritten when it is freed, for values on their way through. */
#ifndef CLI_WIPED_H
#define CLI_WIPED_H

#include <stddef.h>

/* As realloc: what is left behind is wiped. NULL if there is no memory. */
void *wiped_grow(void *old, size_t old_size, size_t size);
/* NULL is accepted; any pointer of malloc's is. */
void wiped_free(void *bytes);

static inline void wiped_scoped_fn(void *p)
{
	wiped_free(*(void **)p);
}
#define scoped_wiped __attribute__((cleanup(wiped_scoped_fn)))

#endif
