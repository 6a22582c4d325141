#include "common/follow.h"

#include <string.h>

static void know(struct follow_known *known, const char *history, struct event_id id)
{
	known->set = true;
	known->event.id = id;
	snprintf(known->event.history, sizeof(known->event.history), "%s", history);
}

static bool raise_known(struct follow_known *known, const char *history, struct event_id id)
{
	if (known->set && event_id_compare(id, known->event.id) <= 0)
		return false;
	know(known, history, id);
	return true;
}

/* The one of this history; else one that is free; else the oldest. */
static struct follow_known *stray_of(struct follow *follow, const char *history)
{
	struct follow_known *found = NULL;

	for (size_t i = 0; i < FOLLOW_STRAYS_MAX; i++) {
		struct follow_known *stray = &follow->stray[i];
		if (stray->set && strcmp(stray->event.history, history) == 0)
			return stray;
		if (!found || (found->set && (!stray->set || event_id_compare(stray->event.id,
								 found->event.id) < 0)))
			found = stray;
	}
	found->set = false;
	return found;
}

static bool add_stray(struct follow *follow, const char *history, struct event_id id)
{
	return raise_known(stray_of(follow, history), history, id);
}

static void tell(struct follow_read *read, const struct follow_known *known)
{
	if (known->set)
		read->known[read->nknown++] = known->event;
}

void follow_ask(
    const struct follow *follow, uint64_t number, uint64_t now_ms, struct follow_read *read_r)
{
	*read_r = (struct follow_read){
	    .number = number,
	    .sent_ms = now_ms,
	    .has_cursor = follow->history[0] != '\0',
	    .cursor = follow->cursor,
	};
	memcpy(read_r->history, follow->history, sizeof(read_r->history));
	tell(read_r, &follow->newest);
	for (size_t i = 0; i < FOLLOW_STRAYS_MAX; i++)
		tell(read_r, &follow->stray[i]);
}

static bool is_untold(const struct follow_known *known, const struct follow_read *read)
{
	if (!known->set)
		return false;
	for (size_t i = 0; i < read->nknown; i++)
		if (event_id_compare(read->known[i].id, known->event.id) == 0 &&
		    strcmp(read->known[i].history, known->event.history) == 0)
			return false;
	return true;
}

static bool has_untold(const struct follow *follow, const struct follow_read *read)
{
	bool untold = is_untold(&follow->newest, read);

	for (size_t i = 0; i < FOLLOW_STRAYS_MAX; i++)
		untold |= is_untold(&follow->stray[i], read);
	return untold;
}

/* A lease needs the head of a settled history, and counts from the sending: the answer may have
 * been under way for long. */
static uint64_t lease(const struct follow_read *read, const struct ledger_follow *answer)
{
	return answer->settling_ms == 0 ? read->sent_ms + FOLLOW_LEASE_MS : 0;
}

static void judge_events(const struct follow *follow, const struct follow_read *read,
    const struct ledger_follow *answer, struct follow_verdict *verdict)
{
	struct event_id last = read->cursor;
	size_t first = 0;

	while (first < answer->nevents &&
	       event_id_compare(answer->events[first].id, follow->cursor) <= 0)
		first++;
	if (answer->nevents > 0)
		last = answer->events[answer->nevents - 1].id;
	bool at_head = event_id_compare(last, answer->head) == 0;
	verdict->act = FOLLOW_GO_ON;
	verdict->first = first;
	verdict->more = !at_head && first < answer->nevents;
	if (at_head || answer->settling_ms > 0)
		verdict->lease_until_ms = lease(read, answer);
	else
		verdict->lease_until_ms = follow->lease_until_ms;
}

struct follow_verdict follow_judge(
    const struct follow *follow, const struct follow_read *read, const struct ledger_follow *answer)
{
	struct follow_verdict verdict = {
	    .act = FOLLOW_IGNORE, .lease_until_ms = follow->lease_until_ms};

	if (read->number <= follow->judged)
		return verdict;
	verdict.new_history = strcmp(answer->history, follow->history) != 0;
	if (verdict.new_history && follow->asked_again < FOLLOW_ASK_AGAIN_MAX &&
	    has_untold(follow, read)) {
		verdict.act = FOLLOW_ASK_AGAIN;
		verdict.more = true;
		verdict.lease_until_ms = 0;
	} else if (verdict.new_history || answer->restart) {
		verdict.act = FOLLOW_START_OVER;
		verdict.lease_until_ms = lease(read, answer);
	} else {
		judge_events(follow, read, answer, &verdict);
	}
	return verdict;
}

static void note_chain(
    struct follow *follow, const struct follow_read *read, const struct ledger_follow *answer)
{
	const struct ledger_chain *chain = &answer->chain;

	if (chain->known && (!follow->chain.known || chain->slot > follow->chain.slot))
		follow->slot_rose_ms = read->sent_ms;
	follow->chain = *chain;
	follow->now_ms = answer->now_ms;
	follow->now_sent_ms = read->sent_ms;
}

bool follow_begin(struct follow *follow, const struct follow_read *read,
    const struct ledger_follow *answer, const struct follow_verdict *verdict)
{
	if (verdict->act == FOLLOW_IGNORE)
		return false;
	follow->judged = read->number;
	note_chain(follow, read, answer);
	if (verdict->act == FOLLOW_ASK_AGAIN) {
		follow->lease_until_ms = 0;
		follow->asked_again++;
		return false;
	}
	for (size_t i = 0; i < FOLLOW_STRAYS_MAX; i++)
		follow->stray[i].set = is_untold(&follow->stray[i], read);
	if (verdict->act == FOLLOW_GO_ON)
		return true;
	follow->lease_until_ms = 0;
	follow->asked_again = 0;
	memcpy(follow->history, answer->history, sizeof(follow->history));
	return true;
}

void follow_handled(struct follow *follow, const char *history, struct event_id id)
{
	follow->cursor = id;
	snprintf(follow->cursor_history, sizeof(follow->cursor_history), "%s", history);
	raise_known(&follow->newest, history, id);
}

void follow_started_over(struct follow *follow, const struct follow_read *read,
    const struct ledger_follow *answer, const struct follow_verdict *verdict)
{
	follow->cursor = answer->head;
	memcpy(follow->cursor_history, answer->head_history, sizeof(answer->head_history));
	if (verdict->new_history) {
		/* what the new history was told is done with, or one loss would be found in
		 * every history to come */
		if (is_untold(&follow->newest, read))
			add_stray(follow, follow->newest.event.history, follow->newest.event.id);
		follow->newest.set = false;
	}
	if (answer->head_history[0])
		raise_known(&follow->newest, answer->head_history, answer->head);
	for (size_t i = 0; i < FOLLOW_STRAYS_MAX; i++) {
		struct follow_known *stray = &follow->stray[i];
		if (!stray->set || strcmp(stray->event.history, follow->history) != 0)
			continue;
		raise_known(&follow->newest, stray->event.history, stray->event.id);
		stray->set = false;
	}
}

void follow_lease(struct follow *follow, const struct follow_verdict *verdict)
{
	follow->lease_until_ms = verdict->lease_until_ms;
}

bool follow_has_handled(const struct follow *follow, const char *history, struct event_id id)
{
	int order = event_id_compare(id, follow->cursor);

	if (order == 0)
		return strcmp(history, follow->cursor_history) == 0;
	return order < 0 && strcmp(history, follow->history) == 0;
}

bool follow_heard(struct follow *follow, const char *history, struct event_id id)
{
	return strcmp(history, follow->history) == 0 ? raise_known(&follow->newest, history, id)
						     : add_stray(follow, history, id);
}

uint64_t follow_redis_now_ms(const struct follow *follow, uint64_t now_ms)
{
	return follow->now_ms ? follow->now_ms + (now_ms - follow->now_sent_ms) : 0;
}

uint64_t follow_chain_age_ms(const struct follow *follow, uint64_t now_ms)
{
	uint64_t redis_now = follow_redis_now_ms(follow, now_ms);

	if (!follow->chain.known)
		return UINT64_MAX;
	uint64_t by_redis = redis_now > follow->chain.at_ms ? redis_now - follow->chain.at_ms : 0;
	uint64_t by_reader = now_ms - follow->slot_rose_ms;
	return by_redis > by_reader ? by_redis : by_reader;
}
