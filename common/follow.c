#include "common/follow.h"

#include <string.h>

static void know(struct follow_known *known, const char *history, struct event_id id)
{
	known->set = true;
	known->id = id;
	snprintf(known->history, sizeof(known->history), "%s", history);
}

static bool raise_known(struct follow_known *known, const char *history, struct event_id id)
{
	if (known->set && event_id_compare(id, known->id) <= 0)
		return false;
	know(known, history, id);
	return true;
}

void follow_ask(const struct follow *follow, uint64_t number, uint64_t now_ms, bool last_told_stray,
    struct follow_read *read_r)
{
	bool stray = follow->stray.set && !(last_told_stray && follow->newest.set);

	*read_r = (struct follow_read){
	    .number = number,
	    .sent_ms = now_ms,
	    .has_cursor = follow->history[0] != '\0',
	    .cursor = follow->cursor,
	    .newest = stray ? follow->stray : follow->newest,
	    .tells_stray = stray,
	};
	memcpy(read_r->history, follow->history, sizeof(read_r->history));
}

static bool is_untold(
    const struct follow_known *known, const struct follow_read *read, bool is_stray)
{
	return known->set && (read->tells_stray != is_stray || !read->newest.set ||
				 event_id_compare(read->newest.id, known->id) != 0);
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
	bool untold =
	    is_untold(&follow->newest, read, false) || is_untold(&follow->stray, read, true);
	if (verdict.new_history && untold && follow->asked_again < FOLLOW_ASK_AGAIN_MAX) {
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
	if (!is_untold(&follow->stray, read, true))
		follow->stray.set = false;
	if (verdict->act == FOLLOW_GO_ON)
		return true;
	follow->lease_until_ms = 0;
	if (verdict->act == FOLLOW_ASK_AGAIN) {
		follow->asked_again++;
		return false;
	}
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
		if (is_untold(&follow->newest, read, false))
			follow->stray = follow->newest;
		follow->newest.set = false;
	}
	if (answer->head_history[0])
		raise_known(&follow->newest, answer->head_history, answer->head);
	if (follow->stray.set && strcmp(follow->stray.history, follow->history) == 0) {
		raise_known(&follow->newest, follow->stray.history, follow->stray.id);
		follow->stray.set = false;
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
	bool own = strcmp(history, follow->history) == 0;

	return raise_known(own ? &follow->newest : &follow->stray, history, id);
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
