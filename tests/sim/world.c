#include "tests/sim/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"

#define CHUNK_BYTES (256 * 1024)
#define CHUNKS_MAX 1024

struct planned {
	uint64_t time, number;
	world_fn fn; /* NULL: cancelled */
	void *arg;
};

struct world world;
static struct {
	struct planned **heap;
	size_t len, cap;
	uint64_t number, random;
	char *chunk[CHUNKS_MAX]; /* kept for the next seed */
	size_t nchunks, current, used;
} own;

/* ---- random numbers: splitmix64 */

uint64_t world_random(void)
{
	uint64_t z = (own.random += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint64_t world_below(uint64_t n)
{
	return world_random() % n;
}

uint64_t world_between(uint64_t least, uint64_t most)
{
	return least + world_below(most - least + 1);
}

bool world_chance(unsigned percent)
{
	return world_below(100) < percent;
}

/* ---- memory */

void *world_alloc(size_t size)
{
	size = (size + 15) & ~(size_t)15;
	bug_if(size > CHUNK_BYTES);
	if (own.nchunks == 0 || own.used + size > CHUNK_BYTES) {
		if (own.nchunks > 0)
			own.current++;
		if (own.current == own.nchunks) {
			bug_if(own.nchunks == CHUNKS_MAX);
			own.chunk[own.nchunks] = malloc(CHUNK_BYTES);
			bug_if(!own.chunk[own.nchunks]);
			own.nchunks++;
		}
		own.used = 0;
	}
	void *mem = own.chunk[own.current] + own.used;
	own.used += size;
	return memset(mem, 0, size);
}

char *world_copy(const void *bytes, size_t len)
{
	return len ? memcpy(world_alloc(len + 1), bytes, len) : world_alloc(1);
}

/* ---- what happens when: a heap */

static bool is_before(const struct planned *a, const struct planned *b)
{
	return a->time != b->time ? a->time < b->time : a->number < b->number;
}

static void swap(size_t a, size_t b)
{
	struct planned *other = own.heap[a];

	own.heap[a] = own.heap[b];
	own.heap[b] = other;
}

struct planned *world_plan(uint64_t time, world_fn fn, void *arg)
{
	struct planned *planned = world_alloc(sizeof(*planned));

	*planned = (struct planned){time < world.now ? world.now : time, own.number++, fn, arg};
	if (own.len == own.cap) {
		own.cap = own.cap ? 2 * own.cap : 256;
		own.heap = realloc(own.heap, own.cap * sizeof(struct planned *));
		bug_if(!own.heap);
	}
	size_t i = own.len++;
	own.heap[i] = planned;
	for (; i > 0 && is_before(own.heap[i], own.heap[(i - 1) / 2]); i = (i - 1) / 2)
		swap(i, (i - 1) / 2);
	return planned;
}

void world_cancel(struct planned *planned)
{
	planned->fn = NULL;
}

static struct planned *take_first(void)
{
	struct planned *first = own.heap[0];

	own.heap[0] = own.heap[--own.len];
	for (size_t i = 0, next = 1; next < own.len; i = next, next = 2 * i + 1) {
		if (next + 1 < own.len && is_before(own.heap[next + 1], own.heap[next]))
			next++;
		if (!is_before(own.heap[next], own.heap[i]))
			break;
		swap(i, next);
	}
	return first;
}

void world_begin(uint64_t seed)
{
	const char *bug = world.bug;
	bool traces = world.traces;

	world = (struct world){.seed = seed, .bug = bug, .traces = traces};
	own.random = seed * 0x2545f4914f6cdd1du + 1;
	own.len = own.number = own.current = own.used = 0;
}

void world_run_until(uint64_t time)
{
	while (own.len > 0 && own.heap[0]->time <= time && !world_has_failed()) {
		struct planned *planned = take_first();
		world.now = planned->time;
		world.steps++;
		if (planned->fn)
			planned->fn(planned->arg);
	}
	if (world.now < time)
		world.now = time;
}

void world_end(void)
{
	own.len = own.current = own.used = 0;
}

/* ---- what is told */

void world_trace(const char *fmt, ...)
{
	va_list args;

	if (!world.traces)
		return;
	printf("%9.3f  ", (double)world.now / MS);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
}

void world_fail(const char *fmt, ...)
{
	char text[FAILURE_MAX - 32];
	va_list args;

	if (world_has_failed())
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	snprintf(
	    world.failure, sizeof(world.failure), "at %.3f ms: %s", (double)world.now / MS, text);
	world_trace("WRONG: %s", text);
}

bool world_has_failed(void)
{
	return world.failure[0];
}

bool world_bug(const char *name)
{
	return world.bug && strcmp(world.bug, name) == 0;
}
