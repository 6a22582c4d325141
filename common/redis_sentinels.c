#include "common/redis_sentinels.h"

#include <arpa/inet.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"

#define ASK_MS 250u
#define ASK_SOON_MS 50u /* while no primary is known */
#define ADDRESS_MAX (INET6_ADDRSTRLEN + 8)
#define UNSURE_ROUNDS 8

struct sentinel {
	struct redis_sentinels *all;
	struct redis_link *link;
	bool asked;
	uint64_t asked_at;
	char said[ADDRESS_MAX]; /* since it was asked last; "": nothing */
};

struct redis_sentinels {
	struct redis_link *primary; /* borrowed */
	char *name;
	uint64_t timeout_ms;
	struct event *round;
	unsigned unsure; /* rounds in a row without a majority */

	struct metrics *metrics;
	struct metric *failovers, *agreeing, *here; /* here: of the primary's address */

	size_t n;
	struct sentinel sentinel[];
};

static size_t votes(const struct redis_sentinels *all, const char *address)
{
	size_t n = 0;

	for (size_t i = 0; address[0] && i < all->n; i++)
		n += strcmp(all->sentinel[i].said, address) == 0;
	return n;
}

static void note_primary(struct redis_sentinels *all, const char *address)
{
	char labels[ADDRESS_MAX + 16];

	if (all->here) {
		metric_set(all->here, 0);
		metric_add(all->failovers, 1);
	}
	snprintf(labels, sizeof(labels), "address=\"%s\"", address);
	all->here = metrics_gauge(all->metrics, "multiclaw_redis_primary",
	    "1 for the Redis that is followed as the primary", labels);
	metric_set(all->here, 1);
	log_info("the sentinels name the primary", "address", address);
}

static void count(struct redis_sentinels *all, const char *address)
{
	struct error err;

	if (votes(all, address) * 2 <= all->n)
		return;
	all->unsure = 0;
	if (strcmp(address, redis_link_address(all->primary)) == 0)
		return;
	if (redis_link_point(all->primary, address, &err) < 0)
		log_warn("the sentinels name no address", "why", err.text);
	else
		note_primary(all, address);
}

/* Two strings, address and port; nil if it knows no such primary. */
static bool read_address(const redisReply *reply, char said[ADDRESS_MAX])
{
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2)
		return false;
	const redisReply *ip = reply->element[0], *port = reply->element[1];
	if (ip->type != REDIS_REPLY_STRING || port->type != REDIS_REPLY_STRING)
		return false;
	bool is_v6 = memchr(ip->str, ':', ip->len) != NULL;
	int len = snprintf(said, ADDRESS_MAX, is_v6 ? "[%s]:%s" : "%s:%s", ip->str, port->str);
	return len > 0 && len < ADDRESS_MAX;
}

static void on_said(redisAsyncContext *ac, void *r, void *privdata)
{
	struct sentinel *sentinel = privdata;
	const redisReply *reply = ac->data ? r : NULL; /* not of a link that is given up */

	sentinel->asked = false;
	if (reply && read_address(reply, sentinel->said))
		count(sentinel->all, sentinel->said);
	else
		sentinel->said[0] = '\0';
}

static void ask(struct sentinel *sentinel)
{
	redisAsyncContext *ac = redis_link_context(sentinel->link);
	uint64_t now = clock_boot_ms();

	if (ac && sentinel->asked) {
		if (now - sentinel->asked_at < sentinel->all->timeout_ms)
			return;
		redis_link_drop(sentinel->link, "no answer in time");
		ac = NULL;
	}
	sentinel->said[0] = '\0';
	sentinel->asked =
	    ac && redisAsyncCommand(ac, on_said, sentinel, "SENTINEL get-master-addr-by-name %s",
		      sentinel->all->name) == REDIS_OK;
	sentinel->asked_at = now;
}

static void judge_round(struct redis_sentinels *all)
{
	size_t agreeing = votes(all, redis_link_address(all->primary));

	metric_set(all->agreeing, (double)agreeing);
	if (agreeing * 2 <= all->n && ++all->unsure == UNSURE_ROUNDS)
		log_warn("no majority of the sentinels names a primary");
}

static void arm(struct redis_sentinels *all)
{
	uint32_t half = (redis_link_address(all->primary)[0] ? ASK_MS : ASK_SOON_MS) / 2;
	struct timeval tv = {.tv_usec = (suseconds_t)(half + randombytes_uniform(half + 1)) * 1000};

	evtimer_add(all->round, &tv);
}

static void on_round(evutil_socket_t fd, short what, void *arg)
{
	struct redis_sentinels *all = arg;

	(void)fd, (void)what;
	judge_round(all);
	for (size_t i = 0; i < all->n; i++)
		ask(&all->sentinel[i]);
	arm(all);
}

/* One that is named twice would have two votes. */
static int check_list(const struct redis_sentinel_list *list, struct error *err)
{
	if (list->len == 0 || list->len > REDIS_SENTINELS_MAX)
		return error_set(
		    err, ERR_INVALID, "1 to %d sentinels, not %zu", REDIS_SENTINELS_MAX, list->len);
	for (size_t i = 0; i < list->len; i++)
		for (size_t k = 0; k < i; k++)
			if (strcmp(list->address[i], list->address[k]) == 0)
				return error_set(err, ERR_INVALID, "sentinel %s is named twice",
				    list->address[i]);
	return 0;
}

struct redis_sentinels *redis_sentinels_new(struct event_base *base,
    const struct redis_sentinel_list *list, const struct redis_login *login,
    struct redis_link *link, struct metrics *metrics, struct error *err)
{
	if (check_list(list, err) < 0)
		return NULL;
	struct redis_sentinels *all =
	    calloc(1, sizeof(*all) + list->len * sizeof(all->sentinel[0]));
	bug_if(!all);
	all->primary = link;
	all->name = strdup(list->primary);
	all->timeout_ms = login->timeout_ms;
	all->round = evtimer_new(base, on_round, all);
	bug_if(!all->name || !all->round);
	all->metrics = metrics;
	all->failovers = metrics_counter(metrics, "multiclaw_redis_failovers_total",
	    "Times that the primary became another one", NULL);
	all->agreeing = metrics_gauge(metrics, "multiclaw_redis_sentinels_agreeing",
	    "Sentinels that last named the primary that is followed", NULL);
	for (; all->n < list->len; all->n++) {
		struct sentinel *sentinel = &all->sentinel[all->n];
		sentinel->all = all;
		sentinel->link =
		    redis_link_new(base, REDIS_LINK_SENTINEL, list->address[all->n], login, err);
		if (!sentinel->link) {
			redis_sentinels_destroy(&all);
			return NULL;
		}
	}
	arm(all);
	return all;
}

void redis_sentinels_destroy(struct redis_sentinels **sentinels)
{
	struct redis_sentinels *all = *sentinels;

	if (!all)
		return;
	*sentinels = NULL;
	for (size_t i = 0; i < all->n; i++)
		redis_link_destroy(&all->sentinel[i].link);
	event_free(all->round);
	free(all->name);
	free(all);
}
