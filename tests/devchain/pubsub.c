#include "tests/devchain/pubsub.h"

#include <arpa/inet.h>
#include <event2/listener.h>
#include <string.h>

#include "common/scoped.h"
#include "tests/devchain/listen.h"
#include "tests/devchain/subscription.h"
#include "tests/devchain/websocket.h"

struct connection {
	struct pubsub *pubsub;
	struct websocket *websocket;
	bool doomed; /* reads too slowly; cut at the end of the round */
	struct subscriptions subscriptions;
	struct connection *next;
};

struct pubsub {
	struct event_base *base;
	struct node *node;
	struct evconnlistener *listener;
	struct connection *connections;
	struct view seen; /* pushed up to these heights */
	uint64_t last_id;
};

/* ---- requests ---- */

static uint64_t id_of(struct pubsub *pubsub, const char *text)
{
	uint64_t id = 0;

	for (struct connection *c = pubsub->connections; c && !id; c = c->next)
		id = subscriptions_find(&c->subscriptions, text);
	return id ? id : ++pubsub->last_id;
}

static int subscribe(struct connection *connection, enum topic topic, const json_t *params,
    struct evbuffer *out, struct rpc_error *err)
{
	struct subscription subscription;

	if (subscription_read(topic, params, &subscription, err) != 0)
		return -1;
	subscription.id = id_of(connection->pubsub, subscription.text);
	evbuffer_add_printf(out, "%llu", (unsigned long long)subscription.id);
	subscriptions_add(&connection->subscriptions, &subscription);
	return 0;
}

static int unsubscribe(struct connection *connection, enum topic topic, const json_t *params,
    struct evbuffer *out, struct rpc_error *err)
{
	const json_t *id = json_array_get(params, 0);

	if (!json_is_integer(id) || !subscriptions_remove(&connection->subscriptions, topic,
					(uint64_t)json_integer_value(id)))
		return rpc_fail(err, RPC_INVALID_PARAMS, "Invalid subscription id.");
	evbuffer_add(out, "true", 4);
	return 0;
}

static int call_method(struct connection *connection, const struct rpc_request *request,
    struct evbuffer *out, struct rpc_error *err)
{
	enum topic topic;
	bool subscribes;

	if (!subscription_method(request->method, &topic, &subscribes))
		return rpc_fail(err, RPC_NO_METHOD, "Method not found");
	return (subscribes ? subscribe : unsubscribe)(connection, topic, request->params, out, err);
}

static void push(struct connection *connection, struct evbuffer *out)
{
	size_t len = evbuffer_get_length(out);
	const char *text = (const char *)evbuffer_pullup(out, -1);

	if (len && !websocket_send(connection->websocket, text, len))
		connection->doomed = true;
}

static void on_text(void *arg, const char *text, size_t len)
{
	struct connection *connection = arg;
	struct evbuffer *out scoped_evbuffer = evbuffer_new();
	struct evbuffer *result scoped_evbuffer = evbuffer_new();
	scoped_json json_t *message = json_loadb(text, len, 0, NULL);
	struct rpc_request request;
	struct rpc_error err = {0};

	if (connection->pubsub->node->faults.silent)
		return;
	if (!message) {
		rpc_fail(&err, RPC_PARSE_ERROR, "Parse error");
		rpc_write_error(out, NULL, &err);
	} else if (rpc_request_read(message, &request, &err) != 0) {
		rpc_write_error(out, request.id, &err);
	} else if (call_method(connection, &request, result, &err) != 0) {
		if (request.id)
			rpc_write_error(out, request.id, &err);
	} else if (request.id) {
		rpc_write_result(out, request.id, result);
	}
	push(connection, out);
}

/* ---- pushing ---- */

static void push_account(struct connection *connection, const struct subscription *subscription,
    uint64_t slot, const struct reading *reading)
{
	struct evbuffer *out scoped_evbuffer = evbuffer_new();

	subscription_write_account(out, subscription, slot, reading);
	push(connection, out);
}

static void push_slot(struct connection *connection, const struct subscription *subscription,
    uint64_t slot, uint64_t parent, uint64_t root)
{
	struct evbuffer *out scoped_evbuffer = evbuffer_new();

	subscription_write_slot(out, subscription, slot, parent, root);
	push(connection, out);
}

struct change {
	struct account *account;
	enum commitment commitment;
	bool newest; /* of a jump */
	bool exists;
	uint64_t slot;
	struct reading reading;
};

static void note_push(struct account *account, uint64_t slot)
{
	struct timeval now;

	if (account->pushed_slot == slot)
		return;
	evutil_gettimeofday(&now, NULL);
	account->pushed_slot = slot;
	account->pushed_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_usec;
}

static void tell_change(struct connection *connection, const struct change *change)
{
	for (size_t i = 0; i < connection->subscriptions.n; i++) {
		const struct subscription *s = &connection->subscriptions.item[i];
		const uint8_t *key =
		    s->topic == TOPIC_ACCOUNT ? change->reading.key : change->reading.program;

		if (s->topic == TOPIC_SLOT || s->config.commitment != change->commitment ||
		    memcmp(s->key, key, PUBKEY_LEN) != 0)
			continue;
		if (s->topic == TOPIC_PROGRAM &&
		    (!change->exists || !read_config_matches(&s->config, &change->reading)))
			continue;
		/* a program's finalized changes come from the newest root's own slot alone */
		if (s->topic == TOPIC_PROGRAM && change->commitment == FINALIZED && !change->newest)
			continue;
		note_push(change->account, change->slot);
		push_account(connection, s, change->slot, &change->reading);
	}
}

static void tell_block(
    struct pubsub *pubsub, enum commitment commitment, uint64_t height, bool newest)
{
	static const uint8_t system_program[PUBKEY_LEN];
	struct block block = chain_block(pubsub->node->chain, height);
	struct change change = {.commitment = commitment,
	    .newest = newest,
	    .slot = node_told_slot(pubsub->node, block.slot)};

	for (size_t i = 0; i < block.nchanged; i++) {
		change.account = block.changed[i];
		change.exists =
		    node_read(pubsub->node, block.changed[i]->key, height, &change.reading);
		if (!change.exists)
			change.reading = (struct reading){
			    .key = block.changed[i]->key, .program = system_program};
		for (struct connection *c = pubsub->connections; c; c = c->next)
			tell_change(c, &change);
	}
}

static void tell_slot(struct pubsub *pubsub, uint64_t height, uint64_t root)
{
	uint64_t slot = node_told_slot(pubsub->node, chain_block(pubsub->node->chain, height).slot);
	uint64_t parent = chain_block(pubsub->node->chain, height - 1).slot;

	for (struct connection *c = pubsub->connections; c; c = c->next)
		for (size_t i = 0; i < c->subscriptions.n; i++)
			if (c->subscriptions.item[i].topic == TOPIC_SLOT)
				push_slot(c, &c->subscriptions.item[i], slot, parent, root);
}

static void cut_doomed(struct pubsub *pubsub);

void pubsub_advance(struct pubsub *pubsub)
{
	const struct faults *faults = &pubsub->node->faults;
	bool muted = faults->mute_push || faults->silent;
	struct view view;

	node_view(pubsub->node, &view);
	for (enum commitment c = PROCESSED; c < COMMITMENTS; c++)
		for (; pubsub->seen.height[c] < view.height[c]; pubsub->seen.height[c]++) {
			uint64_t height = pubsub->seen.height[c] + 1;

			if (muted)
				continue;
			if (c == PROCESSED)
				tell_slot(pubsub, height,
				    chain_block(pubsub->node->chain, view.height[FINALIZED]).slot);
			tell_block(pubsub, c, height, height == view.height[c]);
		}
	cut_doomed(pubsub);
}

void pubsub_rewind(struct pubsub *pubsub, uint64_t height)
{
	if (pubsub->seen.height[PROCESSED] > height)
		pubsub->seen.height[PROCESSED] = height;
}

/* ---- connections ---- */

static void forget(struct connection *connection)
{
	struct connection **at = &connection->pubsub->connections;

	while (*at != connection)
		at = &(*at)->next;
	*at = connection->next;
	subscriptions_clear(&connection->subscriptions);
	free(connection);
}

static void cut(struct connection *connection)
{
	websocket_destroy(&connection->websocket);
	forget(connection);
}

static void cut_doomed(struct pubsub *pubsub)
{
	for (struct connection *c = pubsub->connections, *next; c; c = next) {
		next = c->next;
		if (c->doomed)
			cut(c);
	}
}

void pubsub_drop(struct pubsub *pubsub)
{
	while (pubsub->connections)
		cut(pubsub->connections);
}

static void on_closed(void *arg)
{
	forget(arg);
}

static enum websocket_welcome on_request(void *arg, const char **http_r)
{
	const struct connection *connection = arg;
	const struct faults *faults = &connection->pubsub->node->faults;

	if (faults->silent)
		return WEBSOCKET_IGNORE;
	if (faults->refuse || faults->refuse_quiet)
		*http_r = "HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\nContent-Length: "
			  "0\r\n\r\n";
	else if (faults->html)
		*http_r =
		    "HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Type: text/html\r\n"
		    "Content-Length: 24\r\n\r\n<html>bad gateway</html>";
	return *http_r ? WEBSOCKET_REFUSE : WEBSOCKET_ACCEPT;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
    int len, void *arg)
{
	static const struct websocket_hooks hooks = {on_request, on_text, on_closed};
	struct pubsub *pubsub = arg;
	struct connection *connection = calloc(1, sizeof(*connection));

	(void)listener;
	(void)address;
	(void)len;
	bug_if(!connection);
	connection->pubsub = pubsub;
	connection->websocket = websocket_new(pubsub->base, fd, &hooks, connection);
	connection->next = pubsub->connections;
	pubsub->connections = connection;
}

struct pubsub *pubsub_new(
    struct event_base *base, struct node *node, uint16_t *port, struct error *err)
{
	struct pubsub *pubsub = calloc(1, sizeof(*pubsub));

	bug_if(!pubsub);
	pubsub->base = base;
	pubsub->node = node;
	node_view(node, &pubsub->seen);
	pubsub->listener = listen_loopback(base, port, on_accept, pubsub, err);
	if (!pubsub->listener)
		pubsub_destroy(&pubsub);
	return pubsub;
}

void pubsub_destroy(struct pubsub **pubsub)
{
	if (!*pubsub)
		return;
	pubsub_drop(*pubsub);
	if ((*pubsub)->listener)
		evconnlistener_free((*pubsub)->listener);
	free(*pubsub);
	*pubsub = NULL;
}

size_t pubsub_connections(const struct pubsub *pubsub)
{
	size_t n = 0;

	for (const struct connection *c = pubsub->connections; c; c = c->next)
		n++;
	return n;
}

size_t pubsub_subscriptions(const struct pubsub *pubsub)
{
	size_t n = 0;

	for (const struct connection *c = pubsub->connections; c; c = c->next)
		n += c->subscriptions.n;
	return n;
}
