#include "services/chain-oracle/plausible.h"

#include "common/error.h"

#define SOLANA_BEGAN_S 1584316800 /* 2020-03-16, the first slot of the main network */

static const char *const aside_texts[] = {
#define PLAUSIBLE_TEXT(name, text) [ASIDE_##name] = (text),
    PLAUSIBLE_ASIDES(PLAUSIBLE_TEXT)
#undef PLAUSIBLE_TEXT
};

const char *plausible_text(enum plausible_aside aside)
{
	return aside_texts[aside];
}

static uint64_t add(uint64_t a, uint64_t b)
{
	return __builtin_add_overflow(a, b, &a) ? UINT64_MAX : a;
}

static uint64_t slots_in(const struct plausible_chain *chain, uint64_t ms)
{
	uint64_t seconds = ms / 1000, rest_ms = ms % 1000, slots;
	if (__builtin_mul_overflow(seconds, chain->slots_per_s, &slots))
		return UINT64_MAX;
	return add(slots, rest_ms * chain->slots_per_s / 1000);
}

/* Highest slot since Solana began, whatever anyone says. */
static uint64_t absolute_ceiling(const struct plausible_chain *chain)
{
	const uint64_t began_ms = (uint64_t)SOLANA_BEGAN_S * 1000;
	uint64_t age_ms = chain->now_ms > began_ms ? chain->now_ms - began_ms : 0;
	return add(slots_in(chain, age_ms), PLAUSIBLE_SLACK);
}

static bool is_late(const struct plausible_view *view, uint64_t allowed_s)
{
	int64_t said_s = (int64_t)(view->at_ms / 1000);
	int64_t lag_s;
	return __builtin_sub_overflow(said_s, view->clock_s, &lag_s) || lag_s > (int64_t)allowed_s;
}

static bool counts(const struct plausible_view *view, const struct plausible_chain *chain)
{
	return view->known && !view->other_chain && view->slot <= absolute_ceiling(chain) &&
	       !is_late(view, chain->clock_lag_s);
}

/* The two highest slots so far; 0: there is none. */
struct lead {
	uint64_t best, second;
};

static void lead_add(struct lead *lead, uint64_t slot)
{
	if (slot > lead->best) {
		lead->second = lead->best;
		lead->best = slot;
	} else if (slot > lead->second) {
		lead->second = slot;
	}
}

/* 0 if fewer than two nodes count. */
static uint64_t second_best(
    const struct plausible_view *views, size_t n, const struct plausible_chain *chain)
{
	struct lead lead = {0};
	for (size_t i = 0; i < n; i++)
		if (counts(&views[i], chain))
			lead_add(&lead, views[i].slot);
	return lead.second;
}

static bool is_far_below(const struct plausible_view *view, uint64_t slot)
{
	return slot > view->slot && slot - view->slot > PLAUSIBLE_BEHIND;
}

static bool is_behind(
    const struct plausible_view *view, const struct lead *lead, const struct plausible_chain *chain)
{
	const uint64_t late_s = PLAUSIBLE_BEHIND / (chain->slots_per_s ? chain->slots_per_s : 1);
	return is_far_below(view, lead->second) ||
	       (is_far_below(view, lead->best) && is_late(view, late_s));
}

uint64_t plausible_ceiling(
    const struct plausible_view *views, size_t n, const struct plausible_chain *chain)
{
	uint64_t absolute = absolute_ceiling(chain);
	uint64_t ceiling = absolute;
	if (chain->known) {
		ceiling = add(chain->slot, add(slots_in(chain, chain->age_ms), PLAUSIBLE_SLACK));
	} else {
		uint64_t second = second_best(views, n, chain);
		if (second > 0)
			ceiling = add(second, PLAUSIBLE_SLACK);
	}
	return ceiling < absolute ? ceiling : absolute;
}

void plausible_judge(const struct plausible_view *views, size_t n,
    const struct plausible_chain *chain, enum plausible_aside *aside_r)
{
	bug_if(n > PLAUSIBLE_NODES_MAX);
	uint64_t ceiling = plausible_ceiling(views, n, chain);
	struct lead lead = {0};
	for (size_t i = 0; i < n; i++) {
		aside_r[i] = ASIDE_NONE;
		if (!views[i].known)
			continue;
		if (views[i].other_chain)
			aside_r[i] = ASIDE_OTHER_CHAIN;
		else if (views[i].slot > ceiling)
			aside_r[i] = ASIDE_AHEAD;
		else if (is_late(&views[i], chain->clock_lag_s))
			aside_r[i] = ASIDE_CLOCK;
		else
			lead_add(&lead, views[i].slot);
	}
	for (size_t i = 0; i < n; i++)
		if (views[i].known && aside_r[i] == ASIDE_NONE &&
		    is_behind(&views[i], &lead, chain))
			aside_r[i] = ASIDE_BEHIND;
}
