/* llm_usage - limits and counts of what agents use of LLM providers, in Redis (llm_usage.lua), so that several hosts share them: the C side. llm-gateway judges
 * and notes, router reads. What a buyer reads begins with them: counts are kept by asset and wallet. Money is in micro-USD, days are UTC's.
 *
 * Every done callback is called exactly once and never from inside the call; *out is borrowed for the call and NULL when err is set.
 */
#ifndef COMMON_LLM_USAGE_H
#define COMMON_LLM_USAGE_H

#include "common/ledger.h"

#define LLM_USAGE_DAYS_MAX 31
#define LLM_USAGE_MODELS_MAX 16 /* of one agent in one day; others are counted as "other" */
#define LLM_USAGE_NAME_MAX 128

struct llm_usage_rates { /* 0: no limit */
	uint64_t requests_minute, tokens_minute, requests_day, tokens_day;
};
struct llm_usage_limits {
	struct llm_usage_rates agent, key; /* of each agent; of each provider's global key */
	uint64_t agent_micro,
	    all_micro; /* of global keys in a day: each agent, and all of them. 0: no cap */
};
struct llm_usage_who {
	const char *asset, *wallet, *provider, *source;
};

struct llm_usage_judged {
	char which[24]; /* "": it may, and is counted; else the limit that is reached */
	uint64_t wait_s, day;
	struct event_id head; /* the newest event at that moment, and the history it was added in */
	char head_history[HISTORY_MAX + 1];
};
typedef void (*llm_usage_judged_done)(
    void *arg, const struct llm_usage_judged *out, const struct error *err);
/* keep_days: how long counts are kept. */
void llm_usage_judge(struct redis *redis, const struct llm_usage_who *who, uint64_t keep_days,
    const struct llm_usage_limits *limits, llm_usage_judged_done done, void *arg);

struct llm_usage_note {
	uint64_t day;      /* as judge said */
	const char *model; /* "": not known */
	uint64_t input, output;
	bool unknown;     /* there may have been more */
	uint64_t charged; /* tokens that limits count */
	bool is_priced;
	uint64_t micro;
};
/* What became of one that was judged. done: err NULL if it was noted. */
typedef void (*llm_usage_noted_done)(void *arg, const struct error *err);
void llm_usage_note(struct redis *redis, const struct llm_usage_who *who,
    const struct llm_usage_note *note, llm_usage_noted_done done, void *arg);
/* Tells those who read by what it is judged. */
void llm_usage_tell(struct redis *redis, const struct llm_usage_limits *limits,
    llm_usage_noted_done done, void *arg);

struct llm_usage_row {
	uint64_t day;
	char provider[64 + 1], source[6 + 1],
	    model[LLM_USAGE_NAME_MAX + 1]; /* model "": not told, or not yet */
	uint64_t requests, input, output, unknown, micro;
	uint64_t unpriced; /* so many of them have no price */
};
struct llm_usage {
	uint64_t day; /* now */
	struct llm_usage_rates used;
	bool has_limits;
	struct llm_usage_limits limits;
	size_t nrows; /* the newest day first */
	const struct llm_usage_row *rows;
};
typedef void (*llm_usage_read_done)(
    void *arg, const struct llm_usage *out, const struct error *err);
/* days: 1 to LLM_USAGE_DAYS_MAX, today's included. */
void llm_usage_read(struct redis *redis, const char *asset, const char *wallet, uint64_t days,
    llm_usage_read_done done, void *arg);

#endif
