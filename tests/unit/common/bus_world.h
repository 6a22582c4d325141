/* bus_world - a folder with the keys of a small suite, and a loop to run real sockets on. */
#ifndef TESTS_BUS_WORLD_H
#define TESTS_BUS_WORLD_H

#include <errno.h>
#include <event2/event.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include <cmocka.h>

#include "common/bus_internal.h"
#include "common/clock.h"
#include "common/log.h"
#include "tests/unit/common/scratch.h"

enum who { ROUTER, AUTH, SESSION, ORACLE, OPERATOR, STRANGER, NWHO };

static const char *const who_file[] = {
    "router", "auth", "session", "chain-oracle", "operator", "stranger"};
static const char *const who_roles[] = {
    "router", "auth", "session", "chain-oracle", "operator-read+operator-revoke", NULL};

struct world {
	char folder[64];
	char public[NWHO][Z85_KEY_LEN + 1], secret[NWHO][Z85_KEY_LEN + 1];
	struct event_base *base;
	struct keyring *keyring[NWHO];
	struct bus *bus[NWHO]; /* opened by world_bus */
};

static inline void write_file(
    const char *folder, const char *name, mode_t mode, const char *fmt, ...)
{
	char path[160], temporary[170];
	va_list ap;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	snprintf(temporary, sizeof(temporary), "%s.new", path);
	FILE *file = fopen(temporary, "w");
	assert_non_null(file);
	va_start(ap, fmt);
	vfprintf(file, fmt, ap);
	va_end(ap);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(temporary, mode), 0);
	assert_int_equal(rename(temporary, path), 0);
}

/* Writes curve/peers: a bit per key that is listed. */
static inline void world_list(const struct world *world, unsigned listed)
{
	char text[1024] = "";

	for (int who = 0; who < NWHO; who++)
		if (listed & (1U << who))
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s %s\n",
			    who_roles[who] ? who_roles[who] : "router", world->public[who]);
	write_file(world->folder, "curve/peers", 0644, "%s", text);
}

#define EVERYBODY \
	((1U << ROUTER) | (1U << AUTH) | (1U << SESSION) | (1U << ORACLE) | (1U << OPERATOR))

static inline void world_open(struct world *world)
{
	char name[80];

	memset(world, 0, sizeof(*world));
	assert_true(sodium_init() >= 0);
	snprintf(world->folder, sizeof(world->folder), "/tmp/multiclaw-unit-XXXXXX");
	assert_non_null(mkdtemp(world->folder));
	snprintf(name, sizeof(name), "%s/curve", world->folder);
	assert_int_equal(mkdir(name, 0700), 0);
	for (int who = 0; who < NWHO; who++) {
		assert_int_equal(zmq_curve_keypair(world->public[who], world -> secret[who]), 0);
		snprintf(name, sizeof(name), "curve/%s.key", who_file[who]);
		write_file(world->folder, name, 0600, "public %s\nsecret %s\n", world->public[who],
		    world -> secret[who]);
	}
	world_list(world, EVERYBODY);
	world->base = event_base_new();
	assert_non_null(world->base);
}

static inline struct bus *world_bus(struct world *world, enum who who)
{
	struct error err = {0};

	if (world->bus[who])
		return world->bus[who];
	world->keyring[who] = keyring_open(world->folder, who_file[who], &err);
	if (!world->keyring[who])
		fail_msg("%s", err.text);
	world->bus[who] = bus_new(world->base, world->keyring[who], NULL, &err);
	if (!world->bus[who])
		fail_msg("%s", err.text);
	return world->bus[who];
}

static inline void world_close(struct world *world)
{
	for (int who = 0; who < NWHO; who++) {
		bus_destroy(&world->bus[who]);
		keyring_destroy(&world->keyring[who]);
	}
	event_base_free(world->base);
	assert_int_equal(scratch_remove(world->folder), 0);
}

/* Every bus of the world reads the list that world_list has just written. */
static inline void world_refresh(struct world *world)
{
	for (int who = 0; who < NWHO; who++)
		if (world->bus[who])
			bus_refresh(world->bus[who]);
}

static inline void world_break(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(arg);
}

/* Turns the loop for that long. */
static inline void world_run(struct world *world, unsigned ms)
{
	struct timeval in = {ms / 1000, (suseconds_t)(ms % 1000) * 1000};
	struct event *end = evtimer_new(world->base, world_break, world->base);

	evtimer_add(end, &in);
	event_base_dispatch(world->base);
	event_free(end);
}

/* Turns the loop until the condition holds; false if it does not within ms. */
#define WORLD_UNTIL(world, ms, condition) \
	({ \
		uint64_t end_ms = clock_boot_ms() + (ms); \
		while (!(condition) && clock_boot_ms() < end_ms) \
			world_run(world, 1); \
		(condition); \
	})

static inline char *world_address(const struct world *world, const char *name, char buf[96])
{
	snprintf(buf, 96, "ipc://%s/%s", world->folder, name);
	return buf;
}

#endif
