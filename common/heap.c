#include "common/heap.h"

#include <event2/event.h>
#include <jansson.h>
#include <malloc.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* The usable size covers what a block grew into, and both libraries' blocks may still end in plain free(). */
static void wipe_and_free(void *block)
{
	if (block)
		sodium_memzero(block, malloc_usable_size(block));
	free(block);
}

/* realloc may move, and leaves the old block as it was. */
static void *move_and_wipe(void *block, size_t size)
{
	size_t had = block ? malloc_usable_size(block) : 0;
	void *moved = malloc(size);

	if (!moved)
		return NULL;
	if (block)
		memcpy(moved, block, had < size ? had : size);
	wipe_and_free(block);
	return moved;
}

void heap_wipe_freed(void)
{
	json_set_alloc_funcs(malloc, wipe_and_free);
	event_set_mem_functions(malloc, move_and_wipe, wipe_and_free);
}
