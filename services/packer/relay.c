#include "services/packer/relay.h"

#include <pthread.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/error.h"

struct relay {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	size_t first, n; /* blocks that are full */
	bool is_taken;   /* the first of them, by relay_take() */
	bool has_ended, is_stopped;
	size_t len[RELAY_BLOCKS];
	uint8_t block[RELAY_BLOCKS][RELAY_BLOCK];
};

struct relay *relay_new(void)
{
	struct relay *relay = calloc(1, sizeof(*relay));

	bug_if(!relay || pthread_mutex_init(&relay->mutex, NULL) != 0 ||
	       pthread_cond_init(&relay->changed, NULL) != 0);
	return relay;
}

void relay_destroy(struct relay **relay)
{
	if (!*relay)
		return;
	pthread_cond_destroy(&(*relay)->changed);
	pthread_mutex_destroy(&(*relay)->mutex);
	sodium_memzero(*relay, sizeof(**relay));
	free(*relay);
	*relay = NULL;
}

static void lock(struct relay *relay)
{
	bug_if(pthread_mutex_lock(&relay->mutex) != 0);
}

/* Of the two threads one waits at most. */
static void unlock(struct relay *relay)
{
	bug_if(
	    pthread_cond_signal(&relay->changed) != 0 || pthread_mutex_unlock(&relay->mutex) != 0);
}

static void wait_for_other(struct relay *relay)
{
	bug_if(pthread_cond_wait(&relay->changed, &relay->mutex) != 0);
}

uint8_t *relay_room(struct relay *relay)
{
	lock(relay);
	while (relay->n == RELAY_BLOCKS && !relay->is_stopped)
		wait_for_other(relay);
	uint8_t *room =
	    relay->is_stopped ? NULL : relay->block[(relay->first + relay->n) % RELAY_BLOCKS];
	unlock(relay);
	return room;
}

void relay_put(struct relay *relay, size_t len)
{
	lock(relay);
	bug_if(relay->n == RELAY_BLOCKS || len == 0 || len > RELAY_BLOCK);
	relay->len[(relay->first + relay->n) % RELAY_BLOCKS] = len;
	relay->n++;
	unlock(relay);
}

void relay_end(struct relay *relay)
{
	lock(relay);
	relay->has_ended = true;
	unlock(relay);
}

void relay_stop(struct relay *relay)
{
	lock(relay);
	relay->is_stopped = true;
	unlock(relay);
}

static void give_back(struct relay *relay)
{
	if (!relay->is_taken)
		return;
	relay->first = (relay->first + 1) % RELAY_BLOCKS;
	relay->n--;
	relay->is_taken = false;
	bug_if(pthread_cond_signal(&relay->changed) != 0);
}

size_t relay_take(struct relay *relay, const uint8_t **bytes_r)
{
	size_t len = 0;

	lock(relay);
	give_back(relay);
	while (relay->n == 0 && !relay->has_ended && !relay->is_stopped)
		wait_for_other(relay);
	if (relay->n > 0 && !relay->is_stopped) {
		relay->is_taken = true;
		len = relay->len[relay->first];
		*bytes_r = relay->block[relay->first];
	}
	unlock(relay);
	return len;
}
