#include "common/enforcing.h"

#define BATCH(e, number) ((e)->batch[(number) % ENFORCING_BATCHES])

static void drop_what_is_done(struct enforcing *e)
{
	while (e->oldest < e->newest && BATCH(e, e->oldest).held == 0)
		e->oldest++;
}

static uint64_t newest_for(struct enforcing *e, struct event_id id)
{
	bool is_same = e->newest && event_id_compare(BATCH(e, e->newest).first, id) == 0;

	if (is_same || (e->newest && e->newest - e->oldest + 1 == ENFORCING_BATCHES))
		return e->newest;
	e->newest++;
	BATCH(e, e->newest).first = id;
	BATCH(e, e->newest).held = 0;
	if (e->oldest == 0)
		e->oldest = 1;
	return e->newest;
}

uint64_t enforcing_hold(struct enforcing *e, struct event_id id)
{
	uint64_t ticket = newest_for(e, id);

	/* shared, or of a history that began over */
	if (event_id_compare(id, BATCH(e, ticket).first) < 0)
		BATCH(e, ticket).first = id;
	BATCH(e, ticket).held++;
	drop_what_is_done(e);
	return ticket;
}

static bool is_held(const struct enforcing *e, uint64_t ticket)
{
	return ticket >= e->oldest && ticket <= e->newest && BATCH(e, ticket).held > 0;
}

void enforcing_restart(struct enforcing *e)
{
	for (uint64_t n = e->oldest; n && n <= e->newest; n++)
		BATCH(e, n).first = (struct event_id){0, 1};
}

void enforcing_share(struct enforcing *e, uint64_t ticket)
{
	bug_if(!is_held(e, ticket));
	BATCH(e, ticket).held++;
}

void enforcing_release(struct enforcing *e, uint64_t ticket)
{
	bug_if(!is_held(e, ticket));
	BATCH(e, ticket).held--;
	drop_what_is_done(e);
}

bool enforcing_open(const struct enforcing *e, struct event_id *id_r)
{
	bool is_open = false;

	for (uint64_t n = e->oldest; n && n <= e->newest; n++) {
		if (BATCH(e, n).held == 0)
			continue;
		if (!is_open || event_id_compare(BATCH(e, n).first, *id_r) < 0)
			*id_r = BATCH(e, n).first;
		is_open = true;
	}
	return is_open;
}
