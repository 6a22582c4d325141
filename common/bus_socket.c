#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bus_internal.h"
#include "common/log.h"

#define DRAIN_BUDGET 64
#define HEARTBEAT_MS 200
#define HEARTBEAT_TIMEOUT_MS 600
#ifndef ZMQ_ZAP_ENFORCE_DOMAIN
#define ZMQ_ZAP_ENFORCE_DOMAIN 93 /* declared as a draft, present in every build of 4.3 */
#endif

static int events_of(const struct bus_socket *socket)
{
	int events = 0;
	size_t size = sizeof(events);

	return zmq_getsockopt(socket->zmq, ZMQ_EVENTS, &events, &size) == 0 ? events : 0;
}

static void drain(evutil_socket_t fd, short what, void *arg)
{
	struct bus_socket *socket = arg;
	int budget = DRAIN_BUDGET;

	(void)fd;
	(void)what;
	socket->draining = true;
	while (budget > 0 && socket->hooks->receive(socket->arg))
		budget--;
	int events = events_of(socket);
	if (events & ZMQ_POLLIN)
		bus_socket_look(socket);
	if (socket->hooks->drained)
		socket->hooks->drained(socket->arg, events & ZMQ_POLLOUT);
	socket->draining = false;
}

/* A timer of 0 s, not event_active: that would run in the same pass and starve everybody else. */
void bus_socket_look(struct bus_socket *socket)
{
	static const struct timeval now = {0, 0};

	if (!evtimer_pending(socket->again, NULL))
		evtimer_add(socket->again, &now);
}

void bus_socket_set(struct bus_socket *socket, const struct bus_option *options, size_t noptions)
{
	for (size_t i = 0; i < noptions; i++)
		bug_if(zmq_setsockopt(socket->zmq, options[i].option, &options[i].value,
			   sizeof(options[i].value)) != 0);
}

void bus_socket_limit(struct bus_socket *socket, int64_t frame_max)
{
	bug_if(zmq_setsockopt(socket->zmq, ZMQ_MAXMSGSIZE, &frame_max, sizeof(frame_max)) != 0);
}

static void set_text(struct bus_socket *socket, int option, const char *text)
{
	bug_if(zmq_setsockopt(socket->zmq, option, text, strlen(text)) != 0);
}

static void set_defaults(struct bus_socket *socket)
{
	static const struct bus_option options[] = {
	    {ZMQ_LINGER, 0},
	    {ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS},
	    {ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS},
	    {ZMQ_CONNECT_TIMEOUT, 1000},
	    {ZMQ_RECONNECT_IVL, 50},
	    {ZMQ_RECONNECT_IVL_MAX, 1000},
	};

	bus_socket_set(socket, options, ARRAY_LEN(options));
	bus_socket_limit(socket, BUS_FRAME_MAX);
}

static void add_events(struct bus_socket *socket)
{
	evutil_socket_t fd = -1;
	size_t size = sizeof(fd);

	bug_if(zmq_getsockopt(socket->zmq, ZMQ_FD, &fd, &size) != 0);
	socket->readable = event_new(socket->bus->base, fd, EV_READ | EV_PERSIST, drain, socket);
	socket->again = evtimer_new(socket->bus->base, drain, socket);
	bug_if(!socket->readable || !socket->again || event_add(socket->readable, NULL) != 0);
}

int bus_socket_open(struct bus *bus, struct bus_socket *socket, int type,
    const struct bus_socket_hooks *hooks, void *arg, struct error *err)
{
	*socket = (struct bus_socket){.bus = bus, .hooks = hooks, .arg = arg};
	socket->zmq = zmq_socket(bus->context, type);
	if (!socket->zmq)
		return error_set(
		    err, ERR_UNAVAILABLE, "cannot open a socket: %s", zmq_strerror(errno));
	bus->nsockets++;
	set_defaults(socket);
	add_events(socket);
	return 0;
}

void bus_socket_close(struct bus_socket *socket)
{
	if (!socket->zmq)
		return;
	bug_if(socket->draining);
	event_free(socket->readable);
	event_free(socket->again);
	zmq_close(socket->zmq);
	socket->zmq = NULL;
	socket->bus->nsockets--;
}

void bus_socket_serve_curve(struct bus_socket *socket, const char *domain)
{
	/* without the second, a socket whose ZAP handler is gone lets every key in */
	static const struct bus_option options[] = {
	    {ZMQ_CURVE_SERVER, 1},
	    {ZMQ_ZAP_ENFORCE_DOMAIN, 1},
	    {ZMQ_HANDSHAKE_IVL, 2000},
	};

	set_text(socket, ZMQ_ZAP_DOMAIN, domain);
	bus_socket_set(socket, options, ARRAY_LEN(options));
	set_text(socket, ZMQ_CURVE_SECRETKEY, keyring_own_secret(socket->bus->keyring));
}

static void allow_ipv6(struct bus_socket *socket, const char *address)
{
	bus_socket_set(socket, &(struct bus_option){ZMQ_IPV6, strchr(address, '[') != NULL}, 1);
}

int bus_socket_bind(struct bus_socket *socket, const char *address, struct error *err)
{
	allow_ipv6(socket, address);
	if (zmq_bind(socket->zmq, address) != 0)
		return error_set(
		    err, ERR_UNAVAILABLE, "cannot bind %s: %s", address, zmq_strerror(errno));
	bus_socket_look(socket);
	return 0;
}

int bus_socket_connect(
    struct bus_socket *socket, const char *address, const char *server_key, struct error *err)
{
	const struct keyring *keyring = socket->bus->keyring;

	(void)zmq_disconnect(socket->zmq, address); /* fails if there was none */
	allow_ipv6(socket, address);
	bus_socket_set(socket, &(struct bus_option){ZMQ_HANDSHAKE_IVL, 1000}, 1);
	set_text(socket, ZMQ_CURVE_SERVERKEY, server_key);
	set_text(socket, ZMQ_CURVE_PUBLICKEY, keyring_own_public(keyring));
	set_text(socket, ZMQ_CURVE_SECRETKEY, keyring_own_secret(keyring));
	if (zmq_connect(socket->zmq, address) != 0)
		return error_set(
		    err, ERR_UNAVAILABLE, "cannot connect %s: %s", address, zmq_strerror(errno));
	bus_socket_look(socket);
	return 0;
}

static bool take_part(struct bus_socket *socket, zmq_msg_t *part)
{
	while (zmq_msg_recv(part, socket->zmq, ZMQ_DONTWAIT) < 0)
		if (errno != EINTR)
			return false;
	return true;
}

size_t bus_socket_receive(struct bus_socket *socket, zmq_msg_t *parts, size_t max)
{
	zmq_msg_t spare;
	size_t n = 0;
	bool more = true;

	zmq_msg_init(&spare);
	for (size_t i = 0; i < max; i++)
		zmq_msg_init(&parts[i]);
	while (more) {
		zmq_msg_t *part = n < max ? &parts[n] : &spare;
		if (!take_part(socket, part))
			break;
		more = zmq_msg_more(part);
		n++;
	}
	zmq_msg_close(&spare);
	return n;
}

/* In libzmq's I/O thread, once the message is encrypted or dropped. */
static void wipe_part(void *bytes, void *len)
{
	sodium_memzero(bytes, (size_t)(uintptr_t)len);
	free(bytes);
}

/* Like zmq_send, but the copy, which may hold a secret, is not left in freed memory. */
static int send_part(struct bus_socket *socket, const void *bytes, size_t len, int flags)
{
	zmq_msg_t part;
	void *copy = malloc(len ? len : 1);

	bug_if(!copy);
	memcpy(copy, bytes, len);
	bug_if(zmq_msg_init_data(&part, copy, len, wipe_part, (void *)(uintptr_t)len) != 0);
	while (zmq_msg_send(&part, socket->zmq, flags) < 0) {
		if (errno != EINTR) {
			zmq_msg_close(&part);
			return -1;
		}
	}
	return 0;
}

int bus_socket_send(struct bus_socket *socket, const void *bytes, size_t len, bool more)
{
	if (send_part(socket, bytes, len, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) != 0)
		return -1;
	bus_socket_look(socket);
	return 0;
}

int bus_monitor_open(struct bus_socket *monitor, struct bus_socket *watched, int events,
    const struct bus_socket_hooks *hooks, void *arg, struct error *err)
{
	char name[64];

	snprintf(name, sizeof(name), "inproc://monitor-%s", log_u64(++watched->bus->monitors));
	if (bus_socket_open(watched->bus, monitor, ZMQ_PAIR, hooks, arg, err) < 0)
		return -1;
	/* libzmq's I/O thread writes the events, and would wait for us to read */
	bus_socket_set(monitor, &(struct bus_option){ZMQ_RCVHWM, 0}, 1);
	if (zmq_socket_monitor(watched->zmq, name, events) != 0 ||
	    zmq_connect(monitor->zmq, name) != 0) {
		error_set(err, ERR_UNAVAILABLE, "cannot watch a socket: %s", zmq_strerror(errno));
		bus_socket_close(monitor);
		return -1;
	}
	bus_socket_look(monitor);
	return 0;
}

/* An event is two parts: a 16-bit event and a 32-bit value, then the address (zmq_socket_monitor(3)). */
int bus_monitor_receive(struct bus_socket *monitor)
{
	zmq_msg_t part;
	uint16_t event = 0;

	if (bus_socket_receive(monitor, &part, 1) > 0 && zmq_msg_size(&part) >= sizeof(event))
		memcpy(&event, zmq_msg_data(&part), sizeof(event));
	zmq_msg_close(&part);
	return event;
}

/* The I/O thread would wait for ever to tell an event to a monitor that is gone. */
void bus_monitor_close(struct bus_socket *monitor, struct bus_socket *watched)
{
	if (!monitor->zmq)
		return;
	zmq_socket_monitor(watched->zmq, NULL, 0);
	bus_socket_close(monitor);
}
