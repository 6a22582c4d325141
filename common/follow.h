/* follow - what one read of the events means for its reader (architecture, rules 10-12, 16-18):
 * no clock, no socket, no callback, so that each decision can be tested on its own. follower.c
 * owns the timers and acts on the verdicts. Times are milliseconds of CLOCK_BOOTTIME. */
#ifndef COMMON_FOLLOW_H
#define COMMON_FOLLOW_H

#include "common/ledger.h"

#define FOLLOW_LEASE_MS 2000
#define FOLLOW_ASK_AGAIN_MAX 8
#define FOLLOW_STRAYS_MAX \
	4 /* Redis' beginnings within the time of a read; of more, the oldest is forgotten */

/* An event that Redis must still have. */
struct follow_known {
	bool set;
	struct ledger_known event;
};

struct follow {
	char history[HISTORY_MAX + 1];        /* "" before the first answer */
	struct event_id cursor;               /* last event handled */
	char cursor_history[HISTORY_MAX + 1]; /* that it was added in */
	struct follow_known newest; /* handled, written or heard of; never falls within a history */
	/* heard of or written, in histories that are not this one: late, or not yet known here. The newest of each; told until a read that told it is answered */
	struct follow_known stray[FOLLOW_STRAYS_MAX];
	uint64_t lease_until_ms;
	uint64_t judged; /* number of the last read judged */
	unsigned asked_again;

	struct ledger_chain chain;
	uint64_t now_ms;       /* Redis' clock, in the last answer */
	uint64_t now_sent_ms;  /* when that was asked for */
	uint64_t slot_rose_ms; /* when chain.slot was last seen to rise */
};

struct follow_read {
	uint64_t number; /* 1, 2, ...: an answer older than one already judged is ignored */
	uint64_t sent_ms;
	char history[HISTORY_MAX + 1];
	bool has_cursor;
	struct event_id cursor;
	struct ledger_known known[LEDGER_KNOWN_MAX]; /* what it tells Redis: newest and strays */
	size_t nknown;
};

enum follow_act {
	FOLLOW_IGNORE, /* overtaken by an answer to a later read */
	/* a new history, but something is known that this read did not tell it (rule 12) */
	FOLLOW_ASK_AGAIN,
	FOLLOW_START_OVER, /* go on from the head */
	FOLLOW_GO_ON,      /* handle events[first..] */
};

struct follow_verdict {
	enum follow_act act;
	bool new_history;
	size_t first;
	bool more;               /* the head was not reached: read again at once */
	uint64_t lease_until_ms; /* once everything is handled */
};

/* Fills in what the next read says. */
void follow_ask(
    const struct follow *follow, uint64_t number, uint64_t now_ms, struct follow_read *read_r);
struct follow_verdict follow_judge(const struct follow *follow, const struct follow_read *read,
    const struct ledger_follow *answer);

/* The steps a verdict asks for, in this order. follow_begin: everything but events and lease;
 * false: nothing more to do (ignored, or ask again). */
bool follow_begin(struct follow *follow, const struct follow_read *read,
    const struct ledger_follow *answer, const struct follow_verdict *verdict);
/* An event was handled: cursor and newest advance. */
void follow_handled(struct follow *follow, const char *history, struct event_id id);
void follow_started_over(struct follow *follow, const struct follow_read *read,
    const struct ledger_follow *answer, const struct follow_verdict *verdict);
void follow_lease(struct follow *follow, const struct follow_verdict *verdict);

/* Is everything up to this event, which was the newest of Redis' at some moment, handled? An id alone does not say: what a history lost, another gives out again. */
bool follow_has_handled(const struct follow *follow, const char *history, struct event_id id);
/* An event written or heard of. True: news. */
bool follow_heard(struct follow *follow, const char *history, struct event_id id);

/* Rule 18: the larger of the age by Redis' clock and by ours since the slot last rose;
 * UINT64_MAX if no sweep ever counted. */
uint64_t follow_chain_age_ms(const struct follow *follow, uint64_t now_ms);
/* Redis' clock, rather ahead than behind (it was asked at the moment of sending); 0: unknown. */
uint64_t follow_redis_now_ms(const struct follow *follow, uint64_t now_ms);

#endif
