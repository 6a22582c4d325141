#include <errno.h>
#include <stdlib.h>

#include "common/bus_internal.h"
#include "common/log.h"

#define LIST_EVERY_S 1

void bus_refresh(struct bus *bus)
{
	if (keyring_refresh(bus->keyring))
		bus->list_changes++;
}

static void refresh(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	bus_refresh(arg);
}

static int start(struct bus *bus, struct error *err)
{
	static const struct timeval every = {LIST_EVERY_S, 0};

	bus->context = zmq_ctx_new();
	bus->tick = event_new(bus->base, -1, EV_PERSIST, refresh, bus);
	if (!bus->context || !bus->tick || event_add(bus->tick, &every) != 0)
		return error_set(err, ERR_UNAVAILABLE, "cannot start the bus");
	return bus_zap_open(bus, err);
}

struct bus *bus_new(
    struct event_base *base, struct keyring *keyring, struct metrics *metrics, struct error *err)
{
	struct bus *bus = calloc(1, sizeof(*bus));

	bug_if(!bus);
	bus->base = base;
	bus->keyring = keyring;
	bus->metrics = metrics;
	if (start(bus, err) < 0)
		bus_destroy(&bus);
	return bus;
}

void bus_destroy(struct bus **bus)
{
	struct bus *b = *bus;

	if (!b)
		return;
	bus_zap_close(b);
	/* a socket left open would make zmq_ctx_term wait for ever */
	bug_if(b->nsockets > 0);
	if (b->tick)
		event_free(b->tick);
	if (b->context)
		zmq_ctx_term(b->context);
	free(b);
	*bus = NULL;
}

struct metric *bus_counter(struct bus *bus, const char *name, const char *help, const char *labels)
{
	return bus->metrics ? metrics_counter(bus->metrics, name, help, labels) : NULL;
}

void bus_count(struct metric *counter)
{
	if (counter)
		metric_add(counter, 1);
}
