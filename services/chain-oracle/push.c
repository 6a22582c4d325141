#include "services/chain-oracle/push.h"

#include <search.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/scoped.h"
#include "services/chain-oracle/push_message.h"
#include "services/chain-oracle/rpc_request.h"

#define TICK_MS 100
#define HANDSHAKE_MS 10000
#define SILENCE_MS 10000
#define PING_MS 30000
#define PING_ALONE_MS 3000 /* for a node that does not serve slotSubscribe */
#define BACKOFF_MS 250
#define BACKOFF_MAX_MS 30000
#define STABLE_MS 30000  /* a connection that held this long had no fault */
#define ASKED_MAX 32     /* subscriptions without an answer yet */
#define MALFORMED_MAX 16 /* in one connection */

enum kind { SLOTS, COLLECTION, ACCOUNT };
enum state { WANTED, ASKED, ACTIVE, REFUSED };
struct subscription {
	TAILQ_ENTRY(subscription) link; /* of the list that its state names */
	enum kind kind;
	enum state state;
	bool dropped;     /* ASKED, and not watched any more */
	uint64_t request; /* ASKED */
	uint64_t id;      /* ACTIVE: the node's, in this connection */
	char asset[PUBKEY_TEXT_MAX + 1];
};
TAILQ_HEAD(subscriptions, subscription);

struct push {
	struct push_config config;
	struct push_hooks hooks;
	struct handshake_url url;
	struct event *tick;
	struct websocket_client *client;
	bool open, caught_up;
	uint64_t open_ms, slot_ms, pinged_ms, retry_at_ms; /* boot time */
	unsigned failures, malformed;
	uint64_t next_request;
	struct subscription slots, collection;
	struct subscriptions list[REFUSED + 1]; /* by state */
	size_t nasked, naccounts;
	void *by_asset; /* tree of the accounts' */
	void *by_id;    /* tree of the active */
	bool full;      /* an asset found no room */
	struct metric *heard[ACCOUNT + 1], *unread, *live;
};

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

static struct subscription *find_asset(struct push *push, const char *asset)
{
	struct subscription key;
	strncpy(key.asset, asset, sizeof(key.asset) - 1)[sizeof(key.asset) - 1] = '\0';
	void *found = tfind(&key, &push->by_asset, compare_assets);
	return found ? *(struct subscription **)found : NULL;
}

static struct subscription *find_id(struct push *push, uint64_t id)
{
	const struct subscription key = {.id = id};
	void *found = tfind(&key, &push->by_id, compare_ids);
	return found ? *(struct subscription **)found : NULL;
}

/* ---- asking ---- */

static void move(struct push *push, struct subscription *subscription, enum state state)
{
	push->nasked -= subscription->state == ASKED;
	push->nasked += state == ASKED;
	TAILQ_REMOVE(&push->list[subscription->state], subscription, link);
	subscription->state = state;
	TAILQ_INSERT_TAIL(&push->list[state], subscription, link);
}

static void ask(struct push *push, struct subscription *subscription)
{
	scoped_free char *text = NULL;
	subscription->request = ++push->next_request;
	if (subscription->kind == SLOTS)
		text = rpc_request_subscribe_slots(subscription->request);
	else if (subscription->kind == COLLECTION)
		text = rpc_request_subscribe_collection(
		    subscription->request, push->config.collection);
	else
		text = rpc_request_subscribe_account(subscription->request, subscription->asset);
	move(push, subscription, ASKED);
	websocket_client_send(push->client, text);
}

static void ask_more(struct push *push)
{
	struct subscription *subscription;
	if (!push->open)
		return;
	while (push->nasked < ASKED_MAX && (subscription = TAILQ_FIRST(&push->list[WANTED])))
		ask(push, subscription);
	if (push->caught_up || push->nasked > 0)
		return;
	push->caught_up = true;
	log_info(
	    "push is live", "node", push->config.node->label, "accounts", log_u64(push->naccounts));
	push->hooks.caught_up(push->hooks.arg, push->config.node);
}

static void unsubscribe(struct push *push, uint64_t id)
{
	scoped_free char *text = rpc_request_unsubscribe_account(++push->next_request, id);
	websocket_client_send(push->client, text);
}

static void forget(struct push *push, struct subscription *subscription)
{
	push->nasked -= subscription->state == ASKED;
	TAILQ_REMOVE(&push->list[subscription->state], subscription, link);
	free(subscription);
}

/* Its answer is still to come, and would unsubscribe what is asked for again: equal subscriptions have equal ids. */
static struct subscription *find_dropped(struct push *push, const char *asset)
{
	struct subscription *subscription;
	TAILQ_FOREACH(subscription, &push->list[ASKED], link)
	if (subscription->dropped && strcmp(subscription->asset, asset) == 0)
		return subscription;
	return NULL;
}

static struct subscription *subscription_new(struct push *push, const char *asset)
{
	struct subscription *subscription = calloc(1, sizeof(*subscription));
	bug_if(!subscription);
	subscription->kind = ACCOUNT;
	subscription->state = WANTED;
	strncpy(subscription->asset, asset, sizeof(subscription->asset) - 1);
	TAILQ_INSERT_TAIL(&push->list[WANTED], subscription, link);
	return subscription;
}

void push_add(struct push *push, const char *asset)
{
	if (find_asset(push, asset))
		return;
	if (push->naccounts == push->config.accounts_max) {
		if (!push->full)
			log_warn("no more accounts are subscribed, the sweep finds what the "
				 "collection's filter does not show",
			    "limit", log_u64(push->naccounts));
		push->full = true;
		return;
	}
	struct subscription *subscription = find_dropped(push, asset);
	if (!subscription)
		subscription = subscription_new(push, asset);
	subscription->dropped = false;
	bug_if(!tsearch(subscription, &push->by_asset, compare_assets));
	push->naccounts++;
	ask_more(push);
}

void push_remove(struct push *push, const char *asset)
{
	struct subscription *subscription = find_asset(push, asset);
	if (!subscription)
		return;
	tdelete(subscription, &push->by_asset, compare_assets);
	push->naccounts--;
	if (subscription->state == ASKED) {
		subscription->dropped = true; /* until its answer tells what to unsubscribe */
		return;
	}
	if (subscription->state == ACTIVE) {
		unsubscribe(push, subscription->id);
		tdelete(subscription, &push->by_id, compare_ids);
	}
	forget(push, subscription);
}

/* ---- hearing ---- */

static struct subscription *find_asked(struct push *push, uint64_t request)
{
	struct subscription *subscription;
	TAILQ_FOREACH(subscription, &push->list[ASKED], link)
	if (subscription->request == request)
		return subscription;
	return NULL;
}

static void close_for(struct push *push, const char *text)
{
	struct error why;
	error_set(&why, ERR_UNAVAILABLE, "%s", text);
	websocket_client_close(push->client, &why);
}

static void on_reply(struct push *push, const struct push_message *message)
{
	struct subscription *subscription = find_asked(push, message->id);
	if (!subscription)
		return; /* of an unsubscribe */
	if (subscription->dropped) {
		unsubscribe(push, message->subscription);
		forget(push, subscription);
		return;
	}
	if (find_id(push, message->subscription)) {
		close_for(push, "one id for two subscriptions");
		return;
	}
	subscription->id = message->subscription;
	bug_if(!tsearch(subscription, &push->by_id, compare_ids));
	move(push, subscription, ACTIVE);
}

static void on_refusal(struct push *push, const struct push_message *message)
{
	struct subscription *subscription = find_asked(push, message->id);
	if (!subscription)
		return;
	if (subscription->dropped) {
		forget(push, subscription);
		return;
	}
	if (TAILQ_EMPTY(&push->list[REFUSED]))
		log_warn("node refuses a subscription", "node", push->config.node->label, "why",
		    message->text);
	move(push, subscription, REFUSED);
}

static void on_notification(struct push *push, const struct push_message *message)
{
	static const enum kind kinds[] = {
	    [PUSH_ACCOUNT] = ACCOUNT, [PUSH_PROGRAM] = COLLECTION, [PUSH_SLOT] = SLOTS};
	char asset[PUBKEY_TEXT_MAX + 1];
	const struct subscription *subscription = find_id(push, message->subscription);
	if (!subscription || subscription->kind != kinds[message->kind])
		return; /* unsubscribed meanwhile */
	metric_add(push->heard[subscription->kind], 1);
	if (message->kind == PUSH_SLOT) {
		push->slot_ms = clock_boot_ms();
		return;
	}
	strcpy(asset, subscription->asset);
	if (message->kind == PUSH_PROGRAM)
		pubkey_text(message->key, asset);
	push->hooks.seen(
	    push->hooks.arg, push->config.node, asset, &message->account, message->slot);
}

static void on_text(void *arg, const char *text, size_t len)
{
	struct push *push = arg;
	struct push_message message;
	struct error err;
	if (push_message_read(text, len, &message, &err) < 0) {
		metric_add(push->unread, 1);
		log_debug("push message cannot be read", "node", push->config.node->label, "why",
		    err.text);
		if (++push->malformed == MALFORMED_MAX)
			close_for(push, "too many messages that cannot be read");
		return;
	}
	if (message.kind == PUSH_REPLY)
		on_reply(push, &message);
	else if (message.kind == PUSH_REFUSAL)
		on_refusal(push, &message);
	else if (message.kind != PUSH_OTHER)
		on_notification(push, &message);
	ask_more(push);
}

/* ---- the connection ---- */

static void on_open(void *arg)
{
	struct push *push = arg;
	push->open = true;
	push->open_ms = push->slot_ms = push->pinged_ms = clock_boot_ms();
	ask_more(push);
}

static void keep(void *item)
{
	(void)item;
}

/* Subscriptions end with their connection: all are wanted again, the heartbeat and the collection first. */
static void start_over(struct push *push)
{
	struct subscription *subscription;
	for (enum state state = ASKED; state <= REFUSED; state++) {
		while ((subscription = TAILQ_FIRST(&push->list[state]))) {
			if (subscription->dropped)
				forget(push, subscription);
			else
				move(push, subscription, WANTED);
		}
	}
	tdestroy(push->by_id, keep);
	push->by_id = NULL;
	TAILQ_REMOVE(&push->list[WANTED], &push->collection, link);
	TAILQ_INSERT_HEAD(&push->list[WANTED], &push->collection, link);
	TAILQ_REMOVE(&push->list[WANTED], &push->slots, link);
	TAILQ_INSERT_HEAD(&push->list[WANTED], &push->slots, link);
	push->open = push->caught_up = false;
	push->malformed = 0;
}

static void wait_to_retry(struct push *push)
{
	uint64_t now = clock_boot_ms();
	if (push->open && now - push->open_ms >= STABLE_MS)
		push->failures = 0;
	uint64_t ms = push->failures > 7 ? BACKOFF_MAX_MS : (uint64_t)BACKOFF_MS << push->failures;
	push->retry_at_ms = now + ms / 2 + randombytes_uniform((uint32_t)(ms / 2 + 1));
	push->failures++;
}

static void on_closed(void *arg, const struct error *why)
{
	struct push *push = arg;
	if (push->open || push->failures == 0)
		log_warn(
		    "push connection lost", "node", push->config.node->label, "why", why->text);
	websocket_client_destroy(&push->client);
	wait_to_retry(push);
	start_over(push);
}

static void add_watched(void *arg, struct watched *watched)
{
	push_add(arg, watched->asset);
}

static void connect_if_due(struct push *push)
{
	const struct websocket_client_hooks hooks = {on_open, on_text, on_closed, push};
	if (clock_boot_ms() < push->retry_at_ms || !rpc_node_is_trusted(push->config.node))
		return;
	push->client = websocket_client_new(
	    push->config.base, push->config.http, &push->url, HANDSHAKE_MS, &hooks);
}

static void check_line(struct push *push)
{
	uint64_t now = clock_boot_ms();
	bool alone = push->slots.state == REFUSED;
	uint64_t heard_ms = alone ? websocket_client_heard_ms(push->client) : push->slot_ms;
	if (now - heard_ms > SILENCE_MS) {
		close_for(push, "nothing heard for 10 s");
	} else if (now - push->pinged_ms >= (alone ? PING_ALONE_MS : PING_MS)) {
		push->pinged_ms = now;
		websocket_client_ping(push->client);
	}
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct push *push = arg;
	(void)fd;
	(void)what;
	if (!push->client)
		connect_if_due(push);
	else if (push->open)
		check_line(push);
	if (push->full && push->naccounts < push->config.accounts_max) {
		push->full = false;
		watch_each(push->config.watch, add_watched, push);
	}
	metric_set(push->live, push_is_live(push));
}

static void open_metrics(struct push *push)
{
	static const char name[] = "multiclaw_oracle_push_notifications_total",
			  help[] = "Notifications heard, by kind.";
	static const char *const kinds[] = {
	    [SLOTS] = "slot", [COLLECTION] = "program", [ACCOUNT] = "account"};
	char labels[64];
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		snprintf(labels, sizeof(labels), "node=\"%zu\",kind=\"%s\"",
		    push->config.node->index, kinds[i]);
		push->heard[i] = metrics_counter(push->config.metrics, name, help, labels);
	}
	snprintf(labels, sizeof(labels), "node=\"%zu\",kind=\"unread\"", push->config.node->index);
	push->unread = metrics_counter(push->config.metrics, name, help, labels);
	snprintf(labels, sizeof(labels), "node=\"%zu\"", push->config.node->index);
	push->live = metrics_gauge(push->config.metrics, "multiclaw_oracle_push_live",
	    "1: connected, and everything is subscribed.", labels);
}

struct push *push_new(const struct push_config *config, const char *url,
    const struct push_hooks *hooks, struct error *err)
{
	const struct timeval every = {.tv_usec = TICK_MS * 1000};
	struct push *push = calloc(1, sizeof(*push));
	bug_if(!push);
	if (handshake_url_parse(url, &push->url, err) < 0) {
		free(push);
		return NULL;
	}
	push->config = *config;
	push->hooks = *hooks;
	push->next_request = (uint64_t)randombytes_random() << 16;
	for (enum state state = WANTED; state <= REFUSED; state++)
		TAILQ_INIT(&push->list[state]);
	push->slots.kind = SLOTS;
	push->collection.kind = COLLECTION;
	TAILQ_INSERT_TAIL(&push->list[WANTED], &push->slots, link);
	TAILQ_INSERT_TAIL(&push->list[WANTED], &push->collection, link);
	open_metrics(push);
	push->tick = event_new(config->base, -1, EV_PERSIST, on_tick, push);
	bug_if(!push->tick);
	event_add(push->tick, &every);
	return push;
}

void push_destroy(struct push **push)
{
	struct push *p = *push;
	struct subscription *subscription;
	if (!p)
		return;
	event_free(p->tick);
	websocket_client_destroy(&p->client);
	tdestroy(p->by_asset, keep);
	tdestroy(p->by_id, keep);
	for (enum state state = WANTED; state <= REFUSED; state++) {
		while ((subscription = TAILQ_FIRST(&p->list[state]))) {
			TAILQ_REMOVE(&p->list[state], subscription, link);
			if (subscription->kind == ACCOUNT)
				free(subscription);
		}
	}
	free(p);
	*push = NULL;
}

bool push_is_live(const struct push *push)
{
	return push->open && push->caught_up;
}
