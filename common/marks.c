#include "common/marks.h"

#include <sodium.h>
#include <stdlib.h>

struct marks {
	uint8_t key[crypto_shorthash_KEYBYTES];
	struct event_id everything;
	struct event_id bucket[MARKS_BUCKETS];
};

struct marks *marks_new(void)
{
	struct marks *marks = calloc(1, sizeof(*marks));
	bug_if(!marks);
	randombytes_buf(marks->key, sizeof(marks->key));
	return marks;
}

void marks_destroy(struct marks **marks)
{
	free(*marks);
	*marks = NULL;
}

static size_t bucket_of(const struct marks *marks, const char *asset)
{
	uint8_t hash[crypto_shorthash_BYTES];
	crypto_shorthash(hash, (const uint8_t *)asset, strlen(asset), marks->key);
	return (size_t)hash[0] << 8 | hash[1];
}

void marks_add(struct marks *marks, const char *asset, struct event_id id)
{
	struct event_id *mark =
	    strcmp(asset, "*") == 0 ? &marks->everything : &marks->bucket[bucket_of(marks, asset)];
	if (event_id_compare(id, *mark) > 0)
		*mark = id;
}

void marks_restart(struct marks *marks, struct event_id head)
{
	memset(marks->bucket, 0, sizeof(marks->bucket));
	marks->everything = head;
}

bool marks_is_current(const struct marks *marks, const char *asset, struct event_id position)
{
	return event_id_compare(position, marks->everything) >= 0 &&
	       event_id_compare(position, marks->bucket[bucket_of(marks, asset)]) >= 0;
}
