#include "services/chain-oracle/push.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/scoped.h"
#include "services/chain-oracle/push_message.h"
#include "services/chain-oracle/rpc_request.h"
#include "services/chain-oracle/subscriptions.h"

#define TICK_MS 100
#define HANDSHAKE_MS 10000
#define SILENCE_MS 10000
#define PING_MS 30000
#define PING_ALONE_MS 3000 /* for a node that does not serve slotSubscribe */
#define BACKOFF_MS 250
#define BACKOFF_MAX_MS 30000
#define STABLE_MS 30000  /* a connection that held this long had no fault */
#define MALFORMED_MAX 16 /* in one connection */
#define KINDS (SUBSCRIPTION_ACCOUNT + 1)

struct push {
	struct push_config config;
	struct push_hooks hooks;
	struct handshake_url url;
	struct event *tick;
	struct websocket_client *client;
	bool open, caught_up;
	uint64_t open_ms, slot_ms, pinged_ms, retry_at_ms; /* boot time */
	unsigned failures, malformed;
	struct subscriptions subscriptions;
	bool full; /* an asset found no room */
	struct metric *heard[KINDS], *unread, *live;
};

/* ---- asking ---- */

static void ask(struct push *push, const struct subscription *subscription)
{
	scoped_free char *text = NULL;
	if (subscription->kind == SUBSCRIPTION_SLOTS)
		text = rpc_request_subscribe_slots(subscription->request);
	else if (subscription->kind == SUBSCRIPTION_COLLECTION)
		text = rpc_request_subscribe_collection(
		    subscription->request, push->config.collection);
	else
		text = rpc_request_subscribe_account(subscription->request, subscription->asset);
	websocket_client_send(push->client, text);
}

static void ask_more(struct push *push)
{
	const struct subscription *subscription;
	if (!push->open)
		return;
	while ((subscription = subscriptions_ask(&push->subscriptions)))
		ask(push, subscription);
	if (push->caught_up || !subscriptions_settled(&push->subscriptions))
		return;
	push->caught_up = true;
	log_info("push is live", "node", push->config.node->label, "accounts",
	    log_u64(push->subscriptions.naccounts));
	push->hooks.caught_up(push->hooks.arg, push->config.node);
}

static void unsubscribe(struct push *push, uint64_t id)
{
	scoped_free char *text =
	    rpc_request_unsubscribe_account(subscriptions_request(&push->subscriptions), id);
	websocket_client_send(push->client, text);
}

void push_add(struct push *push, const char *asset)
{
	if (subscriptions_has(&push->subscriptions, asset))
		return;
	if (push->subscriptions.naccounts == push->config.accounts_max) {
		if (!push->full)
			log_warn("no more accounts are subscribed: burns and moves out of the rest "
				 "wait for the sweep",
			    "node", push->config.node->label, "limit",
			    log_u64(push->config.accounts_max));
		push->full = true;
		return;
	}
	subscriptions_add(&push->subscriptions, asset);
	ask_more(push);
}

void push_remove(struct push *push, const char *asset)
{
	uint64_t id;
	if (subscriptions_remove(&push->subscriptions, asset, &id))
		unsubscribe(push, id);
}

/* ---- hearing ---- */

static void close_for(struct push *push, const char *text)
{
	struct error why;
	error_set(&why, ERR_UNAVAILABLE, "%s", text);
	websocket_client_close(push->client, &why);
}

static void on_reply(struct push *push, const struct push_message *message)
{
	struct error err;
	bool unwanted;
	if (subscriptions_answered(
		&push->subscriptions, message->id, message->subscription, &unwanted, &err) < 0)
		websocket_client_close(push->client, &err);
	else if (unwanted)
		unsubscribe(push, message->subscription);
}

static void on_refusal(struct push *push, const struct push_message *message)
{
	if (subscriptions_refused(&push->subscriptions, message->id))
		log_warn("node refuses a subscription", "node", push->config.node->label, "why",
		    message->text);
}

static void on_notification(struct push *push, const struct push_message *message)
{
	static const enum subscription_kind kinds[] = {[PUSH_ACCOUNT] = SUBSCRIPTION_ACCOUNT,
	    [PUSH_PROGRAM] = SUBSCRIPTION_COLLECTION,
	    [PUSH_SLOT] = SUBSCRIPTION_SLOTS};
	char asset[PUBKEY_TEXT_MAX + 1];
	const struct subscription *subscription =
	    subscriptions_find(&push->subscriptions, message->subscription);
	if (!subscription || subscription->kind != kinds[message->kind])
		return; /* unsubscribed meanwhile */
	metric_add(push->heard[subscription->kind], 1);
	if (message->kind == PUSH_SLOT) {
		push->slot_ms = clock_boot_ms();
		return;
	}
	memcpy(asset, subscription->asset, sizeof(asset));
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
	subscriptions_start_over(&push->subscriptions);
	push->open = push->caught_up = false;
	push->malformed = 0;
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
	bool alone = push->subscriptions.slots.state == SUBSCRIPTION_REFUSED;
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
	if (push->full && push->subscriptions.naccounts < push->config.accounts_max) {
		push->full = false;
		watch_each(push->config.watch, add_watched, push);
	}
	metric_set(push->live, push_is_live(push));
}

static void open_metrics(struct push *push)
{
	static const char name[] = "multiclaw_oracle_push_notifications_total",
			  help[] = "Notifications heard, by kind.";
	static const char *const kinds[KINDS] = {[SUBSCRIPTION_SLOTS] = "slot",
	    [SUBSCRIPTION_COLLECTION] = "program",
	    [SUBSCRIPTION_ACCOUNT] = "account"};
	char labels[64];
	for (size_t i = 0; i < KINDS; i++) {
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
	subscriptions_open(&push->subscriptions);
	open_metrics(push);
	push->tick = event_new(config->base, -1, EV_PERSIST, on_tick, push);
	bug_if(!push->tick);
	event_add(push->tick, &every);
	return push;
}

void push_destroy(struct push **push)
{
	struct push *p = *push;
	if (!p)
		return;
	event_free(p->tick);
	websocket_client_destroy(&p->client);
	subscriptions_close(&p->subscriptions);
	free(p);
	*push = NULL;
}

bool push_is_live(const struct push *push)
{
	return push->open && push->caught_up;
}
