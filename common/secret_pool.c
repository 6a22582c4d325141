#include "common/secret_pool.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"

#define FENCE_LEN 16
#define SLOTS_PER_CHUNK 128

struct shelf {
	size_t slot_len; /* with its fence */
	uint8_t **free;
	size_t nfree, nslots;
};
static struct pool {
	pthread_mutex_t mutex;
	uint8_t fence[FENCE_LEN]; /* random, once */
	bool has_fence;
	struct shelf shelf[3];
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER,
    .shelf = {{.slot_len = 64}, {.slot_len = 192}, {.slot_len = SECRET_POOL_MAX + FENCE_LEN}}};

static struct shelf *shelf_for(size_t len)
{
	struct shelf *shelf = pool.shelf;

	bug_if(len > SECRET_POOL_MAX);
	while (len + FENCE_LEN > shelf->slot_len)
		shelf++;
	return shelf;
}

static uint8_t *fence_of(const struct shelf *shelf, uint8_t *slot)
{
	return slot + shelf->slot_len - FENCE_LEN;
}

/* The list of what is free has room for every slot there is: giving back cannot fail. */
static void grow(struct shelf *shelf)
{
	uint8_t *chunk = sodium_malloc(SLOTS_PER_CHUNK * shelf->slot_len);

	shelf->nslots += SLOTS_PER_CHUNK;
	shelf->free = reallocarray(shelf->free, shelf->nslots, sizeof(shelf->free[0]));
	bug_if(!chunk || !shelf->free);
	if (!pool.has_fence)
		randombytes_buf(pool.fence, sizeof(pool.fence));
	pool.has_fence = true;
	memset(chunk, 0, SLOTS_PER_CHUNK * shelf->slot_len);
	for (size_t i = 0; i < SLOTS_PER_CHUNK; i++) {
		uint8_t *slot = chunk + i * shelf->slot_len;
		memcpy(fence_of(shelf, slot), pool.fence, FENCE_LEN);
		shelf->free[shelf->nfree++] = slot;
	}
}

uint8_t *secret_pool_take(size_t len)
{
	struct shelf *shelf = shelf_for(len);

	bug_if(pthread_mutex_lock(&pool.mutex) != 0);
	if (shelf->nfree == 0)
		grow(shelf);
	uint8_t *slot = shelf->free[--shelf->nfree];
	bug_if(pthread_mutex_unlock(&pool.mutex) != 0);
	return slot;
}

void secret_pool_give(uint8_t *bytes, size_t len)
{
	struct shelf *shelf = shelf_for(len);

	bug_if(memcmp(fence_of(shelf, bytes), pool.fence, FENCE_LEN) != 0);
	sodium_memzero(bytes, shelf->slot_len - FENCE_LEN);
	bug_if(pthread_mutex_lock(&pool.mutex) != 0);
	shelf->free[shelf->nfree++] = bytes;
	bug_if(pthread_mutex_unlock(&pool.mutex) != 0);
}
