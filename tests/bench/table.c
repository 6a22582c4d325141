/* table - router's table of decisions alone (services/router/decision.c), filled with so many sessions: what one revocation costs it.
 *
 *	table SESSIONS ENTRIES
 * Every session is of an asset of its own. Prints one JSON line: entries (as rounded), allowed (sessions that the table answers for: the rest found
 * their set full), bytes (RSS that filling it took), mark_ns (an event of one session's asset, median), miss_ns and allow_ns (a lookup of a session that has
 * been revoked, and of one that has not; cold, in random order; median), voided (other sessions that so many events took along: assets share marks), events.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "services/router/decision.h"

#define EVENTS_MAX 20000u

static const struct decision_moment now = {
    .has_lease = true, .history = 1, .unix_ms = 1, .boot_ms = 1000};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static size_t rss(void)
{
	unsigned long size = 0, resident = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	if (!file || fscanf(file, "%lu %lu", &size, &resident) != 2)
		exit(1);
	fclose(file);
	return resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* The i-th session: the same each time it is asked for. */
static void session_of(const struct decision_table *table, size_t i, uint8_t asset[PUBKEY_LEN],
    uint8_t key[DECISION_KEY_LEN])
{
	char token[32];
	size_t len = (size_t)snprintf(token, sizeof(token), "session %zu", i);

	crypto_generichash(asset, PUBKEY_LEN, (const uint8_t *)token, len, NULL, 0);
	decision_key(table, token, len, key);
}

static void fill(struct decision_table *table, size_t sessions)
{
	struct decision_answer answer = {
	    .audience = DECISION_AGENT, .exp_ms = 1u << 30, .history = 1, .position = {1, 0}};
	uint8_t key[DECISION_KEY_LEN];

	for (size_t i = 0; i < sessions; i++) {
		session_of(table, i, answer.asset, key);
		if (!decision_put(table, key, &answer, &now))
			exit(1);
	}
}

static size_t count_allowed(struct decision_table *table, size_t sessions)
{
	const struct decision_entry *found;
	uint8_t asset[PUBKEY_LEN], key[DECISION_KEY_LEN];
	size_t allowed = 0;

	for (size_t i = 0; i < sessions; i++) {
		session_of(table, i, asset, key);
		allowed += decision_lookup(table, key, NULL, &now, &found) == DECISION_ALLOW;
	}
	return allowed;
}

static int by_size(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static uint64_t median(uint64_t *values, size_t n)
{
	qsort(values, n, sizeof(*values), by_size);
	return values[n / 2];
}

int main(int argc, char **argv)
{
	static uint64_t allow_ns[EVENTS_MAX], mark_ns[EVENTS_MAX], miss_ns[EVENTS_MAX];
	const struct decision_entry *found;
	uint8_t asset[PUBKEY_LEN], key[DECISION_KEY_LEN];

	if (argc != 3 || sodium_init() < 0) {
		fprintf(stderr, "usage: table SESSIONS ENTRIES\n");
		return 2;
	}
	size_t sessions = strtoul(argv[1], NULL, 10), before = rss();
	size_t events = sessions / 2 < EVENTS_MAX ? sessions / 2 : EVENTS_MAX;
	struct decision_table *table = decision_table_new(strtoul(argv[2], NULL, 10));
	if (!table || events == 0)
		return 1;
	decision_restart(table, 1, (struct event_id){0, 0});
	fill(table, sessions);
	size_t bytes = rss() - before, allowed = count_allowed(table, sessions);
	for (size_t i = 0; i < events; i++) {
		session_of(table, randombytes_uniform((uint32_t)sessions), asset, key);
		uint64_t start = now_ns();
		decision_lookup(table, key, NULL, &now, &found);
		allow_ns[i] = now_ns() - start;
	}
	for (size_t i = 0; i < events; i++) {
		session_of(table, i * (sessions / events), asset, key);
		uint64_t start = now_ns();
		decision_mark(table, asset, (struct event_id){2, i});
		uint64_t marked = now_ns();
		if (decision_lookup(table, key, NULL, &now, &found) != DECISION_MISS)
			return 1;
		miss_ns[i] = now_ns() - marked;
		mark_ns[i] = marked - start;
	}
	size_t left = count_allowed(table, sessions);
	printf("{\"entries\":%lu,\"allowed\":%zu,\"bytes\":%zu,\"mark_ns\":%lu,\"miss_ns\":%lu,"
	       "\"allow_ns\":%lu,\"voided\":%zu,\"events\":%zu}\n",
	    (unsigned long)decision_table_entries(table), allowed, bytes, median(mark_ns, events),
	    median(miss_ns, events), median(allow_ns, events), allowed - left, events);
	decision_table_destroy(&table);
	return 0;
}
