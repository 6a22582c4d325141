#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base58.h"
#include "common/bus_internal.h"
#include "common/codec.h"
#include "common/ledger.h"
#include "common/log.h"

#define CONNECT_LIMIT_MS \
	2000 /* then the next key is tried: the server may be in the middle of a rotation, or may not have been one of ours */
#define NEXT_KEY_MS 100
#define TICK_MS 1000
#define BELL_FRAME_MAX 1024
#define HANDSHAKE_FAILED \
	(ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | \
	    ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
#define SOURCE_EVENTS (ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED | HANDSHAKE_FAILED)

#define bell_message_FIELDS(F, M) \
	F(M, STR, history, 1, HISTORY_MAX, MUST, "in which the event was added") \
	F(M, STR, id, 3, EVENT_ID_MAX, MUST, "of the event") \
	F(M, STR, asset, 0, PUBKEY_TEXT_MAX, MAY, "or *; absent: unknown")
PROTO_DECLARE_MESSAGE(bell_message, bell_message_FIELDS)
PROTO_DEFINE_MESSAGE(bell_message, "bell", bell_message_FIELDS)

/* One publisher as a listener sees it. Silence is normal, so its monitor tells whether it is connected; an address does not tell whose it is, so
 * the daemons' keys are tried in turn. */
struct source {
	struct bell *bell;
	const char *address;
	struct bus_socket socket, monitor;
	struct event *retry;
	bool connected, failed;
	bool proven; /* the key in use was the right one */
	size_t key_turn;
	char server_key[Z85_KEY_LEN + 1];
};
struct bell {
	struct bus *bus;
	char *address; /* NULL: listener only */
	char **others;
	struct bus_socket publisher, monitor;
	bool bound;
	uint64_t list_seen; /* bus->list_changes that open connections were judged by */
	struct source *sources;
	size_t nsources;
	struct event *tick;
	bell_heard heard;
	void *arg;
	struct metric *rung, *caught, *garbled;
};

/* ---- ringing ---- */

void bell_ring(struct bell *bell, const char *history, const char *event_id, const char *asset)
{
	struct bell_message message = {0};
	struct error err = {0};
	msgpack_sbuffer out;

	if (!bell->address)
		return;
	snprintf(message.history, sizeof(message.history), "%s", history);
	snprintf(message.id, sizeof(message.id), "%s", event_id);
	snprintf(message.asset, sizeof(message.asset), "%s", asset ? asset : "");
	msgpack_sbuffer_init(&out);
	if (codec_encode(&bell_message_message, &message, &out, &err) < 0)
		log_error("bell not rung", "why", err.text);
	else if (bus_socket_send(&bell->publisher, out.data, out.size, false) == 0)
		bus_count(bell->rung);
	msgpack_sbuffer_destroy(&out);
}

static void bind_again(struct bell *bell)
{
	struct error err = {0};

	bell->bound = bus_socket_bind(&bell->publisher, bell->address, &err) == 0;
	if (!bell->bound)
		log_error("bell not bound", "why", err.text);
}

/* Each subscription is memory, of which a listener could ask for any amount, and libzmq cannot show one listener the door: all of them
 * have to come again, which costs nobody more than the bell. */
static void show_the_door(struct bell *bell, const zmq_msg_t *part)
{
	const char *user = zmq_msg_gets(part, "User-Id");
	char who[128];

	bus_count(bell->garbled);
	if (!bell->bound)
		return;
	log_error("a listener of the bell asks for what is not on it", "role",
	    role_text(user ? keyring_roles_z85(bell->bus->keyring, user) : 0, who, sizeof(who)));
	bell->bound = zmq_unbind(bell->publisher.zmq, bell->address) != 0;
}

/* Ours subscribe to everything, which is one byte without a topic. */
static bool publisher_receive(void *arg)
{
	struct bell *bell = arg;
	zmq_msg_t part;
	size_t n = bus_socket_receive(&bell->publisher, &part, 1);

	if (n > 1 || (n == 1 && zmq_msg_size(&part) != 1))
		show_the_door(bell, &part);
	zmq_msg_close(&part);
	return n > 0;
}

/* The old listener is closed, its connections with it; only now is the address free. */
static bool publisher_event(void *arg)
{
	struct bell *bell = arg;
	int event = bus_monitor_receive(&bell->monitor);

	if (event == ZMQ_EVENT_CLOSED && !bell->bound)
		bind_again(bell);
	return event != 0;
}

/* A key is judged when it connects, and a subscriber says nothing afterwards: when the list changes all have to come again. */
static void judge_again(struct bell *bell)
{
	if (bell->list_seen == bell->bus->list_changes) {
		if (!bell->bound)
			bind_again(bell);
		return;
	}
	bell->list_seen = bell->bus->list_changes;
	if (bell->bound)
		bell->bound = zmq_unbind(bell->publisher.zmq, bell->address) != 0;
	bus_socket_look(&bell->publisher);
}

static int open_publisher(struct bell *bell, struct error *err)
{
	static const struct bus_socket_hooks hooks = {.receive = publisher_receive};
	static const struct bus_socket_hooks events = {.receive = publisher_event};
	/* libzmq takes in all that is queued before it lets us look */
	static const struct bus_option queue = {ZMQ_RCVHWM, 2};

	if (bus_socket_open(bell->bus, &bell->publisher, ZMQ_XPUB, &hooks, bell, err) < 0)
		return -1;
	bus_socket_set(&bell->publisher, &queue, 1);
	bus_socket_limit(&bell->publisher, BELL_FRAME_MAX);
	bus_socket_serve_curve(&bell->publisher, BELL_DOMAIN);
	if (bus_monitor_open(
		&bell->monitor, &bell->publisher, ZMQ_EVENT_CLOSED, &events, bell, err) < 0)
		return -1;
	bell->list_seen = bell->bus->list_changes;
	bell->bound = bus_socket_bind(&bell->publisher, bell->address, err) == 0;
	return bell->bound ? 0 : -1;
}

/* ---- hearing ---- */

static void judge(struct bell *bell, zmq_msg_t *part, size_t nparts)
{
	struct bell_message message;
	struct event_id id;
	struct wire wire;

	wire_init(&wire, zmq_msg_data(part), zmq_msg_size(part));
	if (nparts != 1 || codec_decode(&bell_message_message, &wire, &message, NULL) < 0 ||
	    !wire_at_end(&wire) || event_id_parse(message.id, &id) < 0) {
		bus_count(bell->garbled);
		return;
	}
	bus_count(bell->caught);
	bell->heard(
	    bell->arg, message.history, message.id, message.asset[0] ? message.asset : NULL);
}

static bool source_receive(void *arg)
{
	struct source *source = arg;
	zmq_msg_t part;
	size_t n = bus_socket_receive(&source->socket, &part, 1);

	if (n > 0)
		judge(source->bell, &part, n);
	zmq_msg_close(&part);
	return n > 0;
}

static void retry_in(struct source *source, unsigned ms)
{
	struct timeval in = {ms / 1000, (suseconds_t)(ms % 1000) * 1000};

	evtimer_add(source->retry, &in);
}

static void source_connect(struct source *source)
{
	struct bus *bus = source->bell->bus;
	struct error err = {0};
	const char *key = keyring_server_key_at(bus->keyring, ROLE_DAEMONS, source->key_turn);

	source->connected = source->failed = false;
	source->server_key[0] = '\0';
	retry_in(source, CONNECT_LIMIT_MS);
	if (!key) {
		(void)zmq_disconnect(source->socket.zmq, source->address);
		return;
	}
	memcpy(source->server_key, key, sizeof(source->server_key));
	if (bus_socket_connect(&source->socket, source->address, key, &err) < 0)
		log_warn("bell unreachable", "why", err.text);
}

static void source_retry(evutil_socket_t fd, short what, void *arg)
{
	struct source *source = arg;

	(void)fd;
	(void)what;
	if (!source->proven)
		source->key_turn++;
	source->proven = false;
	source_connect(source);
}

static bool source_event(void *arg)
{
	struct source *source = arg;
	int event = bus_monitor_receive(&source->monitor);

	if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
		source->connected = source->proven = true;
		evtimer_del(source->retry);
	} else if (event == ZMQ_EVENT_DISCONNECTED && source->connected) {
		source->connected = false;
		retry_in(source, CONNECT_LIMIT_MS);
	} else if ((event & HANDSHAKE_FAILED) && !source->failed) {
		source->failed =
		    true; /* libzmq goes on with the same key, several times a second */
		retry_in(source, NEXT_KEY_MS);
	}
	return event != 0;
}

static int open_source(struct source *source, struct error *err)
{
	static const struct bus_socket_hooks hooks = {.receive = source_receive};
	static const struct bus_socket_hooks events = {.receive = source_event};
	struct bus *bus = source->bell->bus;

	source->retry = evtimer_new(bus->base, source_retry, source);
	bug_if(!source->retry);
	if (bus_socket_open(bus, &source->socket, ZMQ_SUB, &hooks, source, err) < 0)
		return -1;
	bus_socket_limit(&source->socket, BELL_FRAME_MAX);
	bug_if(zmq_setsockopt(source->socket.zmq, ZMQ_SUBSCRIBE, "", 0) != 0);
	if (bus_monitor_open(
		&source->monitor, &source->socket, SOURCE_EVENTS, &events, source, err) < 0)
		return -1;
	source_connect(source);
	return 0;
}

static void close_source(struct source *source)
{
	if (source->retry)
		event_free(source->retry);
	bus_monitor_close(&source->monitor, &source->socket);
	bus_socket_close(&source->socket);
}

/* ---- the bell ---- */

static void tick(evutil_socket_t fd, short what, void *arg)
{
	struct bell *bell = arg;

	(void)fd;
	(void)what;
	if (bell->address)
		judge_again(bell);
	for (size_t i = 0; i < bell->nsources; i++) {
		struct source *source = &bell->sources[i];
		if (source->server_key[0] &&
		    !(keyring_roles_z85(bell->bus->keyring, source->server_key) & ROLE_DAEMONS))
			source_connect(source);
	}
}

static int start(struct bell *bell, const char *const *others, size_t nothers, struct error *err)
{
	static const struct timeval every = {TICK_MS / 1000, 0};

	bell->tick = event_new(bell->bus->base, -1, EV_PERSIST, tick, bell);
	bell->sources = calloc(nothers + 1, sizeof(*bell->sources));
	bell->others = calloc(nothers + 1, sizeof(*bell->others));
	bug_if(
	    !bell->tick || !bell->sources || !bell->others || event_add(bell->tick, &every) != 0);
	if (bell->address && open_publisher(bell, err) < 0)
		return -1;
	for (size_t i = 0; i < nothers; i++) {
		if (bell->address && strcmp(others[i], bell->address) == 0)
			continue;
		struct source *source = &bell->sources[bell->nsources];
		source->bell = bell;
		source->address = bell->others[bell->nsources] = strdup(others[i]);
		bug_if(!source->address);
		bell->nsources++;
		if (open_source(source, err) < 0)
			return -1;
	}
	return 0;
}

struct bell *bell_new(struct bus *bus, const char *bind, const char *const *others, size_t nothers,
    bell_heard heard, void *arg, struct error *err)
{
	struct bell *bell = calloc(1, sizeof(*bell));

	bug_if(!bell);
	bell->bus = bus;
	bell->address = bind ? strdup(bind) : NULL;
	bug_if(bind && !bell->address);
	bell->heard = heard;
	bell->arg = arg;
	bell->rung =
	    bus_counter(bus, "multiclaw_bell_rung_total", "Events told by the bell.", NULL);
	bell->caught =
	    bus_counter(bus, "multiclaw_bell_heard_total", "Events heard by the bell.", NULL);
	bell->garbled = bus_counter(bus, "multiclaw_bell_garbled_total",
	    "Messages on the bell that were not one of ours.", NULL);
	if (start(bell, others, nothers, err) < 0)
		bell_destroy(&bell);
	return bell;
}

void bell_destroy(struct bell **bell)
{
	struct bell *b = *bell;

	if (!b)
		return;
	for (size_t i = 0; i < b->nsources; i++) {
		close_source(&b->sources[i]);
		free(b->others[i]);
	}
	bus_monitor_close(&b->monitor, &b->publisher);
	bus_socket_close(&b->publisher);
	if (b->tick)
		event_free(b->tick);
	free(b->sources);
	free(b->others);
	free(b->address);
	free(b);
	*bell = NULL;
}
