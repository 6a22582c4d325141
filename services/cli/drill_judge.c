#include "services/cli/drill_judge.h"

#include <string.h>

bool drill_is_allow(unsigned status)
{
	return status >= 200 && status < 300;
}

bool drill_is_denial(unsigned status)
{
	return status == 401 || status == 403;
}

static uint64_t since(uint64_t at_us, uint64_t from_us)
{
	return at_us > from_us ? at_us - from_us : 0;
}

static uint64_t first_denial(const struct drill_sample *samples, size_t n, size_t point)
{
	uint64_t first = UINT64_MAX;

	for (size_t i = 0; i < n; i++)
		if (samples[i].point == point && !samples[i].former &&
		    drill_is_denial(samples[i].status) && samples[i].got_us < first)
			first = samples[i].got_us;
	return first;
}

static void count(const struct drill_sample *sample, struct drill_verdict *verdict)
{
	if (drill_is_allow(sample->status))
		verdict->allowed++;
	else if (drill_is_denial(sample->status))
		verdict->denied++;
	else if (sample->status)
		verdict->closed++;
	else
		verdict->silent++;
}

static bool is_stale(const struct drill_sample *sample, uint64_t denied_us,
    const struct drill_point *point, const struct drill_times *times)
{
	uint64_t at_us = point->is_router ? sample->got_us : sample->sent_us;

	if (!drill_is_allow(sample->status))
		return false;
	return sample->former || (point->is_one && sample->sent_us > denied_us) ||
	       at_us > times->known_us + times->bound_us;
}

void drill_judge(const struct drill_sample *samples, size_t n, const struct drill_point *point,
    const struct drill_times *times, struct drill_verdict *verdict_r)
{
	uint64_t denied_us = first_denial(samples, n, point->index);

	memset(verdict_r, 0, sizeof(*verdict_r));
	verdict_r->enforced = denied_us != UINT64_MAX;
	verdict_r->lost = !verdict_r->enforced && times->is_over;
	if (verdict_r->enforced) {
		verdict_r->enforced_us = since(denied_us, times->event_us);
		verdict_r->late = since(denied_us, times->whole_us) > times->bound_us;
	}
	for (size_t i = 0; i < n; i++) {
		if (samples[i].point != point->index)
			continue;
		count(&samples[i], verdict_r);
		if (!is_stale(&samples[i], denied_us, point, times))
			continue;
		verdict_r->stale++;
		uint64_t age_us = since(samples[i].got_us, times->event_us);
		if (age_us > verdict_r->worst_us)
			verdict_r->worst_us = age_us;
	}
}
