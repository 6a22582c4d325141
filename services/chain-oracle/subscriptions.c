#include "services/chain-oracle/subscriptions.h"

#include <search.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare_assets(const void *a, const void *b)
{
	return strcmp(
	    ((const struct subscription *)a)->asset, ((const struct subscription *)b)->asset);
}

static int compare_ids(const void *a, const void *b)
{
	uint64_t x = ((const struct subscription *)a)->id, y = ((const struct subscription *)b)->id;
	return x < y ? -1 : x > y;
}

static struct subscription *find_asset(struct subscriptions *all, const char *asset)
{
	struct subscription key;
	snprintf(key.asset, sizeof(key.asset), "%s", asset);
	void *found = tfind(&key, &all->by_asset, compare_assets);
	return found ? *(struct subscription **)found : NULL;
}

static struct subscription *find_asked(struct subscriptions *all, uint64_t request)
{
	struct subscription *subscription;
	TAILQ_FOREACH(subscription, &all->list[SUBSCRIPTION_ASKED], link)
	if (subscription->request == request)
		return subscription;
	return NULL;
}

const struct subscription *subscriptions_find(struct subscriptions *all, uint64_t id)
{
	const struct subscription key = {.id = id};
	void *found = tfind(&key, &all->by_id, compare_ids);
	return found ? *(struct subscription **)found : NULL;
}

static void move(
    struct subscriptions *all, struct subscription *subscription, enum subscription_state state)
{
	all->nasked -= subscription->state == SUBSCRIPTION_ASKED;
	all->nasked += state == SUBSCRIPTION_ASKED;
	TAILQ_REMOVE(&all->list[subscription->state], subscription, link);
	subscription->state = state;
	TAILQ_INSERT_TAIL(&all->list[state], subscription, link);
}

static void forget(struct subscriptions *all, struct subscription *subscription)
{
	all->nasked -= subscription->state == SUBSCRIPTION_ASKED;
	TAILQ_REMOVE(&all->list[subscription->state], subscription, link);
	if (subscription->kind == SUBSCRIPTION_ACCOUNT)
		free(subscription);
}

static void keep(void *item)
{
	(void)item;
}

void subscriptions_open(struct subscriptions *all)
{
	*all = (struct subscriptions){.collection.kind = SUBSCRIPTION_COLLECTION};
	/* nobody can guess the id of a request */
	all->next_request = (uint64_t)randombytes_random() << 16;
	for (size_t state = 0; state < SUBSCRIPTION_STATES; state++)
		TAILQ_INIT(&all->list[state]);
	TAILQ_INSERT_TAIL(&all->list[SUBSCRIPTION_WANTED], &all->slots, link);
	TAILQ_INSERT_TAIL(&all->list[SUBSCRIPTION_WANTED], &all->collection, link);
}

void subscriptions_close(struct subscriptions *all)
{
	struct subscription *subscription;
	tdestroy(all->by_asset, keep);
	tdestroy(all->by_id, keep);
	for (size_t state = 0; state < SUBSCRIPTION_STATES; state++)
		while ((subscription = TAILQ_FIRST(&all->list[state])))
			forget(all, subscription);
}

static void want_first(struct subscriptions *all, struct subscription *subscription)
{
	TAILQ_REMOVE(&all->list[SUBSCRIPTION_WANTED], subscription, link);
	TAILQ_INSERT_HEAD(&all->list[SUBSCRIPTION_WANTED], subscription, link);
}

void subscriptions_start_over(struct subscriptions *all)
{
	struct subscription *subscription;
	for (size_t state = SUBSCRIPTION_ASKED; state < SUBSCRIPTION_STATES; state++) {
		while ((subscription = TAILQ_FIRST(&all->list[state]))) {
			if (subscription->dropped)
				forget(all, subscription);
			else
				move(all, subscription, SUBSCRIPTION_WANTED);
		}
	}
	tdestroy(all->by_id, keep);
	all->by_id = NULL;
	want_first(all, &all->collection);
	want_first(all, &all->slots);
}

bool subscriptions_has(struct subscriptions *all, const char *asset)
{
	return find_asset(all, asset);
}

/* Its answer is still to come, and would unsubscribe what is asked for again: equal subscriptions have equal ids. */
static struct subscription *find_dropped(struct subscriptions *all, const char *asset)
{
	struct subscription *subscription;
	TAILQ_FOREACH(subscription, &all->list[SUBSCRIPTION_ASKED], link)
	if (subscription->dropped && strcmp(subscription->asset, asset) == 0)
		return subscription;
	return NULL;
}

static struct subscription *account_new(struct subscriptions *all, const char *asset)
{
	struct subscription *subscription = calloc(1, sizeof(*subscription));
	bug_if(!subscription);
	subscription->kind = SUBSCRIPTION_ACCOUNT;
	snprintf(subscription->asset, sizeof(subscription->asset), "%s", asset);
	TAILQ_INSERT_TAIL(&all->list[SUBSCRIPTION_WANTED], subscription, link);
	return subscription;
}

void subscriptions_add(struct subscriptions *all, const char *asset)
{
	struct subscription *subscription = find_dropped(all, asset);
	if (!subscription)
		subscription = account_new(all, asset);
	subscription->dropped = false;
	bug_if(!tsearch(subscription, &all->by_asset, compare_assets));
	all->naccounts++;
}

bool subscriptions_remove(struct subscriptions *all, const char *asset, uint64_t *id_r)
{
	struct subscription *subscription = find_asset(all, asset);
	if (!subscription)
		return false;
	tdelete(subscription, &all->by_asset, compare_assets);
	all->naccounts--;
	if (subscription->state == SUBSCRIPTION_ASKED) {
		subscription->dropped = true; /* its answer tells what to unsubscribe */
		return false;
	}
	bool active = subscription->state == SUBSCRIPTION_ACTIVE;
	*id_r = subscription->id;
	if (active)
		tdelete(subscription, &all->by_id, compare_ids);
	forget(all, subscription);
	return active;
}

uint64_t subscriptions_request(struct subscriptions *all)
{
	return ++all->next_request;
}

struct subscription *subscriptions_ask(struct subscriptions *all)
{
	struct subscription *subscription = TAILQ_FIRST(&all->list[SUBSCRIPTION_WANTED]);
	if (!subscription || all->nasked == SUBSCRIPTIONS_ASKED_MAX)
		return NULL;
	subscription->request = subscriptions_request(all);
	move(all, subscription, SUBSCRIPTION_ASKED);
	return subscription;
}

int subscriptions_answered(struct subscriptions *all, uint64_t request, uint64_t id,
    bool *unsubscribe_r, struct error *err)
{
	struct subscription *subscription = find_asked(all, request);
	*unsubscribe_r = subscription && subscription->dropped;
	if (!subscription)
		return 0; /* of another request */
	if (subscription->dropped) {
		forget(all, subscription);
		return 0;
	}
	if (subscriptions_find(all, id))
		return error_set(err, ERR_INVALID, "one id for two subscriptions");
	subscription->id = id;
	bug_if(!tsearch(subscription, &all->by_id, compare_ids));
	move(all, subscription, SUBSCRIPTION_ACTIVE);
	return 0;
}

bool subscriptions_refused(struct subscriptions *all, uint64_t request)
{
	struct subscription *subscription = find_asked(all, request);
	if (!subscription)
		return false;
	if (subscription->dropped) {
		forget(all, subscription);
		return false;
	}
	bool first = TAILQ_EMPTY(&all->list[SUBSCRIPTION_REFUSED]);
	move(all, subscription, SUBSCRIPTION_REFUSED);
	return first;
}

bool subscriptions_settled(const struct subscriptions *all)
{
	return all->nasked == 0 && TAILQ_EMPTY(&all->list[SUBSCRIPTION_WANTED]);
}
