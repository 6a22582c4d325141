/* drill_judge - what the answers of one round mean. No I/O, no clock: times are microseconds of one clock.
 *
 * The words, as `multiclaw help drill` and the README have them:
 *   event  a change that the drill made: a transfer, or a logout
 *   late   a point's first 401 or 403 came later than the bound after the event, or after all that the drill took away was back
 *   stale  an allow that was asked for after that point had refused with 401 or 403, or that came after the bound; or of a session that had ended before
 *   lost   no 401 and no 403 from a point until the round's limit
 */
#ifndef CLI_DRILL_JUDGE_H
#define CLI_DRILL_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct drill_sample {
	uint64_t sent_us, got_us;
	uint16_t status; /* 0: no answer */
	uint8_t point;
	bool former; /* of the session that ended in the round before */
};

struct drill_times {
	uint64_t event_us;
	/* event_us, or later, when all that the drill took away was back */
	uint64_t whole_us;
	/* event_us, or whole_us if nobody could write the event down until then */
	uint64_t known_us;
	uint64_t bound_us;
	bool is_over; /* the limit has come: what was not enforced is lost */
};

struct drill_verdict {
	size_t allowed, denied, closed, silent; /* answers: 2xx; 401 and 403; any other; none */
	bool enforced, late, lost;
	uint64_t enforced_us; /* from the event to the first 401 or 403; 0 if that came before it */
	size_t stale;
	uint64_t worst_us; /* of the stale ones, from the event to the latest */
};

bool drill_is_allow(unsigned status);
bool drill_is_denial(unsigned status);
struct drill_point {
	size_t index;
	bool
	    is_router; /* asked by itself: an allow counts by when it came. Else by when it was asked for: what is between may have held it back */
	bool
	    is_one; /* one router answers here: no allow follows its denial. Else another one may still allow within the bound */
};
void drill_judge(const struct drill_sample *samples, size_t n, const struct drill_point *point,
    const struct drill_times *times, struct drill_verdict *verdict_r);

#endif
