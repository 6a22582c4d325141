#include "common/heap.h"

#include <event2/event.h>
#include <jansson.h>
#include <malloc.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* The usable size covers what a block grew into, and both libraries' blocks may still end in plain free(). */
void heap_free(void *block)
{
	if (block)
		sodium_memzero(block, malloc_usable_size(block));
	free(block);
}

/* realloc may move, and leaves the old block as it was. */
void *heap_move(void *block, size_t size)
{
	size_t had = block ? malloc_usable_size(block) : 0;
	void *moved = malloc(size);

	if (!moved)
		return NULL;
	if (block)
		memcpy(moved, block, had < size ? had : size);
	heap_free(block);
	return moved;
}

#if defined(__SANITIZE_ADDRESS__)
#define DELETE_IS_CHECKED /* to be the sanitizer's own */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define DELETE_IS_CHECKED
#endif
#endif

#ifndef DELETE_IS_CHECKED
/* operator delete, sized and not, by the names that the C++ ABI gives them: libzmq copies what it encrypts into a vector that it does not wipe. A program
 * may replace these functions, and its definitions come before those of any library. */
void _ZdlPv(void *block);
void _ZdlPvm(void *block, size_t size);

void _ZdlPv(void *block)
{
	heap_free(block);
}

void _ZdlPvm(void *block, size_t size)
{
	(void)size;
	heap_free(block);
}
#endif

void heap_wipe_freed(void)
{
	json_set_alloc_funcs(malloc, heap_free);
	event_set_mem_functions(malloc, heap_move, heap_free);
}
