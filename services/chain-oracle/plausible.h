/* plausible - which nodes can be listened to (architecture, rule 3; security rule 13). Pure.
 *
 * Slots are bounded by time: a slot far in the future would poison every record it touches, and one in the past would let a seller in. In this
 * order, a node is set aside
 *	OTHER_CHAIN	when its genesis hash is not the expected one;
 *	AHEAD		when its slot is above the ceiling;
 *	CLOCK		while the chain's clock, as it sees it, is more than the allowed lag behind ours;
 *	BEHIND		while it is more than 150 slots behind two of those that are left, or behind one while its own clock is as late as 150 slots take
 *			at the least. One that merely claims to be ahead must not be left alone by that: its word would then be enough for a sign-in.
 * The ceiling is what mc:chain says and 10 slots for each second since, plus 300. Before the first sweep ever there is no such word; then it is the
 * second best node's slot plus 300, and for a single node only what 10 slots a second since Solana began allow.
 */
#ifndef CHAIN_ORACLE_PLAUSIBLE_H
#define CHAIN_ORACLE_PLAUSIBLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLAUSIBLE_BEHIND 150
#define PLAUSIBLE_SLACK 300
#define PLAUSIBLE_NODES_MAX 8

/* name, text for people and /readyz */
#define PLAUSIBLE_ASIDES(X) \
	X(NONE, "") \
	X(OTHER_CHAIN, "another chain") \
	X(AHEAD, "slot from the future") \
	X(CLOCK, "chain's clock too far behind") \
	X(BEHIND, "too far behind the best node")
enum plausible_aside {
#define PLAUSIBLE_ENUM(name, text) ASIDE_##name,
	PLAUSIBLE_ASIDES(PLAUSIBLE_ENUM)
#undef PLAUSIBLE_ENUM
};
const char *plausible_text(enum plausible_aside aside);

/* What a node last said. */
struct plausible_view {
	bool known;
	bool other_chain;
	uint64_t slot;
	int64_t clock_s; /* Clock sysvar, Unix seconds */
	uint64_t at_ms;  /* when it said so, Unix milliseconds by our clock */
};
struct plausible_chain {
	bool known; /* a sweep has counted */
	uint64_t slot, age_ms;
	uint64_t clock_lag_s; /* allowed */
	uint64_t slots_per_s; /* more than the chain can make: 10 */
	uint64_t now_ms;      /* Unix */
};

/* One verdict for each of n views (at most PLAUSIBLE_NODES_MAX); a view that is not known is not set aside, it just does not count. */
void plausible_judge(const struct plausible_view *views, size_t n,
    const struct plausible_chain *chain, enum plausible_aside *aside_r);
/* The highest slot that can be true now. */
uint64_t plausible_ceiling(
    const struct plausible_view *views, size_t n, const struct plausible_chain *chain);

#endif
