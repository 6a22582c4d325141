#include "services/cli/wiped.h"

#include <malloc.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

void wiped_free(void *bytes)
{
	if (bytes)
		sodium_memzero(bytes, malloc_usable_size(bytes));
	free(bytes);
}

void *wiped_grow(void *old, size_t old_size, size_t size)
{
	void *grown = malloc(size);

	if (!grown)
		return NULL;
	if (old_size > 0)
		memcpy(grown, old, old_size);
	wiped_free(old);
	return grown;
}
