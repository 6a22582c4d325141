/* heap - memory that libraries free is wiped first, so that what passed through their buffers (bodies, parsed JSON, messages before they were encrypted)
 * is not left lying in the heap. What json_dumps returns is the caller's to wipe. */
#ifndef COMMON_HEAP_H
#define COMMON_HEAP_H

#include <stddef.h>

/* From now on jansson and libevent wipe what they free. C++ libraries do so in every program that links this. */
void heap_wipe_freed(void);

/* free and realloc that wipe, for a library that takes such (libcurl: common/curl_loop.c). */
void heap_free(void *block);
void *heap_move(void *block, size_t size);

#endif
