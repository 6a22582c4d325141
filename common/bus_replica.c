#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/bus_internal.h"
#include "common/clock.h"
#include "common/log.h"

#define RECONNECT_AFTER_MS 2000 /* not ready for so long: libzmq may have given up for good */
#define PING_SUSPECT_EVERY_MS 250
#define PING_IDLE_EVERY_MS 5000
#define PING_LIMIT_MS 300

static void connect_now(struct bus_replica *replica)
{
	struct error err = {0};
	const char *key =
	    keyring_server_key_at(replica->bus->keyring, replica->role, replica->key_turn++);

	replica->connecting_ms = clock_boot_ms();
	replica->server_key[0] = '\0';
	if (!key) {
		(void)zmq_disconnect(replica->socket.zmq, replica->address);
		bus_socket_look(&replica->socket);
		return;
	}
	memcpy(replica->server_key, key, sizeof(replica->server_key));
	if (bus_socket_connect(&replica->socket, replica->address, key, &err) < 0)
		log_warn("replica unreachable", "why", err.text);
}

bool bus_replica_send(struct bus_replica *replica, const void *frame, size_t len)
{
	return bus_socket_send(&replica->socket, frame, len, false) == 0;
}

static void ping(struct bus_replica *replica)
{
	struct envelope_request envelope = {
	    .version = PROTO_VERSION,
	    .call = "bus.ping",
	    .id = BUS_PING_ID | ++replica->pings,
	    .deadline = UINT64_MAX, /* answered however wrong either clock is */
	};
	const struct bus_ping_req req = {};
	struct error err = {0};
	msgpack_sbuffer frame;

	msgpack_sbuffer_init(&frame);
	replica->pinged_ms = clock_boot_ms();
	if (bus_frame_encode_request(&frame, &envelope, bus_ping_call.req, &req, &err) == 0 &&
	    bus_replica_send(replica, frame.data, frame.size) && replica->ping_id == 0) {
		replica->ping_id = envelope.id;
		replica->ping_sent_unix_ms = clock_unix_ms();
	}
	msgpack_sbuffer_destroy(&frame);
}

void bus_replica_doubt(struct bus_replica *replica)
{
	if (!replica->suspect && replica->ready)
		ping(replica);
	replica->suspect = true;
}

/* Is its key still on the list with its role? A delisted server is left at once. */
static bool is_listed(const struct bus_replica *replica)
{
	return keyring_roles_z85(replica->bus->keyring, replica->server_key) == replica->role;
}

void bus_replica_tick(struct bus_replica *replica)
{
	uint64_t now = clock_boot_ms();

	if (replica->server_key[0] && !is_listed(replica)) {
		log_audit("server's key is not listed any more", "address", replica->address);
		connect_now(replica);
		return;
	}
	if (!replica->ready) {
		if (now - replica->connecting_ms >= RECONNECT_AFTER_MS)
			connect_now(replica);
		bus_socket_look(&replica->socket);
		return;
	}
	if (replica->ping_id != 0 && now - replica->pinged_ms > PING_LIMIT_MS)
		replica->suspect = true;
	uint64_t every = replica->suspect ? PING_SUSPECT_EVERY_MS : PING_IDLE_EVERY_MS;
	if (now - replica->pinged_ms >= every &&
	    (replica->suspect || now - replica->heard_ms >= every))
		ping(replica);
}

void bus_replica_measure(
    struct bus_replica *replica, uint64_t sent_unix_ms, uint64_t server_unix_ms)
{
	uint64_t now = clock_unix_ms(), off = 0;
	uint64_t second = clock_boot_ms() / 1000;
	size_t slot = second % SKEW_WINDOW_S;

	/* the server read its clock between our sending and now: only what lies outside is certain */
	if (server_unix_ms < sent_unix_ms)
		off = sent_unix_ms - server_unix_ms;
	else if (server_unix_ms > now)
		off = server_unix_ms - now;
	if (replica->skew[slot].second != second || replica->skew[slot].ms < off) {
		replica->skew[slot].second = second;
		replica->skew[slot].ms = off;
	}
}

uint64_t bus_replica_skew_ms(const struct bus_replica *replica)
{
	uint64_t second = clock_boot_ms() / 1000, largest = 0;

	for (size_t i = 0; i < SKEW_WINDOW_S; i++)
		if (replica->skew[i].ms > largest &&
		    replica->skew[i].second + SKEW_WINDOW_S > second)
			largest = replica->skew[i].ms;
	return largest;
}

static void take_reply(struct bus_replica *replica, zmq_msg_t *part, size_t nparts)
{
	struct envelope_reply envelope;
	struct wire body;
	struct error err = {0};

	if (nparts != 1)
		error_set(&err, ERR_INVALID, "a message of %zu parts", nparts);
	if (nparts != 1 || bus_frame_read_reply(zmq_msg_data(part), zmq_msg_size(part), &envelope,
			       &body, &err) < 0) {
		log_warn("reply refused", "address", replica->address, "why", err.text);
		return;
	}
	replica->heard_ms = clock_boot_ms();
	replica->suspect = false;
	if (!(envelope.id & BUS_PING_ID)) {
		replica->hooks->reply(replica->arg, replica, &envelope, &body);
		return;
	}
	if (envelope.id == replica->ping_id)
		bus_replica_measure(replica, replica->ping_sent_unix_ms, envelope.clock);
	replica->ping_id = 0;
}

static bool receive(void *arg)
{
	struct bus_replica *replica = arg;
	zmq_msg_t part;
	size_t n = bus_socket_receive(&replica->socket, &part, 1);

	if (n > 0)
		take_reply(replica, &part, n);
	/* the answer may hold a secret; libzmq would leave it in freed memory */
	sodium_memzero(zmq_msg_data(&part), zmq_msg_size(&part));
	zmq_msg_close(&part);
	return n > 0;
}

/* With ZMQ_IMMEDIATE a DEALER can be written to once TCP and CURVE are done, and no longer when the connection is gone. */
static void drained(void *arg, bool writable)
{
	struct bus_replica *replica = arg;

	if (writable == replica->ready)
		return;
	replica->ready = writable;
	replica->suspect = false;
	replica->ping_id = 0;
	replica->heard_ms = replica->connecting_ms = clock_boot_ms();
	if (writable)
		replica->hooks->ready(replica->arg, replica);
	else
		replica->hooks->lost(replica->arg, replica);
}

static const struct bus_socket_hooks hooks = {.receive = receive, .drained = drained};

int bus_replica_open(struct bus_replica *replica, struct bus *bus, const char *address,
    enum role role, struct error *err)
{
	/* so large that a connected socket never counts as full, which would look like a lost connection: libzmq acknowledges in steps of half
	 * of it, and the client limits what is in flight */
	static const struct bus_option options[] = {
	    {ZMQ_IMMEDIATE, 1},
	    {ZMQ_SNDHWM, 16384},
	    {ZMQ_RCVHWM, 16384},
	};

	replica->bus = bus;
	replica->role = role;
	replica->address = strdup(address);
	bug_if(!replica->address);
	if (!keyring_server_key(bus->keyring, role))
		return error_set(
		    err, ERR_UNAVAILABLE, "no key is listed for the server at %s", address);
	if (bus_socket_open(bus, &replica->socket, ZMQ_DEALER, &hooks, replica, err) < 0)
		return -1;
	bus_socket_set(&replica->socket, options, ARRAY_LEN(options));
	const char *key = keyring_server_key(bus->keyring, role);
	if (bus_socket_connect(&replica->socket, address, key, err) < 0)
		return -1;
	memcpy(replica->server_key, key, sizeof(replica->server_key));
	replica->key_turn = 1;
	replica->connecting_ms = clock_boot_ms();
	return 0;
}

void bus_replica_close(struct bus_replica *replica)
{
	bus_socket_close(&replica->socket);
	free(replica->address);
	replica->address = NULL;
}
