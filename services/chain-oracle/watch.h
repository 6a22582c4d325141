/* watch - the watched assets as this replica knows them: the members of mc:assets as last listed by the sweep, and what was added since. The
 * truth is in Redis; this is for subscribing to them, for reading not below what was already seen, and for forgetting them in time. */
#ifndef CHAIN_ORACLE_WATCH_H
#define CHAIN_ORACLE_WATCH_H

#include <stdbool.h>

#include "common/base58.h"

struct watched {
	char asset[PUBKEY_TEXT_MAX + 1];
	uint64_t seen_slot; /* of its record, when last told; 0: not known */
	uint64_t round;     /* of listing it was last seen in */
	uint64_t ask_at_ms; /* boot time at which to ask whether it can be forgotten */
};

struct watch;
struct watch_hooks {
	void (*added)(void *arg, const char *asset);
	void (*removed)(void *arg, const char *asset);
	void *arg;
};
struct watch *watch_new(const struct watch_hooks *hooks);
void watch_destroy(struct watch **watch);

size_t watch_len(const struct watch *watch);
/* Borrowed until it is removed; NULL if it is not watched. */
struct watched *watch_find(struct watch *watch, const char *asset);
/* Adds it unless it is there; counts as listed in the present round. NULL: a million is enough. */
struct watched *watch_add(struct watch *watch, const char *asset);
void watch_remove(struct watch *watch, const char *asset);
/* A session may have begun: do not ask to forget it for a while. */
void watch_keep(struct watched *watched);
/* Nothing seen before counts any more: records may begin anew. */
void watch_unsee(struct watch *watch);

/* A listing begins; at its end everything that it did not list, and that was not added meanwhile, is removed. */
void watch_list_begin(struct watch *watch);
void watch_list_end(struct watch *watch);

/* each must not add or remove. */
void watch_each(struct watch *watch, void (*each)(void *arg, struct watched *watched), void *arg);

#endif
