/* world - what a seed runs in: virtual time, a queue of what happens when, the seed's random numbers, memory that lasts as long as the seed, the
 * trace, and the first thing that was found wrong. One seed at a time, so it is global: the interfaces that are replaced at link time (seam_*.c)
 * have no other way to find it. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MS 1000u /* world time is in microseconds */
#define SECOND 1000000u
#define WORLD_EPOCH_MS 1800000000000u /* wall clocks, at time 0 */
#define FAILURE_MAX 400

struct proc;
struct planned;
typedef void (*world_fn)(void *arg);

struct world {
	uint64_t seed, now; /* µs */
	const char *bug;    /* that is planted; NULL: none */
	bool traces;
	struct proc *running; /* whose code is being run; NULL: the world's own */
	char failure[FAILURE_MAX];
	uint64_t steps;
};
extern struct world world;

void world_begin(uint64_t seed);
/* Runs what is planned until the time, or until something is wrong. */
void world_run_until(uint64_t time);
/* Forgets everything, frees the seed's memory. */
void world_end(void);

/* Same time: in the order of planning. */
struct planned *world_plan(uint64_t time, world_fn fn, void *arg);
void world_cancel(struct planned *planned); /* not after it has run */

uint64_t world_random(void);
uint64_t world_below(uint64_t n); /* 0..n-1 */
uint64_t world_between(uint64_t least, uint64_t most);
bool world_chance(unsigned percent);

/* Zeroed; gone with world_end. */
void *world_alloc(size_t size);
char *world_copy(const void *bytes, size_t len); /* NUL behind it */

void world_trace(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Only the first counts; the seed ends there. */
void world_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
bool world_has_failed(void);
bool world_bug(const char *name);

#endif
