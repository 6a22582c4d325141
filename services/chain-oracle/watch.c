#include "services/chain-oracle/watch.h"

#include <search.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/error.h"

#define WATCHED_MAX 1000000
#define KEEP_MS 600000
#define KEEP_SPREAD_MS 300000 /* so that not all are asked about at once */

struct watch {
	struct watch_hooks hooks;
	void *tree; /* of struct watched, by asset */
	size_t len;
	uint64_t round;
};

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct watched *)a)->asset, ((const struct watched *)b)->asset);
}

struct watch *watch_new(const struct watch_hooks *hooks)
{
	struct watch *watch = calloc(1, sizeof(*watch));
	bug_if(!watch);
	watch->hooks = *hooks;
	return watch;
}

void watch_destroy(struct watch **watch)
{
	if (!*watch)
		return;
	tdestroy((*watch)->tree, free);
	free(*watch);
	*watch = NULL;
}

size_t watch_len(const struct watch *watch)
{
	return watch->len;
}

struct watched *watch_find(struct watch *watch, const char *asset)
{
	struct watched key;
	snprintf(key.asset, sizeof(key.asset), "%s", asset);
	void *found = tfind(&key, &watch->tree, compare);
	return found ? *(struct watched **)found : NULL;
}

void watch_keep(struct watched *watched)
{
	watched->ask_at_ms = clock_boot_ms() + KEEP_MS + randombytes_uniform(KEEP_SPREAD_MS);
}

struct watched *watch_add(struct watch *watch, const char *asset)
{
	struct watched *watched = watch_find(watch, asset);
	if (watched) {
		watched->round = watch->round;
		return watched;
	}
	if (watch->len == WATCHED_MAX)
		return NULL;
	watched = calloc(1, sizeof(*watched));
	bug_if(!watched);
	snprintf(watched->asset, sizeof(watched->asset), "%s", asset);
	watched->round = watch->round;
	watch_keep(watched);
	bug_if(!tsearch(watched, &watch->tree, compare));
	watch->len++;
	watch->hooks.added(watch->hooks.arg, watched->asset);
	return watched;
}

void watch_remove(struct watch *watch, const char *asset)
{
	struct watched *watched = watch_find(watch, asset);
	if (!watched)
		return;
	tdelete(watched, &watch->tree, compare);
	watch->len--;
	watch->hooks.removed(watch->hooks.arg, watched->asset);
	free(watched);
}

struct walk {
	void (*each)(void *arg, struct watched *watched);
	void *arg;
};

static void walk_node(const void *node, VISIT visit, void *arg)
{
	const struct walk *walk = arg;
	if (visit == postorder || visit == leaf)
		walk->each(walk->arg, *(struct watched *const *)node);
}

void watch_each(struct watch *watch, void (*each)(void *arg, struct watched *watched), void *arg)
{
	struct walk walk = {each, arg};
	twalk_r(watch->tree, walk_node, &walk);
}

static void unsee(void *arg, struct watched *watched)
{
	(void)arg;
	watched->seen_slot = 0;
}

void watch_unsee(struct watch *watch)
{
	watch_each(watch, unsee, NULL);
}

void watch_list_begin(struct watch *watch)
{
	watch->round++;
}

struct unlisted {
	uint64_t round;
	size_t len;
	struct watched **watched;
};

static void collect_unlisted(void *arg, struct watched *watched)
{
	struct unlisted *unlisted = arg;
	if (watched->round != unlisted->round)
		unlisted->watched[unlisted->len++] = watched;
}

void watch_list_end(struct watch *watch)
{
	struct unlisted unlisted = {.round = watch->round};
	unlisted.watched = calloc(watch->len + 1, sizeof(struct watched *));
	bug_if(!unlisted.watched);
	watch_each(watch, collect_unlisted, &unlisted);
	for (size_t i = 0; i < unlisted.len; i++)
		watch_remove(watch, unlisted.watched[i]->asset);
	free(unlisted.watched);
}
