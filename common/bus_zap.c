#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/bus_internal.h"
#include "common/clock.h"
#include "common/log.h"

/* Parts of a request, RFC 27; the last is the client's public key under CURVE. */
enum {
	ZAP_VERSION,
	ZAP_SEQUENCE,
	ZAP_DOMAIN,
	ZAP_ADDRESS,
	ZAP_IDENTITY,
	ZAP_MECHANISM,
	ZAP_KEY,
	ZAP_PARTS
};
#define REFUSAL_LOG_EVERY_MS 1000

static bool part_is(zmq_msg_t *part, const char *text)
{
	return zmq_msg_size(part) == strlen(text) &&
	       memcmp(zmq_msg_data(part), text, strlen(text)) == 0;
}

/* Roles that may connect to sockets of this domain. */
static unsigned roles_for(zmq_msg_t *domain)
{
	if (part_is(domain, BUS_DOMAIN))
		return ~0U;
	return part_is(domain, BELL_DOMAIN) ? ROLE_DAEMONS : 0;
}

static bool may_enter(const struct bus *bus, zmq_msg_t *part)
{
	return part_is(&part[ZAP_MECHANISM], "CURVE") && zmq_msg_size(&part[ZAP_KEY]) == 32 &&
	       (keyring_roles(bus->keyring, zmq_msg_data(&part[ZAP_KEY])) &
		   roles_for(&part[ZAP_DOMAIN]));
}

/* A stranger tries again every second or so; the log gets one line a second for all of them. */
static void note_refusal(struct bus *bus, zmq_msg_t *address)
{
	uint64_t now = clock_boot_ms();
	char text[64];

	bus->refusals++;
	bus_count(bus_counter(bus, "multiclaw_bus_strangers_total",
	    "Handshakes refused because the key is not on the list.", NULL));
	if (bus->refusal_logged_ms != 0 && now - bus->refusal_logged_ms < REFUSAL_LOG_EVERY_MS)
		return;
	snprintf(text, sizeof(text), "%.*s", (int)zmq_msg_size(address),
	    (const char *)zmq_msg_data(address));
	log_audit("stranger refused", "address", text, "so_far", log_u64(bus->refusals));
	bus->refusal_logged_ms = now;
}

/* Code, text, user id, metadata (none). */
static void answer(struct bus_socket *zap, zmq_msg_t *sequence, const char *code, const char *text,
    const char *user)
{
	const char *const parts[] = {code, text, user, ""};
	bool sent = bus_socket_send(zap, "1.0", 3, true) == 0 &&
		    bus_socket_send(zap, zmq_msg_data(sequence), zmq_msg_size(sequence), true) == 0;

	for (size_t i = 0; sent && i < ARRAY_LEN(parts); i++)
		sent =
		    bus_socket_send(zap, parts[i], strlen(parts[i]), i + 1 < ARRAY_LEN(parts)) == 0;
	if (!sent)
		log_error("ZAP reply not sent", "why", zmq_strerror(errno));
}

/* An unlisted key gets 300, which lets the peer try again and enter once it is listed; after 400 and 500 it would stop for ever. The user
 * id comes back with each of the peer's messages. */
static void judge(struct bus *bus, zmq_msg_t *part, size_t nparts)
{
	char user[Z85_KEY_LEN + 1];

	if (nparts != ZAP_PARTS || !part_is(&part[ZAP_VERSION], "1.0")) {
		answer(&bus->zap, &part[ZAP_SEQUENCE], "500", "malformed", "");
		return;
	}
	if (!may_enter(bus, part)) {
		note_refusal(bus, &part[ZAP_ADDRESS]);
		answer(&bus->zap, &part[ZAP_SEQUENCE], "300", "not listed", "");
		return;
	}
	zmq_z85_encode(user, zmq_msg_data(&part[ZAP_KEY]), 32);
	answer(&bus->zap, &part[ZAP_SEQUENCE], "200", "OK", user);
}

static bool receive(void *arg)
{
	struct bus *bus = arg;
	zmq_msg_t part[ZAP_PARTS];
	size_t n = bus_socket_receive(&bus->zap, part, ZAP_PARTS);

	if (n > 0)
		judge(bus, part, n);
	for (size_t i = 0; i < ZAP_PARTS; i++)
		zmq_msg_close(&part[i]);
	return n > 0;
}

static const struct bus_socket_hooks hooks = {.receive = receive};

int bus_zap_open(struct bus *bus, struct error *err)
{
	if (bus_socket_open(bus, &bus->zap, ZMQ_REP, &hooks, bus, err) < 0)
		return -1;
	if (zmq_bind(bus->zap.zmq, "inproc://zeromq.zap.01") != 0)
		return error_set(err, ERR_UNAVAILABLE, "no ZAP handler: %s", zmq_strerror(errno));
	bus_socket_look(&bus->zap);
	return 0;
}

void bus_zap_close(struct bus *bus)
{
	bus_socket_close(&bus->zap);
}
