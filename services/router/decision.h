/* decision - the bounded table of allows that session has answered lately, keyed by all that decided (architecture, rule 13).
 *
 * Free of I/O, of clocks and, after decision_table_new, of allocation; without a pointer inside, so that the whole table can lie in memory shared
 * with another reader. A set of 8 entries with LRU inside the set; memory is touched only where it is used. Only allows are kept, so
 * strangers cannot fill it.
 *
 * Marks say which answers are void: the newest event per bucket of assets, and one for "*". Within a history they only rise.
 */
#ifndef ROUTER_DECISION_H
#define ROUTER_DECISION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ledger.h"

#define DECISION_KEY_LEN 16
#define DECISION_JTI_LEN 16
#ifndef DECISION_BUCKETS /* fewer in the simulation, which starts a router each millisecond */
#define DECISION_BUCKETS 65536
#endif
#define DECISION_WAYS 8
/* An allow is asked for again after this long although nothing happened, so that last_seen_at of a session in use stays true. */
#define DECISION_CHECKED_MAX_MS 300000

enum decision_audience {
	DECISION_CONSOLE = 1,
	DECISION_AGENT = 2 /* agent:<id> of the same asset */
};

struct decision_entry {
	uint8_t key[DECISION_KEY_LEN]; /* keyed BLAKE2b-128 of the token */
	uint8_t asset[PUBKEY_LEN], wallet[PUBKEY_LEN];
	uint8_t jti[DECISION_JTI_LEN];
	struct event_id position; /* newest event when session looked */
	uint32_t epoch;           /* of the table when it was put; 0: empty */
	uint32_t exp_s;           /* Unix seconds, rounded down */
	uint32_t checked_s;       /* CLOCK_BOOTTIME seconds, rounded down */
	uint16_t used_s;          /* low bits of the same clock at the last use */
	uint8_t audience;
	uint8_t unused;
};
_Static_assert(sizeof(struct decision_entry) == 128, "an entry is two cache lines");

/* What session answered. */
struct decision_answer {
	uint8_t asset[PUBKEY_LEN], wallet[PUBKEY_LEN];
	uint8_t jti[DECISION_JTI_LEN];
	enum decision_audience audience;
	uint64_t exp_ms;          /* Unix */
	uint32_t history;         /* follower_history_number of the history it was looked up in */
	struct event_id position; /* newest event at that moment */
};

/* The moment of a decision, as the caller knows it then. */
struct decision_moment {
	bool has_lease;
	uint32_t history; /* follower_history_number */
	uint64_t unix_ms, boot_ms;
};

enum decision_verdict {
	DECISION_MISS,  /* nothing that holds now: ask session (or refuse, if there is no lease) */
	DECISION_OTHER, /* a good session, of another agent */
	DECISION_ALLOW,
};

struct decision_table;
/* entries is rounded up to a power of two, at least DECISION_WAYS. Draws its two keys. Caller owns the result; NULL if memory cannot be mapped. */
struct decision_table *decision_table_new(uint64_t entries);
void decision_table_destroy(struct decision_table **table);
uint64_t decision_table_entries(const struct decision_table *table);

void decision_key(const struct decision_table *table, const char *token, size_t len,
    uint8_t key_r[DECISION_KEY_LEN]);

/* agent: sandbox id that is asked for, NULL: any. found_r (unless DECISION_MISS): borrowed until the next call that changes the table. */
enum decision_verdict decision_lookup(struct decision_table *table,
    const uint8_t key[DECISION_KEY_LEN], const char *agent, const struct decision_moment *now,
    const struct decision_entry **found_r);

/* False, and nothing kept, if the answer is void already: of another history, or overtaken by an event. */
bool decision_put(struct decision_table *table, const uint8_t key[DECISION_KEY_LEN],
    const struct decision_answer *answer, const struct decision_moment *now);
/* Session has said that this token is no good: what it said before is gone, mark or no mark. */
void decision_forget(struct decision_table *table, const uint8_t key[DECISION_KEY_LEN]);
/* Would an answer with this position about this asset be void now? */
bool decision_is_void(
    const struct decision_table *table, const uint8_t asset[PUBKEY_LEN], struct event_id position);

/* An event of this asset, or of every asset (NULL). */
void decision_mark(
    struct decision_table *table, const uint8_t asset[PUBKEY_LEN], struct event_id id);
/* Rule 12: drops every answer; everything up to head counts as marked. In a new history the old marks mean nothing. */
void decision_restart(struct decision_table *table, uint32_t history, struct event_id head);

#endif
